//! Bundles survive transport and give away every change.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{bundle, draft};
use nervelight_engines::{Bundle, BundleError};

fn reopened(path: &Path) -> BundleError {
    Bundle::open(path).unwrap_err()
}

#[test]
fn a_directory_and_a_tar_are_the_same_bundle() {
    let (dir, bundle) = bundle("identity.onnx");
    let tar = draft("identity.onnx").write(&dir.path().join("tiny.tar")).unwrap();
    assert_eq!(tar.digest, bundle.digest);
    assert_eq!(tar.read("fp32.onnx").unwrap(), bundle.read("fp32.onnx").unwrap());
    assert_eq!(bundle.golden().unwrap().len(), 1);
    assert!(
        dir.path().read_dir().unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.'))
    );
}

#[test]
fn a_changed_byte_is_found_and_named() {
    let (_dir, bundle) = bundle("identity.onnx");
    let file = bundle.path.join("fp32.onnx");
    let mut bytes = fs::read(&file).unwrap();
    bytes[10] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = reopened(&bundle.path);
    assert!(matches!(&error, BundleError::Digest { file, .. } if file == "fp32.onnx"), "{error}");
    assert!(error.to_string().contains("Copy the bundle again"), "{error}");
    // A change after opening is found as well, at the next read.
    assert!(matches!(bundle.read("fp32.onnx"), Err(BundleError::Digest { .. })));
}

#[test]
fn a_missing_file_is_named() {
    let (_dir, bundle) = bundle("identity.onnx");
    fs::remove_file(bundle.path.join("golden/0.map.png")).unwrap();
    let error = reopened(&bundle.path);
    assert!(matches!(&error, BundleError::Missing { file, .. } if file == "golden/0.map.png"), "{error}");
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(reopened(&dir.path().join("absent")), BundleError::Read { .. }));
    assert!(matches!(reopened(dir.path()), BundleError::NoManifest { .. }));
    let file = dir.path().join("model.tar");
    fs::write(&file, b"this is no tar, whatever its name says").unwrap();
    assert!(matches!(reopened(&file), BundleError::Unpack { .. }));
}

#[test]
fn a_manifest_that_is_malformed_newer_or_escapes_is_refused() {
    let (_dir, bundle) = bundle("identity.onnx");
    let path = bundle.path.join("manifest.json");
    let good = fs::read_to_string(&path).unwrap();
    type Refusal = fn(&BundleError) -> bool;
    let cases: [(&str, &str, Refusal); 5] = [
        ("\"schema\": 1", "\"schema\": 2", |e| matches!(e, BundleError::Schema { .. })),
        ("\"width\": 576", "\"width\": 512", |e| matches!(e, BundleError::Geometry { .. })),
        ("\"threshold\": 0.5", "\"threshold\": 5.0", |e| matches!(e, BundleError::Manifest { .. })),
        ("\"fp32.onnx\"", "\"../fp32.onnx\"", |e| matches!(e, BundleError::Manifest { .. })),
        ("{", "", |e| matches!(e, BundleError::Manifest { .. })),
    ];
    for (from, to, expected) in cases {
        assert!(good.contains(from), "the case changes nothing: {from}");
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = reopened(&bundle.path);
        assert!(expected(&error), "{from} -> {to}: {error}");
    }
}

#[test]
fn a_bundle_is_never_overwritten() {
    let (_dir, bundle) = bundle("identity.onnx");
    assert!(matches!(draft("identity.onnx").write(&bundle.path), Err(BundleError::Write { .. })));
}
