//! Alerts and dashboard of `docs/fleet`, with promtool and a running cart's figures.

use std::collections::BTreeSet;
use std::fs;

use nervelight_tests::access::Exposed;
use nervelight_tests::registry::{Registry, promtool};
use nervelight_tests::root;
use nervelight_tests::web::request;

use crate::Ward;

/// Words that begin like a figure of ours.
fn figures(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("nervelight_"));
    words.map(str::to_owned).collect()
}

#[test]
fn alerts_do_what_they_say() {
    let fleet = root().join("docs/fleet");
    promtool(&fleet, &["check", "rules", "alerts.yml"]).unwrap();
    promtool(&fleet, &["check", "config", "--syntax-only", "prometheus.yml"]).unwrap();
    let said = promtool(&fleet, &["test", "rules", "alerts_test.yml"]).unwrap();
    assert!(said.contains("SUCCESS"), "{said}");
    // Each alert is tested.
    let (alerts, tests) = (
        fs::read_to_string(fleet.join("alerts.yml")).unwrap(),
        fs::read_to_string(fleet.join("alerts_test.yml")).unwrap(),
    );
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 8);
    for name in names {
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
    }
}

#[test]
fn every_figure_that_alerts_and_dashboard_name_is_there() {
    let registry = Registry::start().unwrap();
    let ward =
        Ward::new("", &format!("[model.follow]\nuri = \"{}\"\nname = \"cart1\"\n", registry.uri("stable")));
    ward.until("frames", |s| s["frames_masked"].as_u64() > Some(5));
    let metrics = String::from_utf8(request(ward.port, "GET", "/metrics", "").unwrap()).unwrap();
    // One with TLS has figures of its own.
    let exposed = Exposed::new("sinks = [{ kind = \"null\" }]").unwrap();
    let _running = exposed.start().unwrap();
    let with_tls = exposed.with(0, "GET", "/metrics", "").unwrap().text();
    let there = &figures(&metrics) | &figures(&with_tls);
    let fleet = root().join("docs/fleet");
    for name in ["alerts.yml", "alerts_test.yml", "dashboard.json", "README.md"] {
        let named = figures(&fs::read_to_string(fleet.join(name)).unwrap());
        assert!(!named.is_empty());
        for figure in named {
            assert!(there.contains(&figure), "{name}: {figure} is not in /metrics");
        }
    }
    let dashboard: serde_json::Value =
        serde_json::from_slice(&fs::read(fleet.join("dashboard.json")).unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}
