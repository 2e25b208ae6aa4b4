//! The way back from a model that was kept already.

use std::fs;

use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::api;
use nervelight_tests::web::request;
use serde_json::Value;

use super::{Setting, Ward};

/// A cart on which a second model was kept, and the digests of both.
fn kept() -> (Ward, [String; 2]) {
    let long = "{ probation_s = 600, probation_frames = 40 }";
    let ward = Ward::new(Setting { deploy: long, ..Setting::default() }).settled();
    let digest = |s: &Value| s["model"]["digest"].as_str().unwrap().to_owned();
    let first = digest(&ward.until("the first", |s| s["ai"] == "on"));
    ward.deploy("2", Recipe::new(1.0, 2.0));
    let second = ward.until_state(&["probation"])["digest"].as_str().unwrap().to_owned();
    assert_eq!(api(ward.port, "POST", &format!("/api/v1/models/{second}/use")).unwrap().0, 200);
    assert_eq!(ward.ended()["state"], "kept");
    ward.until("a way back", |s| s["can_go_back"] == true);
    (ward, [first, second])
}

fn models(ward: &Ward) -> Value {
    api(ward.port, "GET", "/api/v1/models").unwrap().1
}

#[test]
fn going_back_twice_is_going_back_once() {
    let (ward, [first, second]) = kept();
    let [once, twice] = [0, 1].map(|_| api(ward.port, "POST", "/api/v1/models/rollback").unwrap());
    assert_eq!((once.0, &once.1["model_opening"]["digest"]), (200, &first.clone().into()), "{once:?}");
    // Where it was quicker than the second press, there is nothing left to go back to.
    assert!(twice == once || twice.0 == 409 && ward.shown() == "1", "{twice:?}");
    ward.until("the first model", |s| s["model"]["version"] == "1" && s["ai"] == "on");
    let ended = ward.ended();
    assert_eq!((&ended["kind"], &ended["state"]), (&"roll_back".into(), &"kept".into()), "{ended:#}");
    assert_eq!((&ended["who"], &ended["model"]), (&"this machine".into(), &"tiny 1".into()), "{ended:#}");
    ward.until("the record", |_| models(&ward)["active"] == first.as_str());
    // The model that was left is not come back to by the same button.
    let models = models(&ward);
    assert_eq!(models["rolled_back"]["digest"], second.as_str(), "{models:#}");
    assert_eq!(models["rolled_back"]["why"], "operator: this machine went back to the model before");
    assert_eq!(api(ward.port, "POST", "/api/v1/models/rollback").unwrap().0, 409);
    assert_eq!(ward.shown(), "1");
    ward.stop();
}

#[test]
fn a_store_that_cannot_write_does_not_hold_up_the_way_back() {
    let (ward, [first, second]) = kept();
    // Nothing replaces a folder.
    let state = ward.cart.path("store/state.json");
    fs::rename(&state, ward.cart.path("aside.json")).unwrap();
    fs::create_dir(&state).unwrap();
    assert_eq!(api(ward.port, "POST", "/api/v1/models/rollback").unwrap().0, 200);
    let is_told = |s: &Value| s["unrecorded"].as_str().is_some_and(|why| why.contains("cannot be recorded"));
    ward.until("the first model, and the words", |s| s["model"]["version"] == "1" && is_told(s));
    assert_eq!(models(&ward)["active"], second.as_str());
    let again = api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    assert_eq!((again.0, &again.1["model_opening"]["digest"]), (200, &first.clone().into()), "{again:?}");
    fs::remove_dir(&state).unwrap();
    ward.until("the record", |s| s["unrecorded"].is_null() && models(&ward)["active"] == first.as_str());
    assert_eq!(models(&ward)["rolled_back"]["digest"], second.as_str());
    ward.stop();
}

#[test]
fn a_store_that_cannot_be_used_at_the_start_is_said_and_the_first_model_runs() {
    let mut ward = Ward::new(Setting::default()).settled();
    ward.running.take().unwrap().terminate().unwrap();
    let state = ward.cart.path("store/state.json");
    let before = fs::read(&state).unwrap();
    fs::write(&state, "{").unwrap();
    ward.running = Some(ward.cart.start().unwrap());
    let seen = ward.until("the first model", |s| s["ai"] == "on");
    let why = seen["store_failed"].as_str().unwrap();
    assert!(why.contains("state.json") && why.contains("nothing can be deployed"), "{why}");
    let metrics = request(ward.port, "GET", "/metrics", "").unwrap();
    assert!(String::from_utf8_lossy(&metrics).contains("nervelight_store_failed 1"));
    assert_eq!(fs::read_to_string(&state).unwrap(), "{", "left as it was");
    let (status, said) = api(ward.port, "GET", "/api/v1/models").unwrap();
    assert!(status == 404 && said["detail"] == why, "{status} {said:#}");
    ward.running.take().unwrap().terminate().unwrap();
    fs::write(&state, before).unwrap();
    ward.running = Some(ward.cart.start().unwrap());
    ward.until("the store", |s| s["ai"] == "on" && s["store_failed"].is_null());
    ward.stop();
}
