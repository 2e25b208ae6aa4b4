//! Carts that follow a tag of a registry.

use std::time::{Duration, Instant};

use nervelight_tests::proof;
use nervelight_tests::registry::Registry;
use nervelight_tests::web::status;
use serde_json::Value;

use crate::registry::push;
use crate::{Ward, bad, bundle, good};

/// The section of a cart with this name, whose canary is `cart0`.
fn following(registry: &Registry, name: &str) -> String {
    format!(
        "[model.follow]\nuri = \"{}\"\npoll_s = 1\nname = \"{name}\"\ncanaries = [\"cart0\"]",
        registry.uri("stable")
    )
}

fn follow(ward: &Ward) -> Value {
    status(ward.port).unwrap_or_default()["follow"].take()
}

#[test]
fn proof_a_fleet_follows_a_tag_through_its_canary() {
    let mut registry = Registry::start().unwrap();
    let count = proof::count(3, 20);
    let wards: Vec<_> =
        (0..count).map(|n| Ward::new("", &following(&registry, &format!("cart{n}")))).collect();
    let folder = wards[0].cart.dir.path();
    for ward in &wards {
        ward.until("a history", |s| s["frames_masked"].as_u64() > Some(30));
    }

    let begun = Instant::now();
    assert!(push(&bundle(folder, "2", good(2)), &registry.uri("stable")).success);
    let mut canary = Duration::ZERO;
    for (n, ward) in wards.iter().enumerate() {
        ward.until("the new model", |s| s["model"]["version"] == "2" && s["deployment"]["state"] == "kept");
        if n == 0 {
            canary = begun.elapsed();
        }
    }
    let all = begun.elapsed();
    let what = format!("{count} carts follow a tag: s until the canary kept a good model, and all");
    proof::row(&what, format!("{:.1}, {:.1}", canary.as_secs_f64(), all.as_secs_f64()), "60").unwrap();
    assert!(all < Duration::from_secs(60), "{all:?}");
    assert!(wards[1..].iter().all(|ward| status(ward.port).unwrap()["deployment"]["id"] == 1));

    // A bad one stops at the canary, whose word the others hear.
    assert!(push(&bundle(folder, "3", bad(3)), &registry.uri("stable")).success);
    wards[0].until("the canary goes back", |s| s["deployment"]["state"] == "rolled_back");
    for ward in &wards {
        ward.until("the refusal", |s| s["follow"]["state"] == "refused");
        assert_eq!(ward.shown(), "2", "{:#}", follow(ward));
    }
    let said = follow(&wards[1])["message"].as_str().unwrap().to_owned();
    assert!(said.contains("canary cart0 gave it up"), "{said}");
    assert!(
        wards[1..].iter().all(|ward| status(ward.port).unwrap()["deployment"]["id"] == 1),
        "tried by nobody else"
    );

    // Down and back: nothing is lost, and what was pushed meanwhile comes.
    registry.stop();
    for ward in &wards {
        ward.until("the registry's absence", |s| s["follow"]["reachable"] == false);
        assert_eq!(ward.shown(), "2");
    }
    registry.resume().unwrap();
    assert!(push(&bundle(folder, "4", good(4)), &registry.uri("stable")).success);
    let begun = Instant::now();
    for ward in &wards {
        ward.until("the newest model", |s| {
            s["model"]["version"] == "4" && s["deployment"]["state"] == "kept"
        });
    }
    proof::row(
        &format!("the same after the registry was down: s until all {count} have the next"),
        format!("{:.1}", begun.elapsed().as_secs_f64()),
        "120",
    )
    .unwrap();

    // A tag that moves back is not followed.
    assert!(push(&bundle(folder, "2", good(2)), &registry.uri("stable")).success);
    for ward in &wards {
        let s = ward.until("the refusal", |s| {
            s["follow"]["state"] == "refused" && s["follow"]["offered"]["serial"] == 2
        });
        assert_eq!(s["model"]["version"], "4");
        assert!(ward.uploads().is_empty(), "{:?}", ward.uploads());
    }
}
