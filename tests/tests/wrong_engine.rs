//! A runtime that computes wrong maps on this processor: every program names it and goes on with one that is right.
#![allow(clippy::unwrap_used)]
#![cfg(target_arch = "x86_64")]

use std::path::{Path, PathBuf};
use std::process::Command;

use nervelight_engines::processor;
use nervelight_tests::{Ended, program, root, run};

/// Where the programs look for OpenVINO first.
const LIBRARY: &str = "OPENVINO_DYLIB_PATH";

/// Compiles the stand-in of OpenVINO that answers every frame with its negative.
fn stand_in(folder: &Path) -> PathBuf {
    let library = folder.join("libopenvino_c.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library);
    let ended = run(compiler.arg(root().join("tests/wrong_openvino/openvino.c"))).unwrap();
    assert!(ended.success, "{}", ended.stderr);
    library
}

#[test]
fn the_trainer_names_it_and_judges_in_another() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let library = stand_in(here);
    let demo = root().join("engines/demo.bundle");
    let demo = demo.to_str().unwrap();
    let train = |arguments: &[&str]| -> Ended {
        let mut command = Command::new(program("nervelight-train").unwrap());
        let ended = run(command.args(arguments).current_dir(here).env(LIBRARY, &library)).unwrap();
        assert!(ended.success, "{arguments:?}: {}", ended.stderr);
        ended
    };
    train(&["phantom", "--out", "data", "--frames", "8", "--patients", "4", "--seed", "5"]);
    let named = |text: &str, file: &str| {
        let on = processor::name();
        text.contains(&format!(
            "OpenVINO 2026.9.9 (CPU, f32) on {on} computes {file} wrong: its maps are off by"
        )) && text.contains("ONNX Runtime")
    };

    let few = ["--calibration-frames", "2", "--judged-frames", "4", "--max-loss", "0.5"];
    let quantize = ["quantize", "--bundle", demo, "--data", "data", "--out", "new.bundle"];
    let said = train(&[&quantize[..], &few].concat());
    for file in ["fp32.onnx", "int8-cpu.onnx", "int8-trt.onnx (with floats of 32 bits)"] {
        assert!(named(&said.stderr, file), "{file}: {}", said.stderr);
    }
    assert!(said.stdout.contains("fp32.onnx: judged in ONNX Runtime"), "{}", said.stdout);
    assert!(here.join("new.bundle/int8-cpu.onnx").is_file(), "{}", said.stdout);

    let said = train(&["evaluate", "--bundle", "new.bundle", "--data", "data", "--precision", "int8"]);
    assert!(named(&said.stdout, "int8-cpu.onnx") && said.stdout.contains("WRONG ENGINE"), "{}", said.stdout);
    let page = here.join("new-int8-auto.evaluation/report.html");
    assert!(std::fs::read_to_string(page).unwrap().contains("WRONG ENGINE"));
}

#[test]
fn the_cart_names_it_and_runs_another() {
    let dir = tempfile::tempdir().unwrap();
    let library = stand_in(dir.path());
    let config = dir.path().join("cart.toml");
    let with = |backend: &str| {
        let text = format!(
            "source = {{ kind = \"phantom\", frames = 5, paced = false }}\nmodel = {{ bundle = {:?} }}\n\
             engine = {{ backend = \"{backend}\", precision = \"int8\" }}\nsync = {{ mode = \"exact\" }}\n\
             http = {{ enabled = false }}\nsinks = [{{ kind = \"null\" }}]\nreport = {{ path = {:?} }}\n",
            root().join("engines/demo.bundle"),
            dir.path().join("report.json"),
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program("nervelightd").unwrap());
        run(command.args(["run", "--config"]).arg(&config).env(LIBRARY, &library)).unwrap()
    };
    let said = with("auto");
    assert!(said.success, "{}", said.stderr);
    let wrong = format!("OpenVINO 2026.9.9 (CPU, f32, int8) on {} gives another result", processor::name());
    assert!(said.stderr.contains(&wrong), "{}", said.stderr);
    let report = std::fs::read_to_string(dir.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["engine"]["runtime"].as_str().unwrap().starts_with("ONNX Runtime"), "{report:#}");
    assert_eq!(report["engine"]["precision"], "int8", "{report:#}");
    assert_eq!(report["frames_masked"], 5, "{report:#}");

    // One that was asked for by name gives way to no other runtime, only to a wider precision.
    let said = with("openvino");
    assert!(!said.success && said.stderr.contains("OpenVINO 2026.9.9 (CPU, f32, fp32)"), "{}", said.stderr);
}
