//! The engines on a CPU: the contract; and every way of ONNX Runtime to be missing.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use common::{bundle, draft, model};
use nervelight_engines::golden::{self, Golden};
use nervelight_engines::{
    Backend, BuildMonitor, BundleError, EngineError, EngineSettings, Precision, Provider, open, open_proven,
    plane,
};

/// ONNX Runtime on the CPU.
fn onnx() -> EngineSettings {
    EngineSettings { backend: Backend::Onnx, ..Default::default() }
}

/// Each backend that computes on this CPU, with the beginning of its runtime's name, and its provider.
fn backends() -> Vec<(EngineSettings, &'static str, &'static str)> {
    let mut all = vec![(onnx(), "ONNX Runtime 1.", "CPU")];
    if cfg!(target_arch = "x86_64") {
        let openvino = EngineSettings { backend: Backend::Openvino, ..Default::default() };
        all.push((openvino, "OpenVINO 20", "CPU, f32"));
    }
    all
}

#[test]
fn an_engine_maps_bytes_to_bytes() {
    let (_dir, bundle) = bundle("identity.onnx");
    for (settings, runtime, provider) in backends() {
        let mut engine = open(&bundle, &EngineSettings { threads: 1, ..settings }).unwrap();
        let (mut crop, mut map) = (plane(), plane());
        for value in [7, 200] {
            crop.fill(value);
            engine.infer(&crop, &mut map).unwrap();
            assert_eq!(crop, map, "each call sees its own frame");
        }
        let info = engine.info();
        assert!(info.runtime.starts_with(runtime) && info.provider == provider, "{info:?}");
        let agreement = golden::check(engine.as_mut(), &bundle).unwrap();
        assert_eq!((agreement.dice, agreement.max_diff), (1.0, 0));
    }
}

#[test]
fn an_engine_that_disagrees_with_the_trainer_is_refused() {
    let mut draft = draft("identity.onnx");
    let (crop, mut map) = (plane(), plane());
    map.fill(255);
    draft.golden(&Golden { name: "1".into(), crop, map }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bundle = draft.write(&dir.path().join("b")).unwrap();
    let mut engine = open(&bundle, &onnx()).unwrap();
    let error = golden::check(engine.as_mut(), &bundle).unwrap_err();
    assert!(matches!(&error, EngineError::Golden { frame, .. } if frame == "1"), "{error}");
}

#[test]
fn a_model_that_breaks_the_contract_is_refused() {
    for name in ["small.onnx", "float.onnx"] {
        let (_dir, bundle) = bundle(name);
        for (settings, ..) in backends() {
            let error = open(&bundle, &settings).err().unwrap();
            assert!(matches!(error, EngineError::Contract { what: "input", .. }), "{error}");
            assert!(error.to_string().contains("416, 576"), "{error}");
        }
    }
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let mut draft = draft("identity.onnx");
    let mut bytes = model("identity.onnx");
    bytes.truncate(bytes.len() / 2);
    draft.file("fp32.onnx", bytes);
    let dir = tempfile::tempdir().unwrap();
    let bundle = draft.write(&dir.path().join("b")).unwrap();
    for (settings, ..) in backends() {
        let error = open(&bundle, &settings).err().unwrap();
        assert!(matches!(error, EngineError::Bundle(BundleError::ModelFile { .. })), "{error}");
    }
}

#[test]
fn a_precision_that_was_not_exported_is_named() {
    let (_dir, bundle) = bundle("identity.onnx");
    let settings = EngineSettings { precision: Precision::Int8, ..onnx() };
    let error = open(&bundle, &settings).err().unwrap().to_string();
    assert!(error.contains("int8-cpu.onnx") && error.contains("fp32.onnx"), "{error}");
}

#[test]
fn a_provider_that_is_missing_is_an_error_never_a_fallback() {
    let (_dir, bundle) = bundle("identity.onnx");
    let settings = EngineSettings { provider: Provider::Tensorrt, ..Default::default() };
    let error = open(&bundle, &settings).err().unwrap();
    assert!(matches!(error, EngineError::Provider { .. }), "{error}");
}

#[test]
fn a_precision_that_the_golden_frames_reject_gives_way_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let settings = EngineSettings { precision: Precision::Int8, ..onnx() };
    let with_zero_in = |files: &[&str]| {
        let mut draft = draft("identity.onnx");
        files.iter().for_each(|file| draft.file(*file, model("zero.onnx")));
        draft.write(&dir.path().join(format!("{}.bundle", files.len()))).unwrap()
    };
    let bundle = with_zero_in(&["int8-cpu.onnx"]);
    let (engine, agreement) = open_proven(&bundle, &settings, &BuildMonitor::default()).unwrap();
    assert_eq!((engine.info().precision, agreement.dice), (Precision::Fp32, 1.0));

    let bundle = with_zero_in(&["int8-cpu.onnx", "fp32.onnx"]);
    let error = open_proven(&bundle, &settings, &BuildMonitor::default()).err().unwrap();
    assert!(matches!(&error, EngineError::Golden { engine, .. } if engine.contains("fp32")), "{error}");
}

#[test]
fn a_library_that_is_missing_or_broken_is_named() {
    let (dir, bundle) = bundle("identity.onnx");
    let settings = |library: PathBuf| EngineSettings { library: Some(library), ..onnx() };
    let absent = open(&bundle, &settings("/no/such/libonnxruntime.so".into())).err().unwrap();
    assert!(matches!(absent, EngineError::LibraryNotFound { .. }), "{absent}");
    assert!(absent.to_string().contains("pip install onnxruntime"), "{absent}");

    let text = dir.path().join("libonnxruntime.so");
    std::fs::write(&text, "no library").unwrap();
    let broken = open(&bundle, &settings(text)).err().unwrap();
    assert!(matches!(broken, EngineError::Library { .. }), "{broken}");
}

#[test]
fn a_bundle_without_golden_frames_proves_nothing() {
    let (_dir, bundle) = bundle("identity.onnx");
    let path = bundle.path.join("manifest.json");
    let mut manifest = bundle.manifest.clone();
    manifest.files.retain(|name, _| !name.starts_with("golden/"));
    std::fs::remove_dir_all(bundle.path.join("golden")).unwrap();
    std::fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    let bundle = nervelight_engines::Bundle::open(&bundle.path).unwrap();
    let mut engine = open(&bundle, &onnx()).unwrap();
    let error = golden::check(engine.as_mut(), &bundle).unwrap_err();
    assert!(matches!(error, EngineError::NoGolden(_)), "{error}");
}
