//! Carts that follow a tag of a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nervelight_tests::registry::{Registry, USER};
use nervelight_tests::web::{request, status};
use nervelight_tests::{Ended, program, proof, run};
use serde_json::Value;

use crate::registry::push;
use crate::{Ward, bad, bundle, good, secret};

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

/// Calls the trainer in `folder`.
fn trainer(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("nervelight-train").unwrap());
    command.args(arguments).current_dir(folder);
    command
}

#[test]
fn a_closed_registry_serves_who_may_and_only_what_is_signed_is_taken() {
    let registry = Registry::start_closed().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let uri = format!("oci://localhost:{}/nervelight/nerve:stable", registry.port);
    let certificate = registry.folder.path().join("tls/cert.pem");
    let password = USER.split_once(':').unwrap().1;
    let good_one = secret(&folder.join("good"), USER);
    let bad_one = secret(&folder.join("bad"), "cart7:wrong-s3cret");
    let keygen = run(&mut trainer(folder, &["keygen", "lab", "--no-password"])).unwrap();
    assert!(keygen.success, "{keygen:?}");
    let keys = keygen.stdout[keygen.stdout.find("[[model.keys]]").unwrap()..].to_owned();
    assert!(run(&mut trainer(folder, &["keygen", "stranger", "--no-password"])).unwrap().success);
    let signed = |version: &str, key: &str, serial: u64| {
        let (path, serial) = (bundle(folder, version, good(serial)), serial.to_string());
        let (from, out) = (path.to_str().unwrap(), format!("{version}-signed.tar"));
        let sign = ["sign", from, "--key", key, "--serial", &serial, "--out", &out];
        let ended = run(&mut trainer(folder, &sign)).unwrap();
        assert!(ended.success, "{ended:?}");
        folder.join(out)
    };
    let push = |path: &Path, who: Option<&Path>, trusted: bool| -> Ended {
        let mut command = trainer(folder, &["push", path.to_str().unwrap(), &uri, "--plain-http=false"]);
        if let Some(who) = who {
            command.arg("--credentials").arg(who);
        }
        if trusted {
            command.env("SSL_CERT_FILE", &certificate);
        }
        let ended = run(&mut command).unwrap();
        assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
        ended
    };

    let second = signed("2", "lab.key", 2);
    for (who, trusted, words) in [
        (Some(&good_one), false, "its certificate"),
        (None, true, "file of credentials"),
        (Some(&bad_one), true, "file of credentials"),
    ] {
        let ended = push(&second, who.map(PathBuf::as_path), trusted);
        assert!(!ended.success && ended.stderr.contains(words), "{words}: {ended:?}");
    }
    let pushed = push(&second, Some(&good_one), true);
    assert!(pushed.success && !pushed.stderr.contains("not signed"), "{pushed:?}");

    // The first model came before signatures were asked for.
    let mut ward = Ward::new("", "");
    ward.running.take().unwrap().terminate().unwrap();
    let config = ward.cart.path("cart.toml");
    let open = fs::read_to_string(&config).unwrap();
    let follow = format!(
        "[model.follow]\nuri = \"{uri}\"\npoll_s = 1\nname = \"cart7\"\nplain_http = false\ncredentials_file = \
         \"registry.credentials\"\n{keys}"
    );
    fs::write(&config, format!("{}\n{follow}", open.replace("require_signature = false\n", ""))).unwrap();
    let own = secret(&ward.cart.path("registry.credentials"), "cart7:wrong-s3cret");
    let mut command = ward.cart.command("run").unwrap();
    command.env("SSL_CERT_FILE", &certificate);
    ward.running = Some(ward.cart.start_as(command).unwrap());

    // Wrong at first; the file is read at each look.
    ward.until("the refusal", |s| {
        s["follow"]["message"].as_str().is_some_and(|why| why.contains("credentials"))
    });
    fs::write(own, USER).unwrap();
    ward.until("the signed model", |s| s["model"]["version"] == "2" && s["deployment"]["state"] == "kept");
    assert_eq!(status(ward.port).unwrap()["model"]["signer"], "lab");

    // Neither unsigned ones nor those of a stranger.
    for (n, path) in [(2, bundle(folder, "3", good(3))), (3, signed("4", "stranger.key", 4))] {
        assert!(push(&path, Some(&good_one), true).success);
        let is_refused = |s: &Value| s["deployment"]["id"] == n && s["deployment"]["state"] == "refused";
        let seen = ward.until("the refusal", is_refused);
        assert!(seen["deployment"]["failed"]["message"].as_str().unwrap().contains("signed"), "{seen:#}");
        assert_eq!(seen["model"]["version"], "2");
    }
    let everything = [
        status(ward.port).unwrap().to_string(),
        String::from_utf8(request(ward.port, "GET", "/metrics", "").unwrap()).unwrap(),
        ward.running.take().unwrap().terminate().unwrap().stderr,
    ];
    assert!(everything.iter().all(|text| !text.contains(password) && !text.contains("wrong-s3cret")));
}
