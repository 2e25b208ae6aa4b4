//! Bundles are signed at the workstation and verified on the cart; minisign's own program does both as well.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nervelight_engines::Bundle;
use nervelight_engines::store::models::{Catalog, Floor, Models};
use nervelight_tests::{Cart, Ended, Signal, demo_bundle, program, run, wait_for};

const PASSWORD: &str = "correct horse";

/// A program of the workspace, in `dir`, with the key's password in its environment.
fn call(dir: &Path, name: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program(name).unwrap());
    run(command.args(arguments).current_dir(dir).env("NERVELIGHT_KEY_PASSWORD", PASSWORD)).unwrap()
}

fn good(dir: &Path, name: &str, arguments: &[&str]) -> String {
    let ended = call(dir, name, arguments);
    assert!(ended.success, "{arguments:?}: {}", ended.stderr);
    assert!(!format!("{ended:?}").contains(PASSWORD));
    ended.stdout
}

fn bad(dir: &Path, name: &str, arguments: &[&str]) -> String {
    let ended = call(dir, name, arguments);
    assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
    assert!(!ended.stderr.contains("panicked") && !format!("{ended:?}").contains(PASSWORD), "{ended:?}");
    ended.stderr
}

fn minisign(dir: &Path, arguments: &[&str]) -> Ended {
    run(Command::new("minisign").args(arguments).current_dir(dir)).unwrap()
}

/// A folder with the demo's bundle.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&demo_bundle(), &dir.path().join("demo.bundle"));
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &place) } else { _ = fs::copy(&path, place).unwrap() }
    }
}

const TRAINER: &str = "nervelight-train";
const DAEMON: &str = "nervelightd";

#[test]
fn what_is_signed_here_minisign_verifies_and_the_other_way_round() {
    let dir = desk();
    let here = dir.path();
    let said = good(here, TRAINER, &["keygen", "lab"]);
    assert!(said.contains("[[model.keys]]\nname = \"lab\"\nkey = \"RW"), "{said}");
    let mode = |name: &str| fs::metadata(here.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("lab.key"), mode("lab.pub") & 0o444), (0o600, 0o444));
    assert!(bad(here, TRAINER, &["keygen", "lab"]).contains("lab.key: is there already"));
    // Nobody can be asked for a password.
    let mut command = Command::new(program(TRAINER).unwrap());
    let ended =
        run(command.args(["keygen", "other"]).current_dir(here).env_remove("NERVELIGHT_KEY_PASSWORD"))
            .unwrap();
    assert!(!ended.success && ended.stderr.contains("set NERVELIGHT_KEY_PASSWORD"), "{}", ended.stderr);
    assert!(!here.join("other.key").exists() && !here.join("other.pub").exists());

    let before = Bundle::open(here.join("demo.bundle")).unwrap().digest;
    let said = good(here, TRAINER, &["sign", "demo.bundle", "--key", "lab.key"]);
    assert!(
        said.contains("signed with lab, serial ") && said.contains(&format!("it was {before}")),
        "{said}"
    );
    let theirs = minisign(here, &["-Vm", "demo.bundle/manifest.json", "-p", "lab.pub"]);
    assert!(theirs.success && theirs.stdout.contains("sha256:"), "{theirs:?}");
    let said = good(here, DAEMON, &["verify", "demo.bundle", "--keys", "lab.pub"]);
    assert!(said.contains("signature  by lab\n") && said.contains("golden     "), "{said}");

    // A wrong password, and what is no key.
    let mut command = Command::new(program(TRAINER).unwrap());
    command.args(["sign", "demo.bundle", "--key", "lab.key"]).current_dir(here);
    let ended = run(command.env("NERVELIGHT_KEY_PASSWORD", "wrong")).unwrap();
    assert!(!ended.success && ended.stderr.contains("Wrong password"), "{}", ended.stderr);
    assert!(bad(here, TRAINER, &["sign", "demo.bundle", "--key", "lab.pub"]).contains("is no secret key"));

    // Their key signs with our program, and our key with theirs.
    assert!(minisign(here, &["-GW", "-p", "bare.pub", "-s", "bare.key"]).success);
    let said = bad(here, TRAINER, &["sign", "demo.bundle", "--key", "bare.key", "--out", "a.tar"]);
    assert!(said.contains("without a password (-W)"), "{said}");
    let typed = format!("printf '{PASSWORD}\\n{PASSWORD}\\n' | minisign -G -p theirs.pub -s theirs.key");
    assert!(run(Command::new("sh").args(["-c", &typed]).current_dir(here)).unwrap().success);
    let first = good(here, TRAINER, &["sign", "demo.bundle", "--key", "theirs.key", "--out", "a.tar"]);
    let second = good(here, TRAINER, &["sign", "demo.bundle", "--key", "theirs.key", "--out", "b.tar"]);
    let serial =
        |said: &str| said.split("serial ").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap();
    assert!(serial(&second) > serial(&first), "two of one second");
    assert!(
        bad(
            here,
            TRAINER,
            &["sign", "demo.bundle", "--key", "theirs.key", "--out", "c.tar", "--serial", "5"]
        )
        .contains("carts that kept that refuse a lower one")
    );
    assert!(!here.join("c.tar").exists());
    good(here, DAEMON, &["verify", "a.tar", "--keys", "lab.pub", "theirs.pub"]);
    good(here, TRAINER, &["keygen", "open", "--no-password"]);
    fs::remove_file(here.join("demo.bundle/manifest.json.minisig")).unwrap();
    let theirs = minisign(here, &["-Sm", "demo.bundle/manifest.json", "-s", "open.key"]);
    assert!(theirs.success, "{theirs:?}");
    let said = good(here, DAEMON, &["verify", "demo.bundle", "--keys", "open.pub"]);
    assert!(said.contains("by open"), "{said}");

    // What verify refuses, and says.
    for (arguments, expected) in [
        (&["demo.bundle", "--keys", "lab.pub"][..], "signed by none of the keys that are trusted here (lab)"),
        (&["demo.bundle", "--key", "x=RWQ"], "no minisign public key"),
        (&["demo.bundle", "--keys", "none.pub"], "cannot read the key none.pub"),
    ] {
        let ended = call(here, DAEMON, &[&["verify"], arguments].concat());
        assert!(!ended.success && ended.stderr.contains(expected), "{}", ended.stderr);
    }
    fs::remove_file(here.join("demo.bundle/manifest.json.minisig")).unwrap();
    assert!(bad(here, DAEMON, &["verify", "demo.bundle", "--keys", "lab.pub"]).contains("is not signed"));
    let model = here.join("demo.bundle/fp32.onnx");
    let mut bytes = fs::read(&model).unwrap();
    bytes[100] ^= 1;
    fs::write(model, bytes).unwrap();
    assert!(bad(here, DAEMON, &["verify", "demo.bundle"]).contains("fp32.onnx was changed"));
}

