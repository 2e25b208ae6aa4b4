//! From nothing to a running model: data, training, evaluation, export, daemon.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use nervelight_tests::{Cart, Ended, program, run};

fn train(dir: &Path, arguments: &[&str]) -> Ended {
    run(Command::new(program("nervelight-train").unwrap()).args(arguments).current_dir(dir)).unwrap()
}

fn good(dir: &Path, arguments: &[&str]) -> String {
    let ended = train(dir, arguments);
    assert!(ended.success, "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

const CONFIG: &str = r#"
data = "data"
run = "run"
width = 0.25
epochs = 1
batch_size = 4
learning_rate = 5e-4
loss = "bce-dice"
validation_limit = 4
"#;

#[test]
fn a_model_goes_from_data_to_the_cart() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    good(here, &["phantom", "--out", "data", "--frames", "20", "--patients", "5", "--seed", "3"]);
    let names: Vec<_> =
        fs::read_dir(here.join("data/train")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 40, "a frame and a mask each");

    fs::write(here.join("train.toml"), CONFIG).unwrap();
    good(here, &["train", "--config", "train.toml"]);
    for file in
        ["run/metrics.csv", "run/split.json", "run/checkpoints/best.safetensors", "run/curves/loss.png"]
    {
        assert!(here.join(file).is_file(), "{file}");
    }
    let again = train(here, &["train", "--config", "train.toml"]);
    assert!(!again.success && again.stderr.contains("--resume"), "{}", again.stderr);

    let table = good(here, &["evaluate", "--run", "run", "--overlays", "2"]);
    assert!(
        table.contains("patient") && table.contains("Dice") && table.contains("soft, as published"),
        "{table}"
    );
    assert_eq!(fs::read_dir(here.join("run/evaluation/overlays")).unwrap().count(), 2);
    let page = fs::read_to_string(here.join("run/evaluation/report.html")).unwrap();
    assert!(page.contains("All empty") && page.contains("Curves of training") && !page.contains("LEAKY"));

    let said = good(here, &["export", "--run", "run", "--out", "new.bundle", "--frames", "3"]);
    assert!(said.contains("3 frames equal to the trained network"), "{said}");
    let taken = train(here, &["export", "--run", "run", "--out", "new.bundle"]);
    assert!(!taken.success && taken.stderr.contains("is there already"), "{}", taken.stderr);

    // The same frames through the bundle's engine: the same figures.
    let table = good(here, &["evaluate", "--bundle", "new.bundle", "--run", "run", "--out", "engine"]);
    assert!(table.contains("ONNX Runtime") && !table.contains("SEEN IN TRAINING"), "{table}");
    let changes = good(here, &["compare", "run", "engine", "--fail-below", "0.02", "--out", "changes.html"]);
    assert!(changes.contains("0 frames where only one of them shows a nerve"), "{changes}");
    assert!(fs::read_to_string(here.join("changes.html")).unwrap().contains("<h2>Patients</h2>"));
    let table = good(here, &["evaluate", "--bundle", "new.bundle", "--data", "data", "--out", "all"]);
    assert!(table.contains("SEEN IN TRAINING"), "{table}");
    let other = train(here, &["compare", "run", "all"]);
    assert!(!other.success && other.stderr.contains("evaluate both on the same frames"), "{}", other.stderr);

    let cart = Cart::new(&format!(
        "source = {{ kind = \"phantom\", frames = 5, paced = false }}\nmodel = {{ bundle = \"{}\" }}\n\
         sync = {{ mode = \"exact\" }}\nhttp = {{ enabled = false }}\nsinks = [{{ kind = \"null\" }}]\n\
         report = {{ path = \"report.json\" }}",
        here.join("new.bundle").display()
    ))
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let report = cart.report().unwrap();
    assert_eq!(
        (&report["frames_masked"], &report["engine"]["model"]),
        (&5.into(), &"new 1.0.0".into()),
        "{report:#}"
    );
}

#[test]
fn mistakes_are_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let says = |arguments: &[&str], words: &[&str]| {
        let ended = train(here, arguments);
        assert!(!ended.success, "{arguments:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{word:?} is missing in:\n{}", ended.stderr);
        }
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    };
    fs::write(here.join("train.toml"), CONFIG).unwrap();
    says(&["train", "--config", "train.toml"], &["data"]);
    fs::create_dir_all(here.join("data/train")).unwrap();
    says(&["train", "--config", "train.toml"], &["data", "no frames"]);
    fs::write(here.join("wrong.toml"), "width = 0.3\nepoch = 2\nloss = \"dice\"\n").unwrap();
    says(&["train", "--config", "wrong.toml"], &["wrong.toml:2: epoch", "wrong.toml:3: loss"]);
    says(&["evaluate", "--run", "absent"], &["absent"]);
    says(&["export", "--run", "absent", "--out", "x.bundle"], &["absent"]);
}
