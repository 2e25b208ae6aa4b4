//! `nervelightd` with TensorRT engines, on a machine whose driver and libraries are stand-ins.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nervelight_tests::fake_tensorrt::{bundle, libraries};
use nervelight_tests::{Cart, Ended, program, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A cart with a bundle and a store in its folder.
struct Bench {
    cart: Cart,
    libraries: TempDir,
}

impl Bench {
    fn new(models: &[(&str, &str)], source: &str) -> Self {
        let cart = Cart::new(&format!(
            r#"
            source = {{ {source} }}
            model = {{ bundle = "tiny.bundle" }}
            http = {{ enabled = false }}
            sync = {{ mode = "exact" }}
            report = {{ path = "report.json" }}
            sinks = [{{ kind = "null" }}]
            [engine]
            backend = "tensorrt"
            precision = "fp16"
            [engine.tensorrt]
            store = "engines"
            "#
        ))
        .unwrap();
        bundle(&cart.path("tiny.bundle"), models).unwrap();
        Self { cart, libraries: libraries().unwrap() }
    }

    fn good(source: &str) -> Self {
        Self::new(&[("fp16.onnx", "fake:identity")], source)
    }

    fn command(&self, faults: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("nervelightd").unwrap());
        command.args(arguments).current_dir(self.cart.dir.path()).env_remove("NOTIFY_SOCKET");
        command.env("LD_LIBRARY_PATH", self.libraries.path()).env("NERVELIGHT_FAKE_TENSORRT", faults);
        command.env("NERVELIGHT_FAKE_TENSORRT_JOURNAL", self.cart.path("journal"));
        command
    }

    fn run(&self, faults: &str, arguments: &[&str]) -> Ended {
        run(&mut self.command(faults, arguments)).unwrap()
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.cart.path("journal")).unwrap_or_default()
    }

    /// Files in the store that end so.
    fn stored(&self, extension: &str) -> usize {
        fs::read_dir(self.cart.path("engines")).map_or(0, |files| {
            files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == extension)).count()
        })
    }
}

const BUILD: [&str; 5] = ["build", "--bundle", "tiny.bundle", "--store", "engines"];
const RUN: [&str; 3] = ["run", "--config", "cart.toml"];

#[test]
fn build_list_verify_and_prune() {
    let bench = Bench::good("kind = \"phantom\"");
    let built = bench.run("", &BUILD);
    assert!(
        built.success && built.stdout.contains("tiny 1 fp16 engine for Fake GPU (TensorRT 1"),
        "{built:?}"
    );
    assert!(built.stdout.contains("Dice 1.0000"), "{built:?}");
    assert_eq!((bench.stored("plan"), bench.stored("json"), bench.stored("cache")), (1, 1, 1));
    assert!(bench.run("", &BUILD).success);
    assert_eq!(bench.journal().matches("build\n").count(), 1, "the store has it");
    assert!(bench.run("", &[&BUILD[..], &["--force"]].concat()).success);
    assert_eq!(bench.journal().matches("build\n").count(), 2);

    let list = ["engines", "--store", "engines"];
    let listed = bench.run("", &list);
    assert!(listed.stdout.contains("tiny 1 fp16") && listed.stdout.contains(": good"), "{listed:?}");
    let prune = [&list[..], &["--prune"]].concat();
    assert!(bench.run("", &prune).success && bench.stored("plan") == 1, "what is good stays");

    let plan = fs::read_dir(bench.cart.path("engines")).unwrap().map(|f| f.unwrap().path());
    let plan = plan.into_iter().find(|f| f.extension().is_some_and(|e| e == "plan")).unwrap();
    fs::write(&plan, "").unwrap();
    let json: Value =
        serde_json::from_str(&bench.run("", &[&list[..], &["--json"]].concat()).stdout).unwrap();
    assert!(json[0]["state"].as_str().unwrap().contains("no bytes"), "{json:#}");
    assert!(bench.run("", &prune).success);
    assert_eq!((bench.stored("plan"), bench.stored("json")), (0, 0));
    assert!(bench.run("", &list).stdout.contains("no engines"));
}

#[test]
fn valgrind_finds_nothing() {
    let bench = Bench::good("kind = \"phantom\"");
    for (faults, success) in [("", true), ("integrated", true), ("falls_off=0", false)] {
        let mut command = Command::new("valgrind");
        command.args([
            "--quiet",
            "--leak-check=full",
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
        ]);
        let plain = bench.command(faults, &[&BUILD[..], &["--force"]].concat());
        command.arg(plain.get_program()).args(plain.get_args()).current_dir(bench.cart.dir.path());
        command.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let ended = run(&mut command).unwrap();
        assert!(!ended.stderr.contains("=="), "{faults}: {}", ended.stderr);
        assert_eq!(ended.success, success, "{faults}: {}", ended.stderr);
    }
}