#[test]
fn a_change_record_is_kept_in_the_signed_bundle() {
    let dir = desk();
    let here = dir.path();
    good(here, TRAINER, &["keygen", "lab", "--no-password"]);
    let missing = bad(here, TRAINER, &["sign", "demo.bundle", "--key", "lab.key", "--record", "change.html"]);
    assert!(missing.contains("change.html: cannot be read"), "{missing}");
    fs::write(here.join("change.html"), "<p>").unwrap();
    fs::write(here.join("change.json"), "{}").unwrap();
    good(here, TRAINER, &["sign", "demo.bundle", "--key", "lab.key", "--record", "change.html"]);
    let bundle = Bundle::open(here.join("demo.bundle")).unwrap();
    assert_eq!(
        (bundle.read("record.html").unwrap(), bundle.read("record.json").unwrap()),
        (b"<p>".to_vec(), b"{}".to_vec())
    );
    let said = good(here, DAEMON, &["verify", "demo.bundle", "--keys", "lab.pub"]);
    assert!(said.contains("record     record.html, record.json"), "{said}");
}

#[test]
fn the_daemon_starts_with_its_stores_model_and_leaves_one_that_it_died_with() {
    let config = "source = { kind = \"phantom\" }\nmodel = { bundle = \"first.tar\", store = \"store\" }\n\
                  http = { enabled = false }\n[[sinks]]\nkind = \"null\"\n";
    let cart = Cart::new(config).unwrap();
    let here = cart.dir.path();
    copy(&demo_bundle(), &here.join("demo.bundle"));
    good(here, TRAINER, &["keygen", "lab", "--no-password"]);
    for name in ["first.tar", "second.tar"] {
        good(here, TRAINER, &["sign", "demo.bundle", "--key", "lab.key", "--out", name]);
    }
    let [first, second] = ["first.tar", "second.tar"].map(|name| Bundle::open(here.join(name)).unwrap());
    let store = here.join("store");
    let state = || Catalog::read(&store).unwrap().state().clone();
    let is_active =
        |digest: &str| wait_for("the model", || (state().active.as_deref() == Some(digest)).then_some(()));

    // A new store is filled; then its own model counts, and the first bundle may go.
    let running = cart.start().unwrap();
    is_active(&first.digest).unwrap();
    let refused = bad(here, DAEMON, &["models", "use", &second.digest, "--config", "cart.toml"]);
    assert!(refused.contains("another process holds it"), "{refused}");
    let listed = good(here, DAEMON, &["models", "--config", "cart.toml"]);
    assert!(listed.contains("active") && listed.contains(&first.digest), "{listed}");
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    fs::remove_file(here.join("first.tar")).unwrap();
    let checked = cart.run("check").unwrap();
    assert!(checked.success && checked.stdout.contains("1 bundles, active "), "{checked:?}");

    // On probation when it is stopped in order: it is tried again. Killed: the next start goes back.
    let mut models = Models::open(&store).unwrap();
    models.stage(&here.join("second.tar"), &[], false, Floor::Held).unwrap();
    models.begin_probation(&second.digest, 1).unwrap();
    models.stop_probation().unwrap();
    drop(models);
    for signal in [Signal::TERM, Signal::KILL] {
        let running = cart.start().unwrap();
        let is_tried = || state().probation.filter(|p| !p.stopped).is_some();
        wait_for("the probation", || is_tried().then_some(())).unwrap();
        // Until it looks after signals, which comes after the store.
        std::thread::sleep(std::time::Duration::from_secs(3));
        running.signal(signal).unwrap();
        running.end().unwrap();
        assert_eq!(state().probation.unwrap().stopped, signal == Signal::TERM);
    }
    let running = cart.start().unwrap();
    is_active(&first.digest).unwrap();
    let ended = running.terminate().unwrap();
    assert!(ended.stderr.contains("went back to the model before"), "{}", ended.stderr);
    let rolled_back = state().rolled_back.unwrap();
    assert!(rolled_back.digest == second.digest && rolled_back.why.contains("ended without a stop"));

    // By hand: by the beginning of a digest, back, and what is left over goes.
    let models =
        |arguments: &[&str]| good(here, DAEMON, &[&["models"], arguments, &["--store", "store"]].concat());
    models(&["use", &second.digest[..8]]);
    assert_eq!(state().active, Some(second.digest.clone()));
    models(&["rollback"]);
    assert_eq!(state().active, Some(first.digest.clone()));
    assert!(models(&["prune"]).contains("bundles removed: 1"));
    let said = bad(here, DAEMON, &["models", "use", "00000000", "--store", "store"]);
    assert!(said.contains("no bundle \"00000000\" is stored"), "{said}");
}

