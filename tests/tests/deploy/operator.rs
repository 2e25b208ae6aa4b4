//! What people do about models, and what the source does meanwhile.

use std::io::{BufRead, BufReader, Write};

use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::{api, deploy, upload};
use nervelight_tests::wait_for;
use nervelight_tests::web::connect;
use serde_json::Value;

use super::{Setting, Ward};

/// Long enough for everything that is done meanwhile.
const LONG: &str = "{ probation_s = 600, probation_frames = 40 }";

fn detail(answer: &(u16, Value)) -> &str {
    answer.1["detail"].as_str().unwrap_or_default()
}

#[test]
fn one_deployment_at_a_time_and_an_operator_may_end_it() {
    let ward = Ward::new(Setting { deploy: LONG, ..Setting::default() }).settled();
    ward.deploy("2", Recipe::new(1.0, 2.0));
    ward.until_state(&["probation"]);
    let second = deploy(ward.port, &ward.bundle("3", Recipe::new(1.0, 3.0))).unwrap();
    assert_eq!(second.0, 409, "{second:?}");
    assert!(
        detail(&second).contains("deployment 1 by") && detail(&second).contains("probation"),
        "{second:?}"
    );
    let back = api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    assert_eq!(back.0, 200, "{back:?}");
    let ended = ward.ended();
    assert_eq!((&ended["state"], &ended["failed"]["gate"]), (&"rolled_back".into(), &"operator".into()));
    ward.until("the old model", |s| s["model"]["version"] == "1");
    ward.until("the record", |_| {
        api(ward.port, "GET", "/api/v1/models").unwrap().1["rolled_back"] != Value::Null
    });
    // It was left for a reason: going back once more would show it again. Until the supervisor has heard of the record, this
    // is the same way back.
    let again = wait_for("the end of the way back", || {
        let again = api(ward.port, "POST", "/api/v1/models/rollback").ok()?;
        (again.0 != 200).then_some(again)
    });
    let again = again.unwrap();
    assert!(again.0 == 409 && detail(&again).contains("was left"), "{again:?}");
    // Somebody who knows may choose it, by the first digits.
    let digest = ended["digest"].as_str().unwrap();
    let chosen = api(ward.port, "POST", &format!("/api/v1/models/{}/use", &digest[..8])).unwrap();
    assert_eq!(chosen.0, 200, "{chosen:?}");
    ward.until("the chosen model", |s| s["model"]["version"] == "2" && s["ai"] == "on");
    let ended = ward.ended();
    assert_eq!((&ended["kind"], &ended["state"]), (&"use".into(), &"kept".into()));
    ward.stop();
}

#[test]
fn an_operator_who_has_seen_enough_ends_the_probation() {
    let ward = Ward::new(Setting { deploy: LONG, ..Setting::default() }).settled();
    ward.deploy("2", Recipe { serial: Some(3), ..Recipe::new(1.0, 2.0) });
    let digest = ward.until_state(&["probation"])["digest"].as_str().unwrap().to_owned();
    let models = api(ward.port, "GET", "/api/v1/models").unwrap().1;
    assert_eq!((&models["active"], &models["probation"]), (&digest.clone().into(), &digest.clone().into()));
    let kept = api(ward.port, "POST", &format!("/api/v1/models/{digest}/use")).unwrap();
    assert_eq!((kept.0, &ward.ended()["state"]), (200, &"kept".into()), "{kept:?}");
    let models = wait_for("the floor", || {
        let models = api(ward.port, "GET", "/api/v1/models").ok()?.1;
        (models["floor"] == 3).then_some(models)
    });
    assert_eq!(models.unwrap()["probation"], Value::Null);
    // Now there is a model to go back to, and one that nothing needs.
    ward.deploy("3", Recipe { serial: Some(4), ..Recipe::new(1.0, 3.0) });
    ward.until_state(&["probation"]);
    api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    ward.until("the second model", |s| s["model"]["version"] == "2");
    // It is shown before the store has recorded it.
    wait_for("the record", || {
        let models = api(ward.port, "GET", "/api/v1/models").ok()?.1;
        (models["active"] == digest.as_str() && models["probation"].is_null()).then_some(())
    })
    .unwrap();
    let pruned = api(ward.port, "POST", "/api/v1/models/prune").unwrap();
    assert_eq!(pruned.0, 200, "{pruned:?}");
    // What was left is gone, by this or by what follows each deployment; the one before it stays.
    let left = api(ward.port, "GET", "/api/v1/models").unwrap().1;
    assert_eq!(left["models"].as_array().map(Vec::len), Some(2), "{left:#}");
    let absent = api(ward.port, "POST", "/api/v1/models/0123456789abcdef/use").unwrap();
    assert!(absent.0 == 404 && detail(&absent).contains("no bundle"), "{absent:?}");
    assert_eq!(api(ward.port, "POST", "/api/v1/models/xyz/use").unwrap().0, 400);
    ward.stop();
}

