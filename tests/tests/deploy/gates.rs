//! Each bad model is found by its own gate, which says so in words, and the model before it runs on.

use std::process::Command;

use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::deploy;
use nervelight_tests::{root, run};
use serde_json::Value;

use super::{FIRST, Setting, Ward};

/// What did not pass, checked for what a person needs to know.
fn failed(deployment: &Value, state: &str) -> (String, String) {
    assert_eq!(deployment["state"], state, "{deployment:#}");
    let failed = &deployment["failed"];
    let text = |key: &str| failed[key].as_str().unwrap().to_owned();
    assert!(text("message").len() > 15 && text("remedy").len() > 10, "{failed:#}");
    (text("gate"), text("message"))
}

/// Deploys a model that is shown and goes back; the gate that found out.
fn goes_back(setting: Setting<'_>, recipe: Recipe) -> (String, Value) {
    let ward = Ward::new(setting).settled();
    ward.deploy("2", recipe);
    let ended = ward.ended();
    let (gate, _) = failed(&ended, "rolled_back");
    let s = ward.until("the old model", |s| s["model"]["version"] == "1" && s["ai"] == "on");
    assert_eq!(s["engine"]["model"], "tiny 1", "{s:#}");
    assert_eq!(s["deployments"]["rolled_back"], 1, "{s:#}");
    let state = std::fs::read_to_string(ward.cart.path("store/state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!((&state["active"], &state["probation"]), (&s["model"]["digest"], &Value::Null), "{state:#}");
    assert!(state["rolled_back"]["why"].as_str().unwrap().starts_with(&gate), "{state:#}");
    // The next one is as welcome as ever.
    ward.deploy("3", Recipe::new(1.0, 3.0));
    let ended = ward.ended();
    assert_eq!((&ended["state"], &ended["id"]), (&"kept".into(), &2.into()), "{ended:#}");
    let report = ward.stop();
    assert_eq!(report["dropped"], 0, "{report:#}");
    (gate, ended)
}

#[test]
fn a_good_model_is_kept_and_every_step_is_told() {
    let ward = Ward::new(Setting::default()).settled();
    let id = ward.deploy("2", Recipe { serial: Some(7), ..Recipe::new(1.0, 2.0) });
    let on_probation = ward.until_state(&["probation"]);
    assert_eq!(on_probation["probation"]["of_frames"], 40, "{on_probation:#}");
    let ended = ward.ended();
    assert_eq!((&ended["state"], &ended["id"], &ended["serial"]), (&"kept".into(), &id.into(), &7.into()));
    let steps: Vec<_> =
        ended["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    let all = ["verifying", "staging", "building", "proving", "swapping", "probation", "kept"];
    assert_eq!(steps, all);
    let probation = &ended["probation"];
    assert!(
        probation["seconds"].as_f64() >= Some(2.0) && probation["frames"].as_u64() >= Some(40),
        "{probation:#}"
    );
    let s = ward.until("the figures", |s| s["deployments"]["kept"] == 1);
    assert_eq!((&s["model"]["version"], &s["engine"]["model"]), (&"2".into(), &"tiny 2".into()), "{s:#}");
    let metrics = nervelight_tests::web::request(ward.port, "GET", "/metrics", "").unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        "nervelight_deployments_total{result=\"kept\"} 1",
        "nervelight_deployment_state{state=\"kept\"} 1",
        "version=\"2\",serial=\"7\",signer=\"\"} 1",
        "version=\"1\",serial=\"\",signer=\"\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // An old serial is refused from now on, in the store's words.
    ward.deploy("3", Recipe { serial: Some(6), ..Recipe::new(1.0, 3.0) });
    let (gate, message) = failed(&ward.ended(), "refused");
    assert!(gate == "old_serial" && message.contains("serial 6"), "{gate}: {message}");
    assert_eq!(ward.shown(), "2");
    let report = ward.stop();
    assert_eq!((&report["dropped"], &report["engine_errors"]), (&0.into(), &0.into()), "{report:#}");
}

#[test]
fn what_golden_frames_reject_is_never_shown() {
    let ward = Ward::new(Setting::default()).settled();
    ward.deploy("2", Recipe { lies: true, ..Recipe::new(1.0, 2.0) });
    let ended = ward.ended();
    let (gate, message) = failed(&ended, "failed");
    let failed_at = &ended["failed"];
    assert!(gate == "golden" && message.contains("golden frame"), "{message}");
    assert!(failed_at["frame"].is_string() && failed_at["bound"] == 0.98, "{failed_at:#}");
    assert!(failed_at["figure"].as_f64() < Some(0.98), "{failed_at:#}");
    assert_eq!(ward.shown(), "1");
    // What runs already is no deployment.
    let (status, answer) = deploy(ward.port, &ward.cart.path("first.tar")).unwrap();
    assert_eq!(status, 202, "{answer}");
    assert_eq!(failed(&ward.until_state(&["refused"]), "refused").0, "same");
    // A machine that is busy with other tests may be late for a frame.
    assert!(ward.stop()["dropped"].as_u64() <= Some(2));
}

#[test]
fn a_constant_model_goes_back() {
    // Its golden frames say the same: nothing.
    let (gate, _) = goes_back(Setting::default(), Recipe::new(0.0, 0.0));
    assert!(["constant", "own_presence", "constant_beside_old"].contains(&gate.as_str()), "{gate}");
}

#[test]
fn a_model_that_fails_goes_back() {
    assert_eq!(goes_back(Setting::default(), Recipe { fails: true, ..FIRST }).0, "errors");
}

#[test]
fn a_slow_model_goes_back() {
    let deploy = "{ probation_s = 20, probation_frames = 80, max_off_share = 1.0 }";
    let setting = Setting { deploy, ..Setting::default() };
    assert_eq!(goes_back_slowly(setting).0, "latency");
}

fn goes_back_slowly(setting: Setting<'_>) -> (String, String) {
    let ward = Ward::new(setting).settled();
    ward.deploy("2", Recipe { rounds: 2, ..Recipe::new(1.0, 2.0) });
    let ended = ward.ended();
    let found = failed(&ended, "rolled_back");
    ward.until("the old model", |s| s["model"]["version"] == "1" && s["ai"] == "on");
    ward.stop();
    found
}

#[test]
fn a_model_that_hangs_goes_back() {
    let sync = "{ mode = \"latest\", max_mask_age_ms = 5000, engine_timeout_ms = 500 }";
    let deploy = "{ probation_s = 20, probation_frames = 400, max_off_share = 1.0 }";
    let ward = Ward::new(Setting { sync, deploy, ..Setting::default() }).settled();
    ward.deploy("2", Recipe { hangs: true, ..FIRST });
    let ended = ward.ended();
    let (gate, message) = failed(&ended, "rolled_back");
    assert!(gate == "hang" && message.contains("at one frame for"), "{gate}: {message}");
    ward.until("the old model", |s| s["model"]["version"] == "1" && s["ai"] == "on");
    // The hanging thread is left behind at the end; the daemon says so and ends all the same.
    let mut ward = ward;
    ward.running.take().unwrap().terminate().unwrap();
}

#[test]
fn a_model_that_disagrees_goes_back() {
    let deploy = "{ probation_s = 30, probation_frames = 1000, max_latency_factor = 1000 }";
    let ward = Ward::new(Setting { deploy, ..Setting::default() }).settled();
    ward.deploy("2", Recipe::new(-1.0, 255.0));
    let ended = ward.ended();
    let (gate, message) = failed(&ended, "rolled_back");
    assert!(["disagreement", "presence", "areas"].contains(&gate.as_str()), "{gate}: {message}");
    assert!(
        ended["failed"]["figure"].is_number() && ended["probation"]["pairs"].as_u64() >= Some(20),
        "{ended:#}"
    );
    ward.stop();
}

#[test]
fn a_provider_that_computes_wrong_maps_here_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libopenvino_c.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library);
    let ended = run(compiler.arg(root().join("tests/wrong_openvino/openvino.c"))).unwrap();
    assert!(ended.success, "{}", ended.stderr);
    // It answers every crop with its negative, which is just what the first model does.
    let engine = format!("{{ backend = \"openvino\", openvino = {{ library = {library:?} }} }}");
    let ward =
        Ward::with(Setting { engine: &engine, ..Setting::default() }, Recipe::new(-1.0, 255.0)).settled();
    ward.deploy("2", Recipe::new(1.0, 0.0));
    let (gate, message) = failed(&ward.ended(), "failed");
    assert!(gate == "golden" && message.contains("OpenVINO 2026.9.9"), "{gate}: {message}");
    assert_eq!(ward.shown(), "1");
    ward.stop();
}

#[test]
fn without_a_key_that_signed_it_nothing_is_unpacked() {
    let model = "{ bundle = \"first.tar\", store = \"store\", require_signature = true, keys = [{ name = \"lab\", \
                 key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\" }] }";
    // The first model of a new store is held to it, too: so the store is filled before.
    let before = Ward::new(Setting::default()).settled();
    let text = std::fs::read_to_string(before.cart.path("cart.toml")).unwrap();
    let mut ward = before;
    ward.running.take().unwrap().terminate().unwrap();
    let strict = text.replace("{ bundle = \"first.tar\", store = \"store\" }", model);
    assert_ne!(strict, text);
    std::fs::write(ward.cart.path("cart.toml"), strict).unwrap();
    ward.running = Some(ward.cart.start().unwrap());
    let ward = ward.settled();
    ward.deploy("2", Recipe::new(1.0, 2.0));
    let ended = ward.ended();
    let (gate, message) = failed(&ended, "refused");
    assert!(gate.contains("sign") && message.contains("sign"), "{gate}: {message}");
    let steps: Vec<_> =
        ended["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(steps, ["verifying", "refused"]);
    assert_eq!(std::fs::read_dir(ward.cart.path("store/bundles")).unwrap().count(), 1, "nothing came in");
    assert_eq!(std::fs::read_dir(ward.cart.path("store/uploads")).unwrap().count(), 0, "the tar is gone");
    ward.stop();
}
