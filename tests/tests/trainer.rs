//! From nothing to a running model: data, training, evaluation, export, daemon.
#![allow(clippy::unwrap_used)]

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::{GrayImage, Luma, RgbImage};
use rustix::process::{Pid, Signal, kill_process};

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
folds = 2
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
    // Cut short while it judged.
    fs::remove_file(here.join("run/evaluation/report.html")).unwrap();
    for judges in [true, false] {
        let said = good(here, &["train", "--config", "train.toml", "--resume"]);
        assert!(said.contains("already finished") && said.contains("report in") == judges, "{said}");
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

    // 8 bits are for networks that have learnt something.
    let few = ["--precisions", "fp32,fp16", "--calibration-frames", "2", "--judged-frames", "4"];
    let export = ["export", "--run", "run", "--out", "new.bundle", "--frames", "3"];
    let said = good(here, &[&export[..], &few].concat());
    assert!(said.contains("3 frames equal to the trained network"), "{said}");
    assert!(said.contains("95% interval") && said.contains("fp16.onnx: largest value"), "{said}");
    assert!(here.join("new.bundle/fp16.onnx").is_file());
    let taken = train(here, &["export", "--run", "run", "--out", "new.bundle"]);
    assert!(!taken.success && taken.stderr.contains("is there already"), "{}", taken.stderr);

    export_told_to_stop_leaves_nothing(here);
    export_leaves_out_what_is_bad_and_keeps_the_rest(here);

    // The same frames through the bundle's engine: the same figures.
    let engine =
        ["evaluate", "--bundle", "new.bundle", "--backend", "onnx", "--run", "run", "--out", "engine"];
    let table = good(here, &engine);
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

fn export_told_to_stop_leaves_nothing(here: &Path) {
    let unfinished = || {
        let names = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".export-")).count()
    };
    let mut command = Command::new(program("nervelight-train").unwrap());
    command.args(["export", "--run", "run", "--out", "stopped.bundle"]).current_dir(here);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while unfinished() == 0 {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(unfinished(), 0);
    assert!(!here.join("stopped.bundle").exists());
}

/// 8 bits of a network that has learnt next to nothing are out of their depth.
fn export_leaves_out_what_is_bad_and_keeps_the_rest(here: &Path) {
    let few = ["--calibration-frames", "2", "--judged-frames", "4", "--max-loss=-1"];
    let export = |out, more: &[&str]| {
        train(here, &[&["export", "--run", "run", "--frames", "3", "--out", out], &few[..], more].concat())
    };
    let ended = export("all.bundle", &[]);
    assert!(ended.success, "{}", ended.stderr);
    let fp32 = ended.stdout.find("fp32 is in all.bundle").unwrap();
    let said = &ended.stdout[fp32..];
    for file in ["fp16.onnx", "int8-cpu.onnx", "int8-trt.onnx"] {
        assert!(said.contains(&format!("{file}: LEFT OUT of the bundle: it loses")), "{said}");
        assert!(!here.join("all.bundle").join(file).exists(), "{file}");
    }
    assert!(here.join("all.bundle/fp32.onnx").is_file());
    let golden = fs::read_dir(here.join("all.bundle/golden")).unwrap().count();
    assert!(golden >= 4, "{golden} files of golden frames");
    let ended = export("required.bundle", &["--require", "int8"]);
    assert!(!ended.success && ended.stderr.contains("int8-cpu.onnx: it loses"), "{}", ended.stderr);
    assert!(!here.join("required.bundle").exists());
    let left: Vec<_> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".export-")), "{left:?}");
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
    says(&["compare", "absent", "absent", "--out", "x.pdf"], &["ends in .html or .csv"]);
    says(&["export", "--run", "absent", "--out", "x.bundle", "--frames", "0"], &["--frames"]);
    says(&["evaluate", "--run", "absent"], &["absent"]);
    says(&["export", "--run", "absent", "--out", "x.bundle"], &["absent"]);
}

