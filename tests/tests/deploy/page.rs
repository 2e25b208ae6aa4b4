//! What a person sees of a deployment, and does.

use nervelight_tests::browser::Browser;
use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::api;

use super::{Setting, Ward};

#[test]
fn the_page_tells_each_step_and_goes_back() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let sinks = "{ kind = \"preview\" }";
    let deploy = "{ probation_s = 600, probation_frames = 5000 }";
    let ward = Ward::new(Setting { sinks, deploy, ..Setting::default() }).settled();
    browser.go(&format!("http://127.0.0.1:{}/shadow", ward.port)).unwrap();
    browser.see("#says", "nervelightd models shadow DIGEST").unwrap();
    let said = browser.run("return document.getElementById('details').innerText").unwrap();
    assert!(!said.as_str().unwrap().contains("Dice"), "there is no chart, and no caption: {said}");
    browser.go(&format!("http://127.0.0.1:{}", ward.port)).unwrap();
    browser.see("#active-model", "tiny 1, no serial, not signed").unwrap();
    ward.deploy("2", Recipe { serial: Some(5), ..Recipe::new(1.0, 2.0) });
    browser.see("#deployment-says", "Deployment 1 by").unwrap();
    browser.see("#steps .now", "watched beside the old model").unwrap();
    browser.see("#active-model", "tiny 2, serial 5").unwrap();
    browser.see("#probation-says", "Still to go").unwrap();
    browser.see("#gate-rows", "at least 0.700").unwrap();
    browser.run("document.getElementById('deployment').scrollIntoView()").unwrap();
    browser.keep("deployment.png").unwrap();
    // The button asks before it does anything.
    browser.run("window.confirm = words => (window.asked = words, true)").unwrap();
    browser.click("#go-back").unwrap();
    browser.see("#deployment-says", "The new model went back").unwrap();
    browser.see("#deployment-why", "went back to the model before").unwrap();
    browser.see("#active-model", "tiny 1").unwrap();
    assert_eq!(browser.run("return window.asked").unwrap(), "Show the model before again, at once?");
    browser.run("document.getElementById('deployment').scrollIntoView()").unwrap();
    browser.keep("rolled_back.png").unwrap();

    let models = api(ward.port, "GET", "/api/v1/models").unwrap().1;
    let other = models["models"].as_array().unwrap().iter().find(|model| model["version"] == "2").unwrap();
    let digest = other["digest"].as_str().unwrap();
    ward.until("room", |_| {
        api(ward.port, "POST", &format!("/api/v1/models/{digest}/shadow")).unwrap().0 == 200
    });
    browser.see("#shadow-says", "runs on spare time").unwrap();
    browser.go(&format!("http://127.0.0.1:{}/shadow", ward.port)).unwrap();
    browser.see("#says", "It runs on spare time now").unwrap();
    browser.see("#figures", "tiny 2, serial 5").unwrap();
    browser.see("#figures", "on average, scatter").unwrap();
    browser.keep("shadow.png").unwrap();
    ward.stop();
}