#[test]
fn a_live_run_shows_video_under_a_badge_until_the_engine_is_built() {
    let bench = Bench::good("kind = \"phantom\", fps = 15, frames = 60");
    let ended = bench.run("slow_build=50", &RUN);
    assert!(ended.success, "{}", ended.stderr);
    let report = bench.cart.report().unwrap();
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("frames_in"), count("frames_out") + count("dropped"), "{report:#}");
    assert!(count("frames_badged") >= 10 && count("frames_masked") >= 10, "{report:#}");
    assert!(count("crops_skipped") >= 10 && count("engine_errors") == 0, "{report:#}");
    assert_eq!(report["engine"]["provider"], "Fake GPU", "{report:#}");
    assert!(report["latency_ms"]["max"].as_f64().unwrap() < 1000.0, "it waited for the build: {report:#}");
    // Every object and allocation that came is gone again.
    let journal = bench.journal();
    let (made, freed) = (journal.matches("+\n").count(), journal.matches("-\n").count());
    assert!(made > 10 && made == freed, "{made} made, {freed} freed:\n{journal}");
    assert!(journal.ends_with("device-\n"), "{journal}");

    let again = bench.run("", &RUN);
    assert!(again.success && !again.stderr.contains("building"), "{}", again.stderr);
}

#[test]
fn a_recorded_source_waits_for_its_engine() {
    let bench = Bench::good("kind = \"phantom\", frames = 5, paced = false");
    let ended = bench.run("slow_build=10", &RUN);
    assert!(ended.success, "{}", ended.stderr);
    let report = bench.cart.report().unwrap();
    assert_eq!((&report["frames_masked"], &report["frames_badged"]), (&5.into(), &0.into()), "{report:#}");
}

