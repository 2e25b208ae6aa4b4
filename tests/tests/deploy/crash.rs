//! The daemon is killed, or stopped in order, in the midst of a deployment: the next start has the old model or the new one.

use std::time::Duration;

use nervelight_tests::Signal;
use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::deployment;
use nervelight_tests::proof::{count, row};
use serde_json::Value;

use super::{Setting, Ward};

const LONG: &str = "{ probation_s = 600, probation_frames = 40 }";

impl Ward {
    fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.signal(Signal::KILL).unwrap();
        running.end().unwrap();
    }

    fn start(&mut self) {
        self.running = Some(self.cart.start().unwrap());
        self.until("the overlay", |s| s["ai"] == "on" && s["frames_masked"].as_u64() > Some(5));
    }

    fn state(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.cart.path("store/state.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_crash_on_probation_goes_back_and_an_orderly_stop_begins_it_again() {
    let mut ward = Ward::new(Setting { deploy: LONG, ..Setting::default() }).settled();
    ward.deploy("2", Recipe::new(1.0, 2.0));
    ward.until_state(&["probation"]);
    let ended = ward.running.take().unwrap().terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(ward.state()["probation"]["stopped"], true);
    ward.start();
    let resumed = ward.until_state(&["probation"]);
    assert_eq!((ward.shown().as_str(), &resumed["who"]), ("2", &"an earlier run".into()), "{resumed:#}");
    // The model before stands by: it computes frames of its own, and is there to go back to.
    ward.until("frames of both", |s| s["deployment"]["probation"]["pairs"].as_u64() > Some(3));
    ward.kill();
    ward.start();
    assert_eq!(ward.shown(), "1");
    let state = ward.state();
    assert!(state["rolled_back"]["why"].as_str().unwrap().contains("without a stop"), "{state:#}");
    assert_eq!((&state["probation"], deployment(ward.port)), (&Value::Null, None));
    // And on.
    ward.deploy("3", Recipe::new(1.0, 3.0));
    ward.until_state(&["probation"]);
    let back = nervelight_tests::deploy::api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    assert_eq!(back.0, 200, "{back:?}");
    ward.until("the first model", |s| s["model"]["version"] == "1");
    ward.stop();
}

#[test]
fn a_resumed_probation_goes_back_too() {
    let mut ward = Ward::new(Setting { deploy: LONG, ..Setting::default() }).settled();
    ward.deploy("2", Recipe::new(1.0, 2.0));
    ward.until_state(&["probation"]);
    ward.running.take().unwrap().terminate().unwrap();
    ward.start();
    ward.until_state(&["probation"]);
    nervelight_tests::deploy::api(ward.port, "POST", "/api/v1/models/rollback").unwrap();
    ward.until("the old model", |s| s["model"]["version"] == "1" && s["ai"] == "on");
    assert_eq!(ward.ended()["state"], "rolled_back");
    ward.stop();
}

#[test]
fn proof_kills_at_any_time_leave_the_old_model_or_the_new() {
    let kills = count(5, 100);
    let setting = Setting {
        deploy: "{ probation_s = 1, probation_frames = 10, max_latency_factor = 1000 }",
        ..Setting::default()
    };
    let mut ward = Ward::new(setting).settled();
    let (mut versions, mut news) = (vec!["1".to_owned()], 0);
    for n in 0..kills {
        let name = format!("k{n}");
        let recipe = Recipe::new(1.0, (n % 8) as f32);
        let tar = ward.bundle(&name, recipe);
        versions.push(name);
        let deployed = nervelight_tests::deploy::deploy(ward.port, &tar).unwrap();
        assert_eq!(deployed.0, 202, "{deployed:?}");
        // From before the first step to after the last.
        std::thread::sleep(Duration::from_millis(n * 977 % 1800));
        ward.kill();
        ward.start();
        let shown = ward.shown();
        assert!(versions.contains(&shown), "{shown}");
        news += u64::from(shown == versions[versions.len() - 1]);
        let state = ward.state();
        assert_eq!(state["probation"], Value::Null, "{state:#}");
        // Only whole bundles are stored, and nothing is left half done.
        let models = nervelight_tests::deploy::api(ward.port, "GET", "/api/v1/models").unwrap().1;
        assert!(
            models["models"].as_array().unwrap().iter().all(|model| model["fault"].is_null()),
            "{models:#}"
        );
        assert_eq!(std::fs::read_dir(ward.cart.path("store/staging")).unwrap().count(), 0);
        versions = vec![shown];
        nervelight_tests::deploy::api(ward.port, "POST", "/api/v1/models/prune").unwrap();
    }
    ward.deploy("last", Recipe::new(1.0, 9.0));
    assert_eq!(ward.ended()["state"], "kept");
    row("kills of the daemon in a deployment: old or new model", format!("{kills}, new {news}"), "all")
        .unwrap();
    ward.stop();
}