/// A frame of 580x420 and its mask, as PNG.
fn save(folder: &Path, name: &str, nerve: u8, mask_width: u32) {
    fs::create_dir_all(folder).unwrap();
    GrayImage::from_fn(580, 420, |x, y| Luma([(x * y) as u8]))
        .save(folder.join(format!("{name}.png")))
        .unwrap();
    let mask = GrayImage::from_pixel(mask_width, 420, Luma([nerve]));
    mask.save(folder.join(format!("{name}_mask.png"))).unwrap();
}

#[test]
fn data_that_cannot_teach_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let data = here.join("data");
    fs::write(here.join("train.toml"), CONFIG).unwrap();
    let refused = |words: &[&str]| {
        let ended = train(here, &["train", "--config", "train.toml"]);
        assert!(!ended.success && !ended.stderr.contains("panicked"), "{}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{word:?} is missing in:\n{}", ended.stderr);
        }
        assert!(!here.join("run/checkpoints/last.safetensors").exists());
        let _ = fs::remove_dir_all(&data);
        let _ = fs::remove_dir_all(here.join("run"));
    };
    (1..=6).for_each(|n| save(&data, &format!("7_{n}"), 255, 580));
    refused(&["1 patients (first: 7)", "split = \"frame\""]);
    (1..=6).for_each(|p| save(&data, &format!("{p}_1"), 0, 580));
    refused(&["no training frame has a nerve", "right masks"]);
    (1..=6).for_each(|p| save(&data, &format!("{p}_1"), 255, 579));
    refused(&["6 of its files", "1_1_mask.png", "579x420", "580x420"]);
    (1..=6).for_each(|p| save(&data, &format!("{p}_1"), 255, 580));
    RgbImage::new(580, 420).save(data.join("3_1.png")).unwrap();
    refused(&["1 of its files", "3_1.png", "not gray"]);
}

/// Ten kills at random moments of a run: it goes on each time, and ends with the bytes of a run that
/// was left alone.
#[test]
fn killed_runs_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    good(here, &["phantom", "--out", "data", "--frames", "18", "--patients", "6", "--seed", "8"]);
    let config = |run: &str| {
        format!(
            "data = \"data\"\nrun = \"{run}\"\nwidth = 0.0625\nthreads = 1\nepochs = 8\nbatch_size = 1\n\
             accumulate = 2\nwarmup = 5\nvalidate_every = 4\nvalidation_limit = 1\nsave_every = 2\n"
        )
    };
    for run in ["straight", "killed"] {
        fs::write(here.join(format!("{run}.toml")), config(run)).unwrap();
    }
    let begun = Instant::now();
    good(here, &["train", "--config", "straight.toml"]);
    let whole = begun.elapsed();

    let random = |n: u32| (RandomState::new().hash_one(n) >> 11) as f64 / (1u64 << 53) as f64;
    let mut log = String::new();
    let mut kills = 0;
    for n in 0..60 {
        if kills == 10 {
            break;
        }
        let mut command = Command::new(program("nervelight-train").unwrap());
        command.args(["train", "--config", "killed.toml", "--resume"]).current_dir(here);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let after = whole.mul_f64(random(n) * 0.6);
        let deadline = Instant::now() + after;
        let ended = loop {
            match child.try_wait().unwrap() {
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                ended => break ended,
            }
        };
        log += &format!("kill {kills} after {after:?}: {ended:?}\n");
        match ended {
            Some(status) => {
                let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
                assert!(status.success(), "{log}{said}");
                same_bytes(here, &log);
                // It was done too early: once more from the start.
                fs::remove_dir_all(here.join("killed")).unwrap();
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
    }
    assert_eq!(kills, 10, "{log}");
    good(here, &["train", "--config", "killed.toml", "--resume"]);
    same_bytes(here, &log);
}

fn same_bytes(here: &Path, log: &str) {
    for file in ["checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.csv", "split.json"]
    {
        let read = |run: &str| fs::read(here.join(run).join(file)).unwrap();
        assert!(read("straight") == read("killed"), "{file} differs after\n{log}");
    }
}
