//! The loop: two carts keep crops, a person reviews them in a browser, a network is trained on them.

use std::fs;
use std::path::Path;
use std::process::Command;

use nervelight_tests::browser::Browser;
use nervelight_tests::web::Served;
use nervelight_tests::{Ended, free_port, program, run};
use serde_json::Value;

use super::{ALL, cart, count, export, files, harvest};

fn trainer(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("nervelight-train").unwrap());
    command.args(arguments).current_dir(folder);
    command
}

fn done(folder: &Path, arguments: &[&str]) -> Ended {
    let ended = run(&mut trainer(folder, arguments)).unwrap();
    assert!(ended.success, "{arguments:?}: {}", ended.stderr);
    ended
}

/// `analyze review`, serving its page.
fn serve(folder: &Path) -> Served {
    let arguments = ["analyze", "review", "--data", "data", "--reviewer", "A. Meyer", "--port", "0"];
    Served::start(trainer(folder, &arguments)).unwrap()
}

/// What was decided, line by line.
fn decided(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("data/drafts/review.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The canvas in the window: its middle, and a hundredth of its smaller side.
fn middle(browser: &Browser) -> (i64, i64, i64) {
    let at = browser
        .run(
            "const c = document.getElementById('canvas').getBoundingClientRect(); return [Math.round(c.x + c.width / \
             2), Math.round(c.y + c.height / 2), Math.round(Math.min(c.width, c.height) / 100)]",
        )
        .unwrap();
    let number = |i: usize| at[i].as_i64().unwrap();
    (number(0), number(1), number(2))
}

#[test]
fn what_carts_keep_is_reviewed_and_trained_on() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let work = tempfile::tempdir().unwrap();
    let folder = work.path();
    for (n, seed) in [(1, 3), (2, 11)] {
        let port = free_port().unwrap();
        let cart = cart(port, &format!("{{ kind = \"phantom\", fps = 30, seed = {seed} }}"), ALL);
        let running = cart.start().unwrap();
        harvest(port, "crops", |h| count(&h["items"]) >= 4);
        assert!(running.terminate().unwrap().success);
        export(&cart, &folder.join(format!("cart{n}")));
    }
    let said = done(folder, &["import", "--harvest", "cart1", "--harvest", "cart2", "--to", "data"]).stdout;
    assert!(said.contains("of 2 cases"), "{said}");

    // Nothing was reviewed: nothing is trained on.
    let config = "data = \"data\"\nrun = \"run\"\nwidth = 0.0625\nfolds = 2\nepochs = 1\nbatch_size = 4\n\
        learning_rate = 1e-3\nloss = \"bce-dice\"\n";
    fs::write(folder.join("train.toml"), config).unwrap();
    let refused = run(&mut trainer(folder, &["train", "--config", "train.toml"])).unwrap();
    assert!(!refused.success && refused.stderr.contains("are not reviewed"), "{}", refused.stderr);

    review(&browser, folder);
    let said = done(folder, &["train", "--config", "train.toml"]);
    assert!(!said.stderr.contains("not reviewed"), "{}", said.stderr);
    let split = fs::read_to_string(folder.join("run/split.json")).unwrap();
    let split: Value = serde_json::from_str(&split).unwrap();
    let cases_of = |fold: &Value| -> std::collections::BTreeSet<String> {
        let names = fold.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        names.map(|name| name.split('_').next().unwrap().to_owned()).collect()
    };
    let folds: Vec<_> = split["folds"].as_array().unwrap().iter().map(cases_of).collect();
    assert!(folds[0].is_disjoint(&folds[1]), "no case is divided: {folds:?}");
}

/// By mouse, by touch and by keyboard, with a reload and a restart between.
fn review(browser: &Browser, folder: &Path) {
    let see = |selector: &str, text: &str| {
        let selector = format!("body[data-ready] {selector}");
        browser.see(&selector, text).inspect_err(|_| drop(browser.keep("review-failed.png"))).unwrap();
    };
    let page = serve(folder);
    browser.go(&page.address).unwrap();
    see("#progress", "0 of ");
    see("#keep", "Accept");
    browser.keep("review-open.png").unwrap();
    let all = browser.texts("#progress").unwrap()[0].split(' ').nth(2).unwrap().parse::<usize>().unwrap();
    assert!(all >= 8);
    // As it is.
    browser.press("\u{e007}").unwrap();
    see("#progress", "1 of ");
    assert_eq!(decided(folder)[0]["decision"], "accepted");

    // By mouse: painted, taken back, made again; a reload forgets nothing.
    let (x, y, unit) = middle(browser);
    let area = || browser.texts("#keep small").unwrap()[0].clone();
    browser
        .stroke(
            "mouse",
            &[(x - 20 * unit, y + 20 * unit), (x, y + 30 * unit), (x + 20 * unit, y + 20 * unit)],
        )
        .unwrap();
    see("#keep", "Save correction");
    let painted = area();
    browser.keep("review-painted.png").unwrap();
    browser.press("z").unwrap();
    see("#keep", "Accept");
    browser.press("y").unwrap();
    see("#keep", "Save correction");
    browser.go(&page.address).unwrap();
    see("#keep", "Save correction");
    assert_eq!(area(), painted, "a reload forgets nothing");
    browser.click("#keep").unwrap();
    see("#progress", "2 of ");
    let second = decided(folder)[1].clone();
    assert_eq!((&second["decision"], &second["reviewer"]), (&"corrected".into(), &"A. Meyer".into()));
    assert!(second["before"] != second["after"], "{second}");

    // By finger: the eraser.
    see("#keep", "Accept");
    browser.click("#eraser").unwrap();
    browser
        .run("const s = document.getElementById('size'); s.value = 80; s.dispatchEvent(new Event('input'))")
        .unwrap();
    let across: Vec<_> = (0..9).map(|n| (x - 40 * unit, y + (10 * n - 40) * unit)).collect();
    for (left, row) in across {
        browser.stroke("touch", &[(left, row), (x, row), (x + 40 * unit, row)]).unwrap();
    }
    see("#keep", "Save correction");
    browser.keep("review-erased.png").unwrap();
    browser.press("\u{e007}").unwrap();
    see("#progress", "3 of ");

    // Only by keyboard: a line, a smaller brush, no nerve, the model's mask again, reject, back again, reopen.
    browser.press("b").unwrap();
    see("#keep", "Accept");
    browser.press("[[").unwrap();
    browser.press_while(' ', &['\u{e014}', '\u{e014}', '\u{e015}']).unwrap();
    see("#undo:enabled", "Undo");
    browser.press("m").unwrap();
    see("#keep", "Accept");
    browser.press("n").unwrap();
    browser.press("m").unwrap();
    browser.press("x").unwrap();
    see("#progress", "4 of ");
    browser.press("\u{e00e}").unwrap();
    see("#verdict", "rejected");
    browser.press("\u{e003}").unwrap();
    see("#progress", "3 of ");
    see("#verdict", "open");

    // Zoomed, on a phone.
    browser.press("++").unwrap();
    browser.keep("review-zoomed.png").unwrap();
    browser.size(390, 844).unwrap();
    browser.keep("review-phone.png").unwrap();
    browser.size(1500, 950).unwrap();

    // Another program of the same data is refused; a restart goes on.
    let other =
        run(&mut trainer(folder, &["analyze", "review", "--data", "data", "--reviewer", "B", "--port", "0"]))
            .unwrap();
    assert!(!other.success && other.stderr.contains("another review"), "{}", other.stderr);
    drop(page);
    browser.press("x").unwrap();
    see("#error", "no connection");
    let page = serve(folder);
    browser.go(&page.address).unwrap();
    see("#progress", &format!("3 of {all}"));
    for n in 4..=all {
        browser.press("\u{e007}").unwrap();
        see("#progress", &format!("{n} of {all}"));
    }
    browser.keep("review-done.png").unwrap();
    drop(page);

    let decided = decided(folder);
    assert!(decided.iter().all(|line| line["reviewer"] == "A. Meyer" && line["at"].is_string()));
    let verdicts: Vec<_> = decided.iter().map(|line| line["decision"].as_str().unwrap()).collect();
    assert_eq!(verdicts[..5], ["accepted", "corrected", "corrected", "rejected", "reopened"]);
    let masks =
        files(&folder.join("data/train")).into_iter().filter(|path| path.to_str().unwrap().contains("_mask"));
    assert_eq!(masks.count(), all);
}
