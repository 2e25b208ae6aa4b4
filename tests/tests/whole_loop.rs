//! The whole loop, as its users go round it: train, export, sign, deploy to a cart that runs, bring home what it was unsure
//! of, correct a mask in a browser, train again, deploy again, take it back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nervelight_engines::Bundle;
use nervelight_tests::browser::Browser;
use nervelight_tests::web::{Served, status};
use nervelight_tests::{Cart, Running, demo_bundle, free_port, program, run, wait_for};
use serde_json::Value;

/// Where the ML engineer works.
struct Workstation {
    folder: tempfile::TempDir,
}

impl Workstation {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("nervelight-train").unwrap());
        command.args(arguments).current_dir(self.folder.path()).env_remove("NERVELIGHT_KEY_PASSWORD");
        command
    }

    fn good(&self, arguments: &[&str]) -> String {
        let ended = run(&mut self.command(arguments)).unwrap();
        assert!(ended.success, "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Trains on the folder `data` and exports a signed bundle.
    fn model(&self, data: &str, epochs: u32, name: &str) -> Bundle {
        let settings = format!(
            "data = \"{data}\"\nrun = \"run-{name}\"\nwidth = 0.0625\nfolds = 2\nepochs = {epochs}\nbatch_size = 4\n\
             learning_rate = 1e-3\nloss = \"bce-dice\"\n"
        );
        fs::write(self.path("train.toml"), settings).unwrap();
        self.good(&["train", "--config", "train.toml"]);
        let (run, out) = (format!("run-{name}"), format!("{name}.tar"));
        let export = ["export", "--run", &run, "--out", &out, "--precisions", "fp32", "--sign", "lab.key"];
        self.good(&export);
        Bundle::open(self.path(&out)).unwrap()
    }
}

/// `nervelightd` as a command of its own.
fn daemon(arguments: &[&str]) -> String {
    let ended = run(Command::new(program("nervelightd").unwrap()).args(arguments)).unwrap();
    assert!(ended.success, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

fn deploy(port: u16, bundle: &Bundle) {
    let (path, to) = (bundle.path.to_str().unwrap(), format!("http://127.0.0.1:{port}"));
    let said = daemon(&["deploy", path, "--to", &to, "--json"]);
    assert!(said.contains("kept"), "{said}");
    assert_eq!(running_model(port), bundle.digest);
}

/// Digest of the model that runs, as the status says.
fn running_model(port: u16) -> String {
    let digest = |s: Value| s["model"]["digest"].as_str().map(str::to_owned);
    wait_for("a status", || status(port).and_then(digest)).unwrap()
}

/// Lets the cart keep four crops.
fn keep_crops(port: u16) {
    let kept = |s: &Value| s["harvest"]["items"].as_u64() >= Some(4);
    wait_for("crops", || status(port).filter(kept)).unwrap();
}

/// Corrects the first draft with the brush, and accepts the others.
fn review(browser: &Browser, workstation: &Workstation) {
    let arguments = ["analyze", "review", "--data", "home", "--reviewer", "A. Meyer", "--port", "0"];
    let page = Served::start(workstation.command(&arguments)).unwrap();
    let see = |selector: &str, text: &str| {
        browser.see(&format!("body[data-ready] {selector}"), text).unwrap();
    };
    browser.go(&page.address).unwrap();
    see("#progress", "0 of ");
    let all: usize = browser.texts("#progress").unwrap()[0].split(' ').nth(2).unwrap().parse().unwrap();
    let place = browser
        .run("const c = document.getElementById('canvas').getBoundingClientRect(); return [c.x + c.width / 2, c.y + c.height / 2]")
        .unwrap();
    let (x, y) = (place[0].as_f64().unwrap() as i64, place[1].as_f64().unwrap() as i64);
    browser.stroke("mouse", &[(x - 60, y + 40), (x, y + 60), (x + 60, y + 40)]).unwrap();
    see("#keep", "Save correction");
    for n in 1..=all {
        browser.press("\u{e007}").unwrap();
        see("#progress", &format!("{n} of {all}"));
    }
    let decided = fs::read_to_string(workstation.path("home/drafts/review.jsonl")).unwrap();
    let corrected = decided.lines().filter(|line| line.contains("\"corrected\"")).count();
    assert_eq!((corrected, decided.lines().count()), (1, all), "{decided}");
}

fn start(cart: &Cart, port: u16) -> Running {
    let running = cart.start().unwrap();
    running_model(port);
    running
}

#[test]
fn from_training_to_the_cart_and_home_again() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let workstation = Workstation { folder: tempfile::tempdir().unwrap() };
    workstation.good(&["phantom", "--out", "data", "--frames", "20", "--patients", "5", "--seed", "3"]);
    workstation.good(&["keygen", "lab", "--no-password"]);
    let demo = demo_bundle();
    workstation.good(&["sign", demo.to_str().unwrap(), "--key", "lab.key", "--out", "demo.tar"]);
    let first = workstation.model("data", 2, "first");

    // A cart that takes signed models only, and knows little of what is good.
    let port = free_port().unwrap();
    let key = fs::read_to_string(workstation.path("lab.pub")).unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 15 }}
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        sinks = [{{ kind = "preview" }}]
        http = {{ listen = "127.0.0.1:{port}" }}
        report = {{ path = "report.json" }}
        [model]
        store = "store"
        bundle = "{}"
        require_signature = true
        keys = [{{ name = "lab", key = "{}" }}]
        [deploy]
        probation_s = 1
        probation_frames = 20
        max_latency_factor = 1000.0
        max_off_share = 1.0
        min_dice = 0.0
        max_flips = 1.0
        max_area_factor = 1000.0
        [harvest]
        path = "harvest"
        uncertainty = 0.0
        min_interval_s = 0.3
        "#,
        workstation.path("demo.tar").display(),
        key.lines().last().unwrap()
    ))
    .unwrap();
    let running = start(&cart, port);
    deploy(port, &first);
    keep_crops(port);
    assert!(running.terminate().unwrap().success);
    let report = cart.report().unwrap();
    let [frames_in, out, dropped] =
        ["frames_in", "frames_out", "dropped"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(frames_in, out + dropped, "{report:#}");
    // Another probe's cart would keep its own cases; here a folder stands for it. The model is the one that was deployed.
    let config = fs::read_to_string(cart.path("cart.toml")).unwrap();
    fs::write(cart.path("cart.toml"), config.replace("path = \"harvest\"", "path = \"second\"")).unwrap();
    let running = start(&cart, port);
    assert_eq!(running_model(port), first.digest);
    keep_crops(port);

    // Home, into a data set of its own.
    for name in ["harvest", "second"] {
        let (from, to) = (cart.path(name), workstation.path(name));
        daemon(&["harvest", "export", "--path", from.to_str().unwrap(), "--to", to.to_str().unwrap()]);
    }
    let said = workstation.good(&["import", "--harvest", "harvest", "--harvest", "second", "--to", "home"]);
    assert!(said.contains("of 2 cases"), "{said}");
    review(&browser, &workstation);
    let second = workstation.model("home", 1, "second");
    assert!(second.manifest.serial > first.manifest.serial);
    assert_ne!(second.manifest.provenance.data_digest, first.manifest.provenance.data_digest);

    deploy(port, &second);
    daemon(&["models", "rollback", "--to", &format!("http://127.0.0.1:{port}")]);
    wait_for("the model before", || (running_model(port) == first.digest).then_some(())).unwrap();
    assert!(running.terminate().unwrap().success);
    assert_eq!(fs::read_dir(cart.path("store/bundles")).unwrap().count(), 3);
    only_ours(&cart.path("store"));
}

/// Nothing unfinished is left in the store.
fn only_ours(store: &Path) {
    for folder in ["staging", "uploads"] {
        assert_eq!(fs::read_dir(store.join(folder)).map_or(0, Iterator::count), 0, "{folder}");
    }
}
