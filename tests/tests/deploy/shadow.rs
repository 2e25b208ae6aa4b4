//! A model that runs on spare time and is never shown.

use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::api;
use nervelight_tests::wait_for;
use serde_json::Value;

use super::{Setting, Ward};

#[test]
fn a_shadow_is_compared_and_never_shown() {
    let ward = Ward::new(Setting { deploy: "{ probation_s = 600 }", ..Setting::default() }).settled();
    assert_eq!(api(ward.port, "GET", "/api/v1/shadow").unwrap().0, 404);
    // It comes into the store by a deployment that somebody ended.
    ward.deploy("2", Recipe::new(1.0, 40.0));
    let digest = ward.until_state(&["probation"])["digest"].as_str().unwrap().to_owned();
    api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    ward.until("the old model", |s| s["model"]["version"] == "1");
    let begun = wait_for("room", || {
        let begun = api(ward.port, "POST", &format!("/api/v1/models/{digest}/shadow")).ok()?;
        (begun.0 == 200).then_some(begun)
    });
    assert_eq!(begun.unwrap().1["shadow"]["digest"], digest.as_str());
    let report = wait_for("frames of both", || {
        let report = api(ward.port, "GET", "/api/v1/shadow").ok()?.1;
        (report["frames"].as_u64() > Some(10)).then_some(report)
    });
    let report = report.unwrap();
    assert_eq!((&report["shown"]["version"], &report["shadow"]["version"]), (&"1".into(), &"2".into()));
    // 40 brighter: what the shown one marks it marks, and more.
    let number = |key: &str| report[key].as_f64().unwrap();
    assert!(number("area_bias") > 0.0 && number("area_shadow") > number("area_shown"), "{report:#}");
    let dice = report["dice"]["mean"].as_f64().unwrap();
    assert!(dice > 0.1 && dice < 1.0 && number("only_shown") == 0.0, "{report:#}");
    let bars: u64 = report["dice"]["histogram"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(Some(bars), report["frames_with_nerve"].as_u64());
    let s = ward.until("its figures", |s| s["shadow"]["frames"].as_u64() > Some(10));
    assert_eq!((&s["model"]["version"], &s["engine"]["model"]), (&"1".into(), &"tiny 1".into()), "{s:#}");
    // It ends; its report stays, in the store too.
    assert_eq!(api(ward.port, "DELETE", "/api/v1/shadow").unwrap().0, 200);
    assert_eq!(api(ward.port, "DELETE", "/api/v1/shadow").unwrap().0, 409);
    let ended = api(ward.port, "GET", "/api/v1/shadow").unwrap().1;
    assert_eq!(ended["is_running"], false);
    let file = ward.cart.path(&format!("store/shadow/{digest}.json"));
    let kept: Value =
        wait_for("the file", || serde_json::from_slice(&std::fs::read(&file).ok()?).ok()).unwrap();
    assert_eq!(kept["frames"], ended["frames"]);
    let report = ward.stop();
    assert_eq!((&report["dropped"], &report["engine_errors"]), (&0.into(), &0.into()), "{report:#}");
}
