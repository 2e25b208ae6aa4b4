//! A person resolves contradictory masks in a browser; training applies what was decided.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nervelight_tests::browser::Browser;
use nervelight_tests::web::Served;
use nervelight_tests::{Ended, program, run};
use thirtyfour::Key;

/// A data set in a folder of its own, with planted contradictions:
/// 1_90 and 1_91 are one picture with two masks, 2_90 and 3_90 one with a nerve in one only, and
/// 4_90, 4_91, 4_92 one picture, the first two masks equal.
struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    fn planted() -> Self {
        let data = Self { folder: tempfile::tempdir().unwrap() };
        data.good(&["phantom", "--out", "data", "--frames", "20", "--patients", "4", "--seed", "3"]);
        // Empty masks compress best.
        let size = |n: &u32| fs::metadata(data.file(&format!("1_{n}"), true)).unwrap().len();
        let least = (1..=5).map(|n| size(&n)).min().unwrap();
        let (empty, nerves): (Vec<u32>, Vec<u32>) = (1..=5).partition(|n| size(n) == least);
        let [a, b, none] = [nerves[0], nerves[1], empty[0]].map(|n| format!("1_{n}"));
        for (name, picture, mask) in [
            ("1_90", &a, &a),
            ("1_91", &a, &b),
            ("2_90", &b, &b),
            ("3_90", &b, &none),
            ("4_90", &none, &none),
            ("4_91", &none, &none),
            ("4_92", &none, &a),
        ] {
            data.copy(picture, name, false);
            data.copy(mask, name, true);
        }
        // The planted groups hold nothing else.
        for name in [&a, &b, &none] {
            fs::remove_file(data.file(name, false)).unwrap();
            fs::remove_file(data.file(name, true)).unwrap();
        }
        data
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, mask: bool) -> PathBuf {
        self.path(&format!("data/train/{name}{}.tif", if mask { "_mask" } else { "" }))
    }

    fn copy(&self, from: &str, to: &str, mask: bool) {
        fs::copy(self.file(from, mask), self.file(to, mask)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("nervelight-train").unwrap());
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    fn good(&self, arguments: &[&str]) -> String {
        let ended = run(&mut self.command(arguments)).unwrap();
        assert!(ended.success, "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    fn bad(&self, arguments: &[&str]) -> String {
        let Ended { success, stderr, .. } = run(&mut self.command(arguments)).unwrap();
        assert!(!success && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
        stderr
    }

    /// The corrections, without digests of contents.
    fn decisions(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("corrections.toml")).unwrap_or_default();
        let told = |line: &&str| {
            ["rule", "by", "name", "keep", "drop"].iter().any(|key| line.starts_with(&format!("{key} = ")))
        };
        let parts = text.split("[[decision]]\n").skip(1);
        parts.map(|part| part.lines().filter(told).collect::<Vec<_>>().join(" ").replace('"', "")).collect()
    }
}

/// `analyze resolve`, serving its page.
fn resolve(data: &Data) -> Served {
    Served::start(data.command(&["analyze", "resolve", "--data", "data", "--port", "0"])).unwrap()
}

#[test]
fn a_person_resolves_groups_and_training_applies_it() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let data = Data::planted();
    let page = resolve(&data);
    // The page is ready when it takes keys again: those typed while it saves are not for the next group.
    let see = |selector: &str, text: &str| {
        let selector = format!("body[data-ready] {selector}");
        browser.see(&selector, text).inspect_err(|_| browser.keep("failed.png").unwrap()).unwrap();
    };
    browser.go(&page.address).unwrap();
    see("#progress", "0 of 3 resolved");
    see("#head", "nerve in some only");
    assert_eq!(browser.texts("#list button").unwrap().len(), 3);
    browser.keep("open.png").unwrap();

    // By keyboard: the second mask, taken back, made again, taken back.
    let first = browser.texts("h2").unwrap()[0].clone();
    browser.press("2").unwrap();
    see("#progress", "1 of 3 resolved");
    assert_eq!(data.decisions().len(), 1);
    browser.press("z").unwrap();
    see("#progress", "0 of 3 resolved");
    see("h2", first.lines().next().unwrap());
    assert!(data.decisions().is_empty());
    browser.press("y").unwrap();
    see("#progress", "1 of 3 resolved");
    browser.press_with(Key::Control, 'z').unwrap();
    see("#progress", "0 of 3 resolved");

    // By mouse: one of each kind.
    let open = |names: &str| {
        let at = browser.texts("#list span").unwrap().iter().position(|text| text == names).unwrap();
        browser.click(&format!("#list button:nth-child({})", at + 1)).unwrap();
        see("h2", names);
    };
    open("1_90 · 1_91");
    browser.click("#keep-2").unwrap();
    see("#progress", "1 of 3 resolved");
    open("2_90 · 3_90");
    browser.click("#empty").unwrap();
    see("#progress", "2 of 3 resolved");
    open("4_90 · 4_91 · 4_92");
    browser.press_with(Key::Shift, '3').unwrap();
    see("#progress", "3 of 3 resolved");
    see("figure.dropped", "4_92");
    see(".all-done", "corrections = \"corrections.toml\"");
    browser.keep("done.png").unwrap();
    let mut decided = data.decisions();
    decided.sort();
    assert_eq!(
        decided,
        [
            "rule = empty by = person name = 2_90 name = 3_90",
            "rule = keep by = person name = 1_90 name = 1_91 keep = true",
            "rule = own by = person name = 4_90 name = 4_91 name = 4_92 drop = true",
        ]
    );

    // Two back, across groups, and one of them decided otherwise: nothing to do again then.
    browser.click("#undo").unwrap();
    see("#progress", "2 of 3 resolved");
    browser.press("z").unwrap();
    see("h2", "2_90 · 3_90");
    see("#progress", "1 of 3 resolved");
    browser.press("u").unwrap();
    see("#progress", "2 of 3 resolved");
    assert_eq!(browser.run("return document.getElementById('redo').disabled").unwrap(), true);

    // Started again, it knows what was decided.
    drop(page);
    let page = resolve(&data);
    browser.go(&page.address).unwrap();
    see("#progress", "2 of 3 resolved");
    see("h2", "4_90 · 4_91 · 4_92");
    browser.click("#majority").unwrap();
    see("#progress", "3 of 3 resolved");
    drop(page);
    browser.press("z").unwrap();
    see("#error", "no connection");

    train(&data);
}