#[test]
fn a_cart_that_requires_signatures_says_what_it_does_not_take() {
    let keyless = "source = { kind = \"phantom\" }\nsinks = [{ kind = \"null\" }]\n[model]\nbundle = \"BUNDLE\"\nstore = \"store\"\n\
                   require_signature = true\n";
    let cart = Cart::new(keyless).unwrap();
    assert!(cart.refused().unwrap().contains("model.keys: is empty"));
    let here = cart.dir.path();
    let said = good(here, TRAINER, &["keygen", "lab", "--no-password"]);
    let keys = &said[said.find("[[model.keys]]").unwrap()..];
    let config = fs::read_to_string(here.join("cart.toml")).unwrap();
    fs::write(here.join("cart.toml"), format!("{config}{keys}")).unwrap();
    let bundle = demo_bundle().canonicalize().unwrap();
    let said = cart.refused().unwrap();
    assert!(said.contains("is not signed, and only signed bundles are accepted here"), "{said}");
    assert!(!here.join("store/state.json").exists());
    let said = bad(here, DAEMON, &["verify", bundle.to_str().unwrap(), "--config", "cart.toml"]);
    assert!(said.contains("is not signed"), "{said}");
    let said = bad(here, DAEMON, &["verify", "absent.tar"]);
    assert!(said.ends_with("Check the path and its permissions\n"), "the reason once: {said}");
}
