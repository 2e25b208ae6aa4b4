//! A bundle around a tiny model, in a directory of its own.

use std::path::PathBuf;

use nervelight_engines::bundle::{Draft, Manifest};
use nervelight_engines::golden::Golden;
use nervelight_engines::{Bundle, plane};
use tempfile::TempDir;

/// The bytes of one of the models made by `fixtures/make.py`.
pub fn model(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(path).unwrap()
}

/// A draft that holds `model` as `fp32.onnx` and one golden frame of the identity function.
pub fn draft(model_name: &str) -> Draft {
    let mut draft = Draft::new(Manifest { min_area: 0, ..Manifest::new("tiny", "1") });
    draft.file("fp32.onnx", model(model_name));
    let mut crop = plane();
    crop.iter_mut().enumerate().for_each(|(i, p)| *p = (i % 251) as u8);
    let map = crop.clone();
    draft.golden(&Golden { name: "0".into(), crop, map }).unwrap();
    draft
}

/// [`draft`], written as a directory.
#[allow(dead_code, reason = "not every test needs one")]
pub fn bundle(model_name: &str) -> (TempDir, Bundle) {
    let dir = tempfile::tempdir().unwrap();
    let bundle = draft(model_name).write(&dir.path().join("tiny.bundle")).unwrap();
    (dir, bundle)
}