#[test]
fn without_a_picture_a_probation_waits_and_says_so() {
    let source = "{ kind = \"pipeline\", pipeline = \"appsrc is-live=true \
        caps=video/x-raw,format=I420,width=640,height=480,framerate=30/1\" }";
    let ward = Ward::new(Setting { source, ..Setting::default() });
    ward.until("no signal", |s| s["signal"]["state"] == "no_signal");
    ward.deploy("2", Recipe::new(1.0, 2.0));
    ward.until_state(&["probation"]);
    let waiting = wait_for("the words", || {
        let deployment = nervelight_tests::deploy::deployment(ward.port)?;
        let probation = &deployment["probation"];
        (probation["seconds"].as_f64() > Some(3.5)).then(|| probation.clone())
    });
    let waiting = waiting.unwrap();
    assert!(waiting["waits_for"].as_str().unwrap().contains("picture of the scanner"), "{waiting:#}");
    assert_eq!((&waiting["frames"], ward.shown()), (&0.into(), "2".into()));
    api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    ward.until("the old model", |s| s["model"]["version"] == "1");
    ward.stop();
}

#[test]
fn without_a_store_nothing_can_be_deployed_and_the_key_is_named() {
    let ward = Ward::new(Setting { model: "{ bundle = \"first.tar\" }", ..Setting::default() });
    ward.until("video", |s| s["ai"] == "on");
    let back = api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    assert!(back.0 == 409 && detail(&back).contains("model.store"), "{back:?}");
    assert_eq!(api(ward.port, "GET", "/api/v1/models").unwrap().0, 404);
    assert!(upload(ward.port, &ward.cart.path("first.tar")).is_err());
    ward.stop();
}

#[test]
fn events_tell_each_step() {
    let ward = Ward::new(Setting::default()).settled();
    let port = ward.port;
    let mut stream = connect(port).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    ward.deploy("2", Recipe::new(1.0, 2.0));
    let mut seen = vec![];
    let (mut kind, mut engine) = (String::new(), None);
    while seen.last().map(String::as_str) != Some("kept") {
        let line = lines.next().expect("it goes on");
        if let Some(name) = line.strip_prefix("event: ") {
            kind = name.into();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            match kind.as_str() {
                "deployment" => seen.push(data["state"].as_str().unwrap().to_owned()),
                "engine" => engine = Some(data["engine"]["model"].clone()),
                _ => {}
            }
        }
    }
    let all = ["verifying", "staging", "building", "proving", "swapping", "probation", "kept"];
    assert_eq!(seen, all);
    assert_eq!(engine, Some("tiny 2".into()));
    ward.stop();
}

#[test]
fn a_recording_goes_on_through_a_deployment() {
    let sinks = "{ kind = \"file\", path = \"out.mkv\" }";
    let ward = Ward::new(Setting { sinks, ..Setting::default() }).settled();
    // The first frames wait for the recording to open, and give way to fresher ones.
    let before = nervelight_tests::web::status(ward.port).unwrap()["dropped"].clone();
    ward.deploy("2", Recipe::new(1.0, 2.0));
    assert_eq!(ward.ended()["state"], "kept");
    let [video, sidecar] = ["out.mkv", "out.mkv.jsonl"].map(|name| ward.cart.path(name));
    let mut ward = ward;
    let ended = ward.running.take().unwrap().terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let report = ward.cart.report().unwrap();
    let frames = nervelight_tests::video::decode(&video).unwrap().len() as u64;
    let recorded = report["sinks"][0]["frames"].as_u64();
    assert_eq!((Some(frames), &report["dropped"]), (recorded, &before), "{report:#}");
    assert!(recorded.map(|n| n + 30) > report["frames_out"].as_u64(), "{report:#}");
    // The sidecar names both models, each from its own first frame.
    let lines = std::fs::read_to_string(sidecar).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let models: Vec<_> =
        lines.filter_map(|line| Some(line["model"]["engine"]["model"].as_str()?.to_owned())).collect();
    assert_eq!(models, ["tiny 1", "tiny 2"]);
}
