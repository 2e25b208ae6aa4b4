//! NVIDIA's own builder and parser, without a GPU, on the demo model.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::ffi::{Libraries, Options};
use super::{Product, TensorrtError};
use crate::{BuildMonitor, Bundle};

/// Where `setup.sh test` puts the libraries.
pub fn folder() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap();
    let folder = cache.join("nervelight/tensorrt/rtx");
    assert!(folder.is_dir(), "{} is missing: run ./setup.sh test", folder.display());
    folder
}

fn libraries() -> &'static Libraries {
    Libraries::load(Product::Rtx, Some(&folder())).unwrap()
}

fn model(file: &str) -> Vec<u8> {
    Bundle::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo.bundle")).unwrap().read(file).unwrap()
}

fn build(
    onnx: &[u8],
    target: i32,
    timing: &[u8],
    monitor: &BuildMonitor,
) -> Result<(Vec<u8>, Vec<u8>), TensorrtError> {
    let options = Options { workspace: 1 << 30, level: 3, compute_capability: target, is_without_gpu: true };
    libraries().build(onnx, &options, timing, monitor)
}

#[test]
fn a_damaged_timing_cache_costs_nothing_but_time() {
    let onnx = model("fp16.onnx");
    let (plan, grown) = build(&onnx, 89, &[], &BuildMonitor::default()).unwrap();
    assert!(!plan.is_empty() && !grown.is_empty());
    for damaged in [&b"damaged"[..], &[0xff; 4096], &grown[..grown.len() / 2], &grown] {
        let (again, _) = build(&onnx, 89, damaged, &BuildMonitor::default()).unwrap();
        assert!(!again.is_empty());
    }
}

#[test]
fn a_build_shows_its_phases_and_is_cancelled() {
    let onnx = model("fp16.onnx");
    let seen = BuildMonitor::default();
    seen.start("engine".into());
    build(&onnx, 89, &[], &seen).unwrap();
    assert!(seen.progress().unwrap().done > 0.5, "{:?}", seen.progress());
    let cancelled = BuildMonitor::new(Arc::new(AtomicBool::new(true)));
    let error = build(&onnx, 89, &[], &cancelled).err().unwrap();
    assert!(matches!(error, TensorrtError::Cancelled), "{error}");
    // And the next one is none the worse.
    build(&onnx, 89, &[], &BuildMonitor::default()).unwrap();
}

#[test]
fn a_model_that_is_damaged_or_of_another_contract_is_refused_with_the_reason() {
    let onnx = model("fp16.onnx");
    let refused = |onnx: &[u8]| build(onnx, 89, &[], &BuildMonitor::default()).err().unwrap().to_string();
    let cut = refused(&onnx[..onnx.len() / 2]);
    assert!(cut.starts_with("TensorRT failed to parse the model:\n"), "{cut}");
    // The output's name, wherever it stands.
    let mut other = onnx.clone();
    let at: Vec<_> = other.windows(5).enumerate().filter(|(_, w)| w == b"nerve").map(|(i, _)| i).collect();
    at.into_iter().for_each(|i| other[i..i + 5].copy_from_slice(b"nervX"));
    let other = refused(&other);
    assert!(other.contains("the model has nervX") && other.contains("where uint8 nerve belongs"), "{other}");
}

#[test]
fn a_gpu_that_it_does_not_know_is_named() {
    let error = build(&model("fp16.onnx"), 90, &[], &BuildMonitor::default()).err().unwrap();
    assert!(matches!(&error, TensorrtError::Target { asked } if asked == "9.0"), "{error}");
}
