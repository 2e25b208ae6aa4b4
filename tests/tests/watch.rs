//! A run watched in a browser, while it trains and after.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nervelight_tests::browser::Browser;
use nervelight_tests::{program, run, wait_for_line};

const CONFIG: &str = r#"
data = "data"
run = "run"
width = 0.0625
epochs = 1000
batch_size = 4
validate_every = 5
validation_limit = 4
"#;

/// A program that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the trainer and waits for the address that it says on `stderr` or else standard output.
fn page(folder: &Path, arguments: &[&str], stderr: bool) -> (Ends, String) {
    let mut command = Command::new(program("nervelight-train").unwrap());
    command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let address = |line: &str| {
        let at = line.find("http://")?;
        Some(line[at..].split(';').next()?.to_owned())
    };
    let address = if stderr {
        wait_for_line(child.stderr.take().unwrap(), address)
    } else {
        wait_for_line(child.stdout.take().unwrap(), address)
    };
    (Ends(child), address.unwrap())
}

#[test]
fn a_person_watches_a_run_in_a_browser() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut phantom = Command::new(program("nervelight-train").unwrap());
    phantom.args(["phantom", "--out", "data", "--frames", "20", "--patients", "5", "--seed", "3"]);
    assert!(run(phantom.current_dir(here)).unwrap().success);
    fs::write(here.join("train.toml"), CONFIG).unwrap();

    let (training, address) = page(here, &["train", "--config", "train.toml", "--watch", "0"], true);
    browser.go(&address).unwrap();
    browser.see("#title", "run").unwrap();
    browser.see("#epoch", "of 1000").unwrap();
    // Two epochs are over, in figures, table, curves and pictures.
    browser.see("#epochs td:first-child", "2").unwrap();
    browser.see("#figures dt", "its Dice").unwrap();
    let drawn =
        "return [...document.querySelectorAll('#charts figure')].map(f => f.querySelectorAll('path').length)";
    assert_eq!(browser.run(drawn).unwrap(), serde_json::json!([2, 2, 1, 2]));
    let loaded = "const all = [...document.querySelectorAll('#pictures img')]; \
        return all.length === 4 && all.every(i => i.complete && i.naturalWidth === 576)";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while browser.run(loaded).unwrap() != true {
        assert!(std::time::Instant::now() < deadline, "four overlays");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    if let Some(pictures) = std::env::var_os("PICTURES") {
        browser.picture(&Path::new(&pictures).join("watch.png")).unwrap();
    }
    drop(training);
    browser.see("#error", "training has ended").unwrap();

    let (_watch, address) = page(here, &["watch", "--run", "run", "--port", "0"], false);
    browser.go(&address).unwrap();
    browser.see("#epochs td:first-child", "2").unwrap();
    assert!(browser.texts("#error").unwrap()[0].is_empty(), "no error");
}
