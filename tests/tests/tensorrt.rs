//! The TensorRT engine against a stand-in of its libraries, every fault included, and against the real lean runtime.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nervelight_engines::store::engines::{Found, Key, Record, Store};
use nervelight_engines::tensorrt::{self, TensorrtError, TensorrtSettings};
use nervelight_engines::{
    Backend, BuildMonitor, Bundle, Engine, EngineError, EngineSettings, Precision, build, open, open_proven,
    plane,
};
use nervelight_tests::fake_tensorrt::{self, FakeTensorrt, compile, fetched};
use tempfile::TempDir;

const WARNINGS: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];

/// Fake libraries, bundle and store in a folder of their own.
struct Bench {
    fake: FakeTensorrt,
    dir: TempDir,
    bundle: Bundle,
}

impl Bench {
    fn new(faults: &str, models: &[(&str, &str)]) -> Self {
        let fake = FakeTensorrt::load(faults).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let bundle = fake_tensorrt::bundle(&dir.path().join("bundle"), models).unwrap();
        Self { fake, dir, bundle }
    }

    fn good(faults: &str) -> Self {
        Self::new(faults, &[("fp16.onnx", "fake:identity")])
    }

    fn settings(&self, precision: Precision) -> EngineSettings {
        EngineSettings {
            backend: Backend::Tensorrt,
            precision,
            tensorrt: TensorrtSettings {
                library: Some(self.fake.folder.path().into()),
                store: Some(self.dir.path().join("engines")),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    fn open(&self) -> Result<Box<dyn Engine>, EngineError> {
        open(&self.bundle, &self.settings(Precision::Fp16))
    }

    fn store(&self) -> Store {
        Store::new(Some(&self.dir.path().join("engines")))
    }

    fn journal(&self) -> String {
        self.fake.journal().unwrap()
    }

    fn plan(&self) -> std::path::PathBuf {
        let entry = self.store().list().unwrap().pop().unwrap();
        self.store().folder().join(format!("{}.plan", entry.name))
    }
}

/// The map of a crop that is all `value`.
fn first_byte(engine: &mut dyn Engine, value: u8) -> u8 {
    let (mut crop, mut map) = (plane(), plane());
    crop.fill(value);
    engine.infer(&crop, &mut map).unwrap();
    assert!(map.iter().all(|&b| b == map[0]));
    map[0]
}

#[test]
fn the_shim_compiles_and_behaves_with_both_major_versions() {
    for version in ["10.16", "11.4"] {
        let headers = fetched(version).unwrap();
        let shim = "../../engines/src/tensorrt/shim.cpp";
        compile(&headers, &[shim], &[&WARNINGS[..], &["-c"]].concat()).unwrap();
        let flags = ["-g1", "-fsanitize=address", "-Wno-deprecated-declarations"];
        let drive = compile(&headers, &["drive.cpp", "cuda.cpp", "tensorrt.cpp", shim], &flags).unwrap();
        let ended = nervelight_tests::run(&mut Command::new(drive)).unwrap();
        assert!(ended.success && ended.stdout.contains("all as it should be"), "{version}: {}", ended.stderr);
    }
}

#[test]
fn a_plan_is_built_kept_loaded_and_freed_in_order() {
    let bench = Bench::good("");
    let mut engine = bench.open().unwrap();
    assert_eq!(engine.info().provider, "Fake GPU");
    assert_eq!(engine.info().precision, Precision::Fp16);
    assert!(engine.info().runtime.starts_with("TensorRT 1"), "{:?}", engine.info());
    let journal = bench.journal();
    let builder = "device+ builder+ flags=";
    assert!(journal.starts_with(builder), "the device before TensorRT: {journal}");
    for step in ["network+ ", "config+ parser+ parse workspace=1073741824 level=3 timing=0 timing+ build"] {
        assert!(journal.contains(step), "{step} in {journal}");
    }
    assert!(!journal.contains("TF32"), "fp32 is whole: {journal}");
    let at = |call: &str| journal.find(call).unwrap();
    assert!(at("builder-") < at("timing-"), "the timing cache outlives its builder: {journal}");
    // One frame by hand, then the same work recorded and replayed.
    let first =
        "stream+ event+ event+ upload enqueue download record upload enqueue download graph+ ready+ launch";
    assert!(journal.contains(first), "{journal}");

    for value in [7, 200] {
        assert_eq!(first_byte(engine.as_mut(), value), value, "each call sees its own frame");
    }
    assert_eq!(bench.journal(), "launch launch", "nothing but a launch per frame");
    assert_eq!(engine.device_time().unwrap().as_micros(), 1500);
    assert_eq!(engine.device_memory(), Some(1 << 30));
    // On another thread than the one that made it.
    thread::spawn(move || drop(engine)).join().unwrap();
    let freed =
        "ready- graph- context- engine- runtime- host- host- memory- memory- stream- event- event- device-";
    assert_eq!(bench.journal(), freed);
    assert_eq!(bench.fake.alive().unwrap(), 0);

    let mut engine = bench.open().unwrap();
    assert_eq!(first_byte(engine.as_mut(), 9), 9);
    let journal = bench.journal();
    assert!(journal.contains("load") && !journal.contains("build"), "{journal}");
}

#[test]
fn an_integrated_gpu_copies_nothing() {
    let bench = Bench::good("integrated");
    let mut engine = bench.open().unwrap();
    assert_eq!(first_byte(engine.as_mut(), 33), 33);
    assert_eq!(engine.device_memory(), None, "it has none of its own");
    drop(engine);
    let journal = bench.journal();
    assert!(journal.contains("host+ host+ runtime+ load engine+ context+ map map"), "{journal}");
    assert!(["memory+", "upload", "download"].iter().all(|call| !journal.contains(call)), "{journal}");
    assert_eq!(bench.fake.alive().unwrap(), 0);
}

#[test]
fn a_device_that_cannot_record_graphs_is_fed_frame_by_frame() {
    let bench = Bench::good("no_graph");
    let mut engine = bench.open().unwrap();
    bench.journal();
    assert_eq!(first_byte(engine.as_mut(), 5), 5);
    assert_eq!(bench.journal(), "upload enqueue download");
}

#[test]
fn a_plan_that_cannot_be_trusted_is_built_again() {
    let bench = Bench::good("");
    drop(bench.open().unwrap());
    let rebuilt = |what: &str| {
        bench.journal();
        drop(bench.open().unwrap());
        assert!(bench.journal().contains("build "), "{what}");
        assert!(bench.store().list().unwrap().iter().all(|entry| entry.fault.is_none()), "{what}");
        drop(bench.open().unwrap());
        assert!(!bench.journal().contains("build "), "and only once: {what}");
    };
    let plan = bench.plan();
    let record = plan.with_extension("json");
    fs::write(&plan, "").unwrap();
    rebuilt("no bytes");
    fs::write(&plan, "PLANfake:invert").unwrap();
    rebuilt("other bytes");
    fs::remove_file(&plan).unwrap();
    rebuilt("no plan");
    fs::write(&record, "{").unwrap();
    rebuilt("half a record");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("Fake GPU", "Other GPU")).unwrap();
    rebuilt("a record of another GPU");
    // Its digest is right, and the library does not take it.
    let text = fs::read_to_string(&record).unwrap();
    let mut kept: Record = serde_json::from_str(&text).unwrap();
    fs::write(&plan, "garbage").unwrap();
    kept.sha256 = nervelight_engines::digest::sha256(b"garbage");
    fs::write(&record, serde_json::to_vec(&kept).unwrap()).unwrap();
    rebuilt("a plan of another version");
}

#[test]
fn another_model_library_option_or_gpu_is_another_plan() {
    let bench = Bench::good("");
    drop(bench.open().unwrap());
    let mut settings = bench.settings(Precision::Fp16);
    settings.tensorrt.optimization_level = 5;
    bench.journal();
    drop(open(&bench.bundle, &settings).unwrap());
    let journal = bench.journal();
    assert!(
        journal.contains("level=5") && journal.contains("timing=1 "),
        "the timing cache grows: {journal}"
    );
    let entries = bench.store().list().unwrap();
    assert_eq!(entries.len(), 2);

    let key = entries[0].record.as_ref().unwrap().key.clone();
    assert!(matches!(bench.store().find(&key), Found::Plan(_)));
    let others: [fn(&mut Key); 6] = [
        |k| k.onnx = "0".into(),
        |k| k.version = "10.3.0".into(),
        |k| k.gpu.name = "Orin".into(),
        |k| k.gpu.compute_capability = "7.2".into(),
        |k| k.gpu.multiprocessors = 16,
        |k| k.gpu.driver = "CUDA 13.0".into(),
    ];
    for change in others {
        let mut other = key.clone();
        change(&mut other);
        assert!(matches!(bench.store().find(&other), Found::Nothing), "{other:?}");
    }
}

#[test]
fn the_golden_frames_reject_a_precision_and_the_next_one_is_used() {
    let models =
        [("int8-trt.onnx", "fake:invert"), ("fp16.onnx", "fake:flat"), ("fp32.onnx", "fake:identity")];
    let bench = Bench::new("", &models);
    let mut engine = open(&bench.bundle, &bench.settings(Precision::Int8)).unwrap();
    assert_eq!(engine.info().precision, Precision::Fp32);
    assert_eq!(first_byte(engine.as_mut(), 3), 3);
    drop(engine);
    assert_eq!(bench.journal().matches("build ").count(), 3);
    // What was rejected is known: no minutes are spent on it at every start.
    drop(open(&bench.bundle, &bench.settings(Precision::Int8)).unwrap());
    assert_eq!(bench.journal().matches("build ").count(), 0);
    let rejected: Vec<_> =
        bench.store().list().unwrap().into_iter().filter_map(|entry| entry.record?.rejected).collect();
    assert_eq!(rejected.len(), 2);
    assert!(rejected.iter().any(|why| why.contains("int8") && why.contains("at least 0.95")), "{rejected:?}");
    assert!(rejected.iter().any(|why| why.contains("fp16") && why.contains("NaN")), "{rejected:?}");
    // Unless somebody asks.
    let watch = BuildMonitor::default();
    drop(build(&bench.bundle, &bench.settings(Precision::Int8), true, &watch).unwrap());
    assert_eq!(bench.journal().matches("build ").count(), 3);
    assert_eq!(bench.fake.alive().unwrap(), 0);
}

#[test]
fn the_golden_frames_are_computed_once() {
    let bench = Bench::good("");
    for how in ["build", "load"] {
        let (engine, agreement) =
            open_proven(&bench.bundle, &bench.settings(Precision::Fp16), &BuildMonitor::default()).unwrap();
        assert_eq!((engine.info().precision, agreement.dice), (Precision::Fp16, 1.0));
        let journal = bench.journal();
        assert!(journal.contains(how), "{journal}");
        assert_eq!(
            journal.matches("launch").count(),
            bench.bundle.golden().unwrap().len(),
            "{how}: {journal}"
        );
    }
}

#[test]
fn an_engine_that_no_precision_makes_right_is_refused() {
    let bench = Bench::new("", &[("fp16.onnx", "fake:invert"), ("fp32.onnx", "fake:invert again")]);
    let error = bench.open().err().unwrap();
    assert!(matches!(error, EngineError::Golden { limit: 0.98, .. }), "{error}");
    let again = bench.open().err().unwrap();
    assert!(matches!(again, EngineError::Rejected(_)) && again.to_string().contains("Dice"), "{again}");
    let absent = open(&bench.bundle, &bench.settings(Precision::Int8)).err().unwrap();
    assert!(absent.to_string().contains("int8-trt.onnx"), "{absent}");
    assert_eq!(bench.fake.alive().unwrap(), 0);
}

#[test]
fn a_plan_that_finds_no_memory_is_kept_and_not_built_again() {
    let bench = Bench::good("");
    drop(bench.open().unwrap());
    for faults in ["load_no_memory", "no_context", "no_memory"] {
        bench.fake.set(faults).unwrap();
        bench.journal();
        let error = bench.open().err().unwrap().to_string().to_lowercase();
        assert!(error.contains("memory"), "{faults}: {error}");
        assert!(!bench.journal().contains("build "), "{faults}: minutes for nothing");
    }
    bench.fake.set("").unwrap();
    drop(bench.open().unwrap());
    assert!(!bench.journal().contains("build "));
    assert_eq!(bench.fake.alive().unwrap(), 0);
}

#[test]
fn a_precision_that_was_rejected_is_not_one_that_was_built() {
    let bench = Bench::new("", &[("fp16.onnx", "fake:flat"), ("fp32.onnx", "fake:identity")]);
    let settings = bench.settings(Precision::Fp16);
    let prospect = tensorrt::probe(&bench.bundle, &settings).unwrap();
    assert!(!prospect.is_built && prospect.rejected.is_none());
    drop(bench.open().unwrap());
    let prospect = tensorrt::probe(&bench.bundle, &settings).unwrap();
    assert!(!prospect.is_built && prospect.rejected.unwrap().contains("NaN"));
    let prospect = tensorrt::probe(&bench.bundle, &bench.settings(Precision::Fp32)).unwrap();
    assert!(prospect.is_built && prospect.rejected.is_none());
}

#[test]
fn tensorrt_itself_builds_nothing_ahead() {
    let bench = Bench::good("");
    let settings = bench.settings(Precision::Fp16);
    let error = tensorrt::build_ahead(&bench.bundle, &settings, "8.9", false, &BuildMonitor::default())
        .err()
        .unwrap();
    assert!(matches!(error, EngineError::Tensorrt(TensorrtError::NotAhead)), "{error}");
}

#[test]
fn every_fault_of_the_libraries_is_a_typed_error_and_leaks_nothing() {
    let bench = Bench::good("");
    let failed = |faults: &str| {
        bench.fake.set(faults).unwrap();
        match bench.open().err().unwrap() {
            EngineError::Tensorrt(error) => error,
            other => panic!("{faults}: {other}"),
        }
    };
    for (faults, step, words) in [
        ("parser_error", "parse the model", "node 7 'conv1' (Strange): no importer for this operator"),
        ("parser_throws", "go on", "thrown by the parser"),
        ("wrong_io", "match the model with the contract", "uint8 frame"),
        ("null_plan", "build an engine", "no tactic was found"),
        ("zero_plan", "build an engine", ""),
        ("broken_builder", "make a builder", ""),
        ("broken_runtime", "make a runtime", ""),
        ("refuse_plan", "load the plan", "Serialization"),
        ("wrong_plan", "match the model with the contract", "the plan has frame"),
        ("no_context", "make an execution context", "no memory"),
        ("enqueue_fails=0", "enqueue a frame", "enqueue failed"),
    ] {
        let error = failed(faults);
        assert!(error.to_string().contains(words), "{faults}: {error}");
        assert!(matches!(error, TensorrtError::Step { step: s, .. } if s == step), "{faults}: {error}");
        assert_eq!(bench.fake.alive().unwrap(), 0, "{faults}");
        assert!(bench.store().list().unwrap().is_empty(), "{faults}: nothing is kept");
    }
    let error = failed("no_memory");
    assert!(matches!(error, TensorrtError::Cuda { code: 2, .. }), "{error}");
    assert!(error.to_string().contains("CUDA_ERROR_OUT_OF_MEMORY"), "{error}");
    assert_eq!(bench.fake.alive().unwrap(), 0);
    // And with nothing wrong it works again.
    bench.fake.set("").unwrap();
    bench.open().unwrap();
}

#[test]
fn a_frame_that_fails_is_an_error_and_a_device_that_fell_off_stays_one() {
    let bench = Bench::good("no_graph");
    let mut engine = bench.open().unwrap();
    let (crop, mut map) = (plane(), plane());
    engine.infer(&crop, &mut map).unwrap();
    bench.fake.set("no_graph,enqueue_fails=0").unwrap();
    let error = engine.infer(&crop, &mut map).unwrap_err();
    assert!(error.to_string().contains("enqueue failed"), "{error}");
    bench.fake.set("no_graph").unwrap();
    engine.infer(&crop, &mut map).unwrap();
    drop(engine);

    bench.fake.set("").unwrap();
    let mut engine = bench.open().unwrap();
    bench.fake.set("falls_off=3").unwrap();
    for _ in 0..3 {
        engine.infer(&crop, &mut map).unwrap();
    }
    for _ in 0..3 {
        let error = engine.infer(&crop, &mut map).unwrap_err();
        assert!(matches!(error, EngineError::Tensorrt(TensorrtError::Cuda { code: 719, .. })), "{error}");
        assert!(error.is_device_lost());
    }
    let error = bench.open().err().unwrap();
    assert!(error.to_string().contains("CUDA refused"), "{error}");
    drop(engine);
    assert_eq!(bench.fake.alive().unwrap(), 0, "freed all the same");
}

#[test]
fn an_engine_tells_its_errors_when_the_one_before_it_is_gone() {
    let bench = Bench::good("no_graph");
    let old = bench.open().unwrap();
    let mut new = bench.open().unwrap();
    drop(old);
    bench.fake.set("no_graph,enqueue_fails=0").unwrap();
    let error = new.infer(&plane(), &mut plane()).unwrap_err().to_string();
    assert_eq!(error, "TensorRT failed to enqueue a frame:\n  enqueue failed");
}

#[test]
fn without_a_gpu_tensorrt_is_not_touched() {
    let bench = Bench::good("no_gpu");
    let error = bench.open().err().unwrap();
    assert!(
        matches!(error, EngineError::Tensorrt(TensorrtError::NoDevice { asked: 0, found: 0 })),
        "{error}"
    );
    bench.fake.set("old_driver").unwrap();
    let error = bench.open().err().unwrap();
    assert!(error.to_string().contains("CUDA 11.4"), "{error}");
    bench.fake.set("").unwrap();
    let mut settings = bench.settings(Precision::Fp16);
    settings.tensorrt.device = 4;
    let error = open(&bench.bundle, &settings).err().unwrap();
    assert!(
        matches!(error, EngineError::Tensorrt(TensorrtError::NoDevice { asked: 4, found: 1 })),
        "{error}"
    );
    assert_eq!(bench.journal(), "", "no library of TensorRT was called");
}

#[test]
fn a_library_that_is_missing_or_of_another_version_is_named() {
    let bench = Bench::good("other_major");
    let error = bench.open().err().unwrap();
    assert!(error.to_string().contains("is TensorRT 9.0.0"), "{error}");
    let mut settings = bench.settings(Precision::Fp16);
    settings.tensorrt.library = Some("/no/such/folder".into());
    let error = open(&bench.bundle, &settings).err().unwrap().to_string();
    assert!(error.contains("libnvinfer.so.1") && error.contains("apt-get install"), "{error}");
}

#[test]
fn a_build_shows_how_far_it_is_and_stops_when_told_to() {
    let bench = Bench::good("slow_build=20");
    let stop = Arc::new(AtomicBool::new(false));
    let watch = Arc::new(BuildMonitor::new(stop.clone()));
    assert!(watch.progress().is_none());
    let seen = watch.clone();
    let told = thread::spawn(move || {
        loop {
            if let Some(progress) = seen.progress().filter(|p| p.done > 0.2) {
                stop.store(true, Ordering::Relaxed);
                return progress;
            }
            thread::yield_now();
        }
    });
    let error = build(&bench.bundle, &bench.settings(Precision::Fp16), false, &watch).err().unwrap();
    assert!(matches!(error, EngineError::Tensorrt(TensorrtError::Cancelled)), "{error}");
    let progress = told.join().unwrap();
    assert_eq!(progress.what, "fp16 engine of tiny 1");
    // At least four steps of 20 ms.
    assert!(progress.seconds > 0.05, "{progress:?}");
    assert!(["Building Engine", "Tactics"].contains(&progress.phase.as_str()) && progress.done < 1.0);
    assert!(bench.journal().contains("cancelled"));
    assert!(watch.progress().is_none() && bench.store().list().unwrap().is_empty());
    assert_eq!(bench.fake.alive().unwrap(), 0);
}

#[test]
fn a_store_that_cannot_be_written_costs_the_plan_not_the_engine() {
    let bench = Bench::good("");
    let mut settings = bench.settings(Precision::Fp16);
    // A file where a folder should be; root may write anywhere else.
    let blocked = bench.dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    settings.tensorrt.store = Some(blocked.join("engines"));
    let mut engine = open(&bench.bundle, &settings).unwrap();
    assert_eq!(first_byte(engine.as_mut(), 8), 8);
}

/// NVIDIA's own library, without a GPU: the stand-in is the driver, and this library looks for its own.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_real_lean_runtime_tells_its_version_and_fails_cleanly() {
    let bench = Bench::good("no_gpu");
    let mut settings = bench.settings(Precision::Fp16);
    settings.tensorrt.library = Some(fetched("lean").unwrap());
    let error = open(&bench.bundle, &settings).err().unwrap();
    assert!(matches!(error, EngineError::Tensorrt(TensorrtError::NoDevice { .. })), "{error}");

    bench.fake.set("").unwrap();
    let prospect = tensorrt::probe(&bench.bundle, &settings).unwrap();
    assert_eq!(prospect.info.runtime, "TensorRT 11.4.0");
    assert!(!prospect.is_built);
    // Its factory hands out something that is no object: it finds no driver.
    let record = Record {
        key: prospect.key,
        precision: Precision::Fp16,
        model: "tiny 1".into(),
        built: 0,
        seconds: 0.0,
        sha256: String::new(),
        bytes: 0,
        rejected: None,
    };
    bench.store().put(record, b"garbage").unwrap();
    assert!(tensorrt::probe(&bench.bundle, &settings).unwrap().is_built);
    let error = open(&bench.bundle, &settings).err().unwrap();
    assert!(error.to_string().contains("make a runtime"), "{error}");
    let error = build(&bench.bundle, &settings, true, &BuildMonitor::default()).err().unwrap();
    assert!(error.to_string().contains("builds no plans"), "{error}");
    assert_eq!(bench.fake.alive().unwrap(), 0);
}