/// Trains for an epoch with the corrections, and judges and resumes with them.
fn train(data: &Data) {
    let config = "data = \"data\"\nrun = \"run\"\nwidth = 0.0625\nfolds = 4\nepochs = 1\nbatch_size = 8\n\
        learning_rate = 1e-3\nloss = \"bce-dice\"\ncorrections = \"corrections.toml\"\n";
    fs::write(data.path("train.toml"), config).unwrap();
    let said = data.good(&["train", "--config", "train.toml"]);
    // The kept mask for its twin, a nerve for the frame that had none, none for the one that had.
    assert!(said.contains("corrections: 0 frames dropped, 3 masks replaced"), "{said}");
    let same =
        |a: &str, b: &str| assert_eq!(fs::read(data.path(a)).unwrap(), fs::read(data.path(b)).unwrap());
    same("run/corrections.toml", "corrections.toml");

    // Judged by what it was trained on, also after the file has changed.
    let count = |part: &str| {
        let out = format!("out-{part}");
        data.good(&["evaluate", "--run", "run", "--part", part, "--overlays", "0", "--out", &out]);
        let frames = fs::read_to_string(data.path(&format!("{out}/frames.csv"))).unwrap();
        let truth = |name: &str| -> Option<usize> {
            let line = frames.lines().find(|line| line.starts_with(&format!("{name},")))?;
            line.split(',').nth(2)?.parse().ok()
        };
        (truth("1_90"), truth("1_91"), truth("2_90"), truth("3_90"), truth("4_92"))
    };
    let (a, b, c, d, e) = count("all");
    assert!(a == b && a > Some(0) && c == d && c > Some(0) && e == Some(0), "{a:?} {b:?} {c:?} {d:?} {e:?}");

    data.good(&["analyze", "resolve", "--data", "data", "--corrections", "other.toml", "--auto", "drop"]);
    fs::rename(data.path("other.toml"), data.path("corrections.toml")).unwrap();
    assert_eq!(count("all"), (a, b, c, d, e), "the run keeps its own copy");
    let error = data.bad(&["train", "--config", "train.toml", "--resume"]);
    assert!(error.contains("a resumed run keeps its corrections"), "{error}");
    let own = config.replace("\"corrections.toml", "\"run/corrections.toml");
    fs::write(data.path("train.toml"), own).unwrap();
    let said = data.good(&["train", "--config", "train.toml", "--resume"]);
    assert!(said.contains("already finished"), "{said}");
}

#[test]
fn rules_resolve_without_a_page_and_stale_decisions_are_refused() {
    let data = Data::planted();
    let resolve = ["analyze", "resolve", "--data", "data", "--auto"];
    let auto = |rule| data.good(&[&resolve[..], &[rule]].concat());
    let said = auto("majority");
    assert!(said.contains("4_90, 4_91, 4_92: no nerve, by the majority of 3"), "{said}");
    assert!(said.contains("2_90, 3_90: left open, the masks have no majority"), "{said}");
    // What is decided stays decided.
    let said = auto("drop");
    assert!(said.contains("2_90, 3_90: all dropped") && !said.contains("4_90, 4_91"), "{said}");
    assert_eq!(data.decisions().len(), 3);

    fs::write(
        data.path("train.toml"),
        "data = \"data\"\nrun = \"run\"\ncorrections = \"corrections.toml\"\n",
    )
    .unwrap();
    fs::remove_file(data.file("4_92", false)).unwrap();
    fs::remove_file(data.file("4_92", true)).unwrap();
    let error = data.bad(&["train", "--config", "train.toml"]);
    assert!(error.contains("4_92 is not there any more"), "{error}");
    assert!(error.contains("corrections.toml:") && error.contains("--prune"), "{error}");
    let said = data.good(&[&resolve[..], &["union", "--prune"]].concat());
    assert!(said.contains("1 decisions on frames that are not in the data are forgotten"), "{said}");
    assert_eq!(data.decisions().len(), 2);
    fs::write(data.path("corrections.toml"), "schema = 9\n").unwrap();
    assert!(
        data.bad(&[&resolve[..], &["union"]].concat()).contains("corrections.toml:1: schema: 9 is unknown")
    );
}