#[test]
fn a_build_ends_when_it_is_told_to() {
    let bench = Bench::good("kind = \"phantom\", fps = 15");
    let slow = "slow_build=500";
    for (arguments, signal) in [(&BUILD[..], Signal::INT), (&RUN[..], Signal::TERM)] {
        let _ = fs::remove_file(bench.cart.path("journal"));
        let mut command = bench.command(slow, arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the build", || bench.journal().contains("build\n").then_some(())).unwrap();
        if arguments == &RUN[..] {
            std::thread::sleep(Duration::from_millis(500));
        }
        let begun = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let (status, said) = (output.status, String::from_utf8_lossy(&output.stderr));
        assert!(begun.elapsed() < Duration::from_secs(5), "{arguments:?} took {:?}", begun.elapsed());
        assert!(!said.contains("ERROR"), "nothing went wrong: {said}");
        let stopped = bench.journal().contains("cancelled\n");
        assert!(stopped && bench.stored("plan") == 0, "{arguments:?}: {status}\n{}", bench.journal());
        assert_eq!(
            status.success(),
            arguments == &RUN[..],
            "a build that was stopped has failed, a run has not"
        );
    }
}

#[test]
fn a_build_that_does_not_hear_a_stop_does_not_keep_the_process() {
    // A recorded source waits for its engine, a live one does not.
    let recorded = "kind = \"phantom\", frames = 5, paced = false";
    let live = "kind = \"phantom\", fps = 15";
    for (source, arguments, signal, code) in [
        (recorded, &BUILD[..], Signal::INT, 1),
        (recorded, &RUN[..], Signal::TERM, 0),
        (live, &RUN[..], Signal::TERM, 0),
    ] {
        let bench = Bench::good(source);
        // One step of TensorRT's that takes longer than anybody waits.
        let mut command = bench.command("slow_build=120000", arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the build", || bench.journal().contains("build\n").then_some(())).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(begun.elapsed() < Duration::from_secs(25), "{arguments:?} took {:?}", begun.elapsed());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("hangs") && !said.contains("ERROR"), "{arguments:?}: {said}");
        if source == live {
            assert!(bench.cart.report().unwrap()["frames_out"].as_u64() > Some(0));
        }
    }
}

#[test]
fn a_gpu_that_is_lost_ends_the_process_with_an_exit_code_of_its_own() {
    let bench = Bench::good("kind = \"phantom\", fps = 15, frames = 600");
    // While it runs, and while the engine is opened.
    for faults in ["falls_off=10", "falls_off=0"] {
        let ended = bench.run(faults, &RUN);
        assert_eq!(ended.code, Some(75), "{faults}: {}", ended.stderr);
        assert!(ended.stderr.contains("CUDA_ERROR_LAUNCH_FAILED (719)"), "{faults}: {}", ended.stderr);
        assert!(ended.stderr.contains("start it again"), "{faults}: {}", ended.stderr);
        let report = bench.cart.report().unwrap();
        assert!(report["error"].as_str().unwrap().contains("719"), "{faults}: {report:#}");
    }
    // The next process has the GPU back.
    let bench = Bench::good("kind = \"phantom\", fps = 15, frames = 5");
    assert!(bench.run("", &RUN).success);
}

#[test]
fn an_engine_that_hangs_is_opened_anew() {
    let bench = Bench::good("kind = \"phantom\", fps = 15, frames = 150");
    assert!(bench.run("", &BUILD).success);
    // Golden frames come first.
    let ended = bench.run("hangs_at=20", &RUN);
    assert!(ended.success && ended.stderr.contains("it is opened anew"), "{}", ended.stderr);
    let report = bench.cart.report().unwrap();
    let figure = |key: &str| report[key].as_u64().unwrap();
    assert_eq!((figure("frames_in"), figure("frames_out") + figure("dropped")), (150, 150), "{report:#}");
    assert!(figure("frames_out") > 130, "one wait for the engine, then none: {report:#}");
    assert_eq!((&report["engine_generation"], &report["ai"]), (&2.into(), &"on".into()), "{report:#}");
    assert!(
        report["frames_badged"].as_u64() > Some(15) && report["frames_masked"].as_u64() > Some(50),
        "{report:#}"
    );
}

#[test]
fn an_engine_too_slow_for_live_video_does_not_flicker() {
    let bench = Bench::good("kind = \"phantom\", fps = 30, frames = 240");
    let config = fs::read_to_string(bench.cart.path("cart.toml")).unwrap();
    fs::write(bench.cart.path("cart.toml"), config.replace("\"exact\"", "\"latest\"")).unwrap();
    assert!(bench.run("", &BUILD).success);
    // A mask is 180 to 360 ms old, and 200 ms is the limit.
    let ended = bench.run("slow_frame=180", &RUN);
    assert!(ended.success, "{}", ended.stderr);
    let report = bench.cart.report().unwrap();
    assert!(report["frames_masked"].as_u64() < Some(20), "{report:#}");
    assert!(report["frames_badged"].as_u64() > Some(200), "{report:#}");
}

#[test]
fn a_precision_that_was_rejected_is_not_called_built() {
    let models = [("fp16.onnx", "fake:invert"), ("fp32.onnx", "fake:identity")];
    let bench = Bench::new(&models, "kind = \"phantom\"");
    assert!(bench.run("", &BUILD).success);
    let check = bench.run("", &["check", "--config", "cart.toml"]);
    assert!(check.success && check.stdout.contains("rejected when it was built"), "{check:?}");
    assert!(!check.stdout.contains("built before"), "{check:?}");
}

#[test]
fn a_cart_without_a_gpu_says_so_at_once() {
    let bench = Bench::good("kind = \"phantom\", fps = 15");
    for arguments in [&RUN[..], &BUILD[..], &["check", "--config", "cart.toml"]] {
        let refused = bench.run("no_gpu", arguments);
        assert!(
            !refused.success && refused.stderr.contains("there is no GPU 0"),
            "{arguments:?}: {refused:?}"
        );
        assert!(!refused.stderr.contains("panicked"), "{refused:?}");
    }
    let check = bench.run("", &["check", "--config", "cart.toml"]);
    assert!(check.success && check.stdout.contains("not built yet"), "{check:?}");
    assert!(!bench.journal().contains("build\n"), "a check builds nothing");
}

#[test]
fn an_engine_that_cannot_be_built_leaves_the_video_and_says_why() {
    let bench = Bench::good("kind = \"phantom\", fps = 15, frames = 20");
    let ended = bench.run("parser_error", &RUN);
    assert!(ended.success && ended.stderr.contains("node 7 'conv1' (Strange)"), "{}", ended.stderr);
    let report = bench.cart.report().unwrap();
    assert!(report["engine_failed"].as_str().unwrap().contains("parse the model"), "{report:#}");
    assert_eq!(report["frames_badged"], report["frames_out"], "{report:#}");
}

#[test]
fn a_precision_that_is_rejected_gives_way_with_its_figures() {
    let models = [("fp16.onnx", "fake:invert"), ("fp32.onnx", "fake:identity")];
    let bench = Bench::new(&models, "kind = \"phantom\", frames = 3, paced = false");
    let ended = bench.run("", &RUN);
    assert!(ended.success && ended.stderr.contains("Dice 0.000, at least 0.98"), "{}", ended.stderr);
    let report = bench.cart.report().unwrap();
    assert_eq!(report["engine"]["precision"], "fp32", "{report:#}");
}

#[test]
fn bench_measures_every_backend_and_precision_that_is_there() {
    let models =
        [("fp16.onnx", "fake:invert"), ("fp32.onnx", "fake:identity"), ("int8-trt.onnx", "fake:identity")];
    let bench = Bench::new(&models, "kind = \"phantom\"");
    let arguments = ["bench", "--bundle", "tiny.bundle", "--frames", "20", "--seconds", "1"];
    let ended = bench.run("", &[&arguments[..], &["--store", "engines", "--json", "b.json"]].concat());
    assert!(ended.success, "{ended:?}");
    let json: Value = serde_json::from_slice(&fs::read(bench.cart.path("b.json")).unwrap()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let names: Vec<_> =
        rows.iter().map(|r| format!("{} {}", r["backend"], r["precision"]).replace('"', "")).collect();
    let mut expected = vec!["onnx fp32", "onnx fp16", "openvino fp32", "openvino fp16"];
    expected.extend(["tensorrt fp32", "tensorrt fp16", "tensorrt int8"]);
    if cfg!(feature = "tensorrt-rtx") {
        // Its library is not among the stand-ins.
        expected.extend(["tensorrt-rtx fp32", "tensorrt-rtx fp16", "tensorrt-rtx int8"]);
        assert!(rows[7]["failed"].as_str().unwrap().contains("libtensorrt_rtx.so.1"), "{json:#}");
    }
    assert_eq!(names, expected);
    // These models are none to ONNX Runtime, which is a row and not the end.
    assert!(rows[0]["failed"].as_str().unwrap().contains("fp32.onnx"), "{json:#}");
    assert!(ended.stdout.contains("not measured: onnx fp16"), "{ended:?}");
    let engine = &rows[4]["engine"];
    assert_eq!(engine["device_ms"]["p50"], 1.5, "{json:#}");
    assert!(engine["frames_per_s"].as_f64().unwrap() > 1.0 && engine["memory_mb"].as_f64().unwrap() > 1.0);
    assert_eq!(rows[5]["engine"]["precision"], "fp32", "fp16 was rejected");
    assert!(ended.stdout.contains("tensorrt fp16 (as fp32)"), "{}", ended.stdout);
    let pipeline = &rows[6]["pipeline"];
    assert_eq!(pipeline["frames_in"], 30, "{json:#}");
    assert!(pipeline["frames_masked"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn bench_tells_what_graphics_cards_took() {
    let bench = Bench::good("kind = \"phantom\"");
    let joules = |faults: &str, seconds: f64| {
        let arguments = ["bench", "--bundle", "tiny.bundle", "--frames", "20", "--seconds", "0"];
        let ended =
            bench.run(faults, &[&arguments[..], &["--store", "engines", "--json", "b.json"]].concat());
        assert!(ended.success && ended.stdout.contains("GPU mJ"), "{ended:?}");
        let json: Value = serde_json::from_slice(&fs::read(bench.cart.path("b.json")).unwrap()).unwrap();
        let rows = json["rows"].as_array().unwrap();
        let engine = rows.iter().find(|row| row["backend"] == "tensorrt").unwrap()["engine"].clone();
        assert!(20.0 / engine["frames_per_s"].as_f64().unwrap() >= seconds, "{json:#}");
        engine["gpu_joules_per_frame"].as_f64()
    };
    // Two GPUs with 4 J each from the first reading to the last, 20 frames.
    assert_eq!(joules("slow_frame=55", 1.1), Some(0.4));
    // Two with 25 W each, for 1.1 s and however much longer this machine took.
    let sampled = joules("slow_frame=55,no_energy", 1.1).unwrap();
    assert!((2.5..20.0).contains(&sampled), "{sampled}");
    assert_eq!(joules("slow_frame=55,no_energy,no_power", 1.1), None);
    assert_eq!(joules("", 0.0), None, "too short to tell");
}
