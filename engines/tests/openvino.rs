//! The OpenVINO engine, and what `auto` makes of it.

#![allow(clippy::unwrap_used)]
#![cfg(target_arch = "x86_64")]

mod common;

use std::path::{Path, PathBuf};

use common::{bundle, draft};
use nervelight_engines::golden::Golden;
use nervelight_engines::openvino::OpenvinoSettings;
use nervelight_engines::{
    Backend, BuildMonitor, Bundle, EngineError, EngineSettings, Precision, open, open_proven, plane,
    processor,
};

fn openvino() -> EngineSettings {
    EngineSettings { backend: Backend::Openvino, ..Default::default() }
}

#[test]
fn every_precision_of_the_demo_model_agrees_with_the_trainer_on_each_backend() {
    let demo = Bundle::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo.bundle")).unwrap();
    for (backend, name) in
        [(Backend::Auto, "OpenVINO"), (Backend::Openvino, "OpenVINO"), (Backend::Onnx, "ONNX Runtime")]
    {
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
            let settings = EngineSettings { backend, precision, ..Default::default() };
            let (engine, agreement) = open_proven(&demo, &settings, &BuildMonitor::default()).unwrap();
            let info = engine.info();
            assert_eq!(info.precision, precision, "{agreement:?}");
            assert!(info.runtime.starts_with(name), "{info:?}");
        }
    }
}

#[test]
fn a_library_that_is_missing_or_broken_is_named_and_auto_does_without() {
    let (dir, bundle) = bundle("identity.onnx");
    let settings = |backend, library: &Path| EngineSettings {
        backend,
        openvino: OpenvinoSettings { library: Some(library.into()) },
        ..Default::default()
    };
    let absent = PathBuf::from("/no/such/libopenvino_c.so");
    let error = open(&bundle, &settings(Backend::Openvino, &absent)).err().unwrap();
    assert!(matches!(error, EngineError::LibraryNotFound { .. }), "{error}");
    assert!(error.to_string().contains("pip install openvino"), "{error}");

    let text = dir.path().join("libopenvino_c.so");
    std::fs::write(&text, "no library").unwrap();
    // A library, and not this one.
    let other = nervelight_engines::onnx::find_library(None).unwrap();
    for broken in [&text, &other] {
        let error = open(&bundle, &settings(Backend::Openvino, broken)).err().unwrap();
        assert!(matches!(error, EngineError::Library { .. }), "{error}");
        assert!(error.to_string().contains("2025.1"), "{error}");
    }
    for library in [&absent, &text] {
        let engine = open(&bundle, &settings(Backend::Auto, library)).unwrap();
        assert!(engine.info().runtime.starts_with("ONNX Runtime"), "{:?}", engine.info());
    }
}

#[test]
fn a_disagreement_names_runtime_and_processor() {
    let mut draft = draft("identity.onnx");
    let (crop, mut map) = (plane(), plane());
    map.fill(255);
    draft.golden(&Golden { name: "1".into(), crop, map }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bundle = draft.write(&dir.path().join("b")).unwrap();
    let error = open_proven(&bundle, &openvino(), &BuildMonitor::default()).err().unwrap().to_string();
    assert!(error.contains("OpenVINO 20") && error.contains(&processor::name()), "{error}");
    // Neither of the backends that `auto` stands for is right, and the last one is told of.
    let error = open_proven(&bundle, &EngineSettings::default(), &BuildMonitor::default()).err().unwrap();
    assert!(error.to_string().contains("ONNX Runtime"), "{error}");
}
