//! Bundles survive transport and give away every change.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{bundle, draft};
use nervelight_engines::bundle::{Draft, Manifest};
use nervelight_engines::golden::{self, Golden};
use nervelight_engines::{Backend, Bundle, BundleError, EngineSettings, plane};

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
fn a_tar_of_the_bundles_folder_is_the_bundle_too() {
    let (dir, bundle) = bundle("identity.onnx");
    let path = dir.path().join("folder.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    tar.append_dir_all("tiny.bundle", &bundle.path).unwrap();
    tar.into_inner().unwrap();
    assert_eq!(Bundle::open(&path).unwrap().digest, bundle.digest);
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
    let malformed: Refusal = |e| matches!(e, BundleError::Manifest { .. });
    let cases: [(&str, &str, Refusal); 12] = [
        ("\"schema\": 1", "\"schema\": 2", |e| matches!(e, BundleError::Schema { .. })),
        ("\"width\": 576", "\"width\": 512", |e| matches!(e, BundleError::Geometry { .. })),
        ("\"threshold\": 0.5", "\"threshold\": 5.0", |e| matches!(e, BundleError::Manifest { .. })),
        ("\"fp32.onnx\"", "\"../fp32.onnx\"", |e| matches!(e, BundleError::Manifest { .. })),
        ("{", "", |e| matches!(e, BundleError::Manifest { .. })),
        ("\"threshold\": 0.5", "\"threshold\": 0.0", malformed),
        ("\"class\": \"nerve\"", "\"class\": \"vessel\"", malformed),
        ("\"min_area\": 0", "\"min_area\": 0, \"min_aera\": 9", malformed),
        ("\"min_area\": 0", "\"min_area\": 0, \"min_area\": 9", malformed),
        ("\"files\": {", "\"files\": {\"fp32.onnx\": {\"sha256\": \"00\", \"bytes\": 1},", malformed),
        ("\"name\": \"tiny\"", "\"name\": \"\\u001b[2Jtiny\"", malformed),
        ("\"bytes\": ", "\"bytes\": 1", |e| matches!(e, BundleError::Size { .. })),
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

#[test]
fn a_file_that_the_manifest_does_not_name_is_refused() {
    let (_dir, bundle) = bundle("identity.onnx");
    fs::write(bundle.path.join("golden/extra.png"), "x").unwrap();
    let error = reopened(&bundle.path);
    assert!(matches!(&error, BundleError::Unlisted { file, .. } if file == "golden/extra.png"), "{error}");
}

#[test]
fn links_fifos_and_devices_are_refused_at_once() {
    let (dir, bundle) = bundle("identity.onnx");
    let model = bundle.path.join("fp32.onnx");
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&model, &elsewhere).unwrap();
    let irregular = |path: &Path| {
        let error = reopened(path);
        let linked = matches!(&error, BundleError::Unlisted { file, .. } if file == "golden");
        assert!(linked || matches!(&error, BundleError::NotRegular { .. }), "{error}");
    };
    for target in [elsewhere.as_path(), Path::new("/dev/zero")] {
        std::os::unix::fs::symlink(target, &model).unwrap();
        irregular(&bundle.path);
        fs::remove_file(&model).unwrap();
    }
    let fifo = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    fifo(&model);
    irregular(&bundle.path);
    fs::remove_file(&model).unwrap();
    fs::rename(&elsewhere, &model).unwrap();
    Bundle::open(&bundle.path).unwrap();

    let golden = bundle.path.join("golden");
    fs::rename(&golden, dir.path().join("golden")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("golden"), &golden).unwrap();
    irregular(&bundle.path);
    fifo(&dir.path().join("fifo.tar"));
    irregular(&dir.path().join("fifo.tar"));
    irregular(Path::new("/dev/zero"));
}

#[test]
fn a_tar_with_links_strange_paths_or_doubles_is_refused_and_no_file_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let packed = |fill: &dyn Fn(&mut tar::Builder<fs::File>)| {
        let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
        fill(&mut tar);
        tar.into_inner().unwrap();
        let error = reopened(&path);
        assert!(matches!(error, BundleError::Unpack { .. }), "{error}");
        error.to_string()
    };
    let header = |kind, size| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header
    };
    let link = |tar: &mut tar::Builder<_>| {
        tar.append_link(&mut header(tar::EntryType::Symlink, 0), "a", "/etc/passwd").unwrap();
    };
    assert!(packed(&link).contains("no regular file"));
    let twice = |tar: &mut tar::Builder<_>| {
        for text in ["a", "b"] {
            tar.append_data(&mut header(tar::EntryType::Regular, 1), "a", text.as_bytes()).unwrap();
        }
    };
    assert!(packed(&twice).contains("there twice"));
    let outside = |tar: &mut tar::Builder<_>| {
        let mut header = header(tar::EntryType::Regular, 1);
        header.as_old_mut().name[..4].copy_from_slice(b"../a");
        header.set_cksum();
        tar.append(&header, &b"a"[..]).unwrap();
    };
    assert!(packed(&outside).contains("leaves it"));
    assert!(!dir.path().parent().unwrap().join("a").exists());
    let deep = |tar: &mut tar::Builder<_>| {
        tar.append_data(&mut header(tar::EntryType::Directory, 0), "d/".repeat(1500), &b""[..]).unwrap();
    };
    assert!(packed(&deep).contains("folder"));
    let many = |tar: &mut tar::Builder<_>| {
        for i in 0..10_001 {
            tar.append_data(&mut header(tar::EntryType::Directory, 0), format!("{i}/"), &b""[..]).unwrap();
        }
    };
    assert!(packed(&many).contains("entries"));
    // Half a tar, and a secret under the wrong name.
    let (_dir, bundle) = bundle("identity.onnx");
    let whole = draft("identity.onnx").write(&dir.path().join("whole.tar")).unwrap();
    assert_eq!(whole.digest, bundle.digest);
    let bytes = fs::read(&whole.path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(reopened(&path).to_string().contains("not a whole tar"));
    fs::write(&path, "password = hunter2\n".repeat(100)).unwrap();
    let error = reopened(&path).to_string();
    assert!(!error.contains("hunter2") && error.contains("not a whole tar"), "{error}");
}

#[test]
fn a_threshold_or_area_that_hides_every_nerve_is_refused() {
    for (threshold, min_area, good) in [(0.5, 400, true), (0.5, u32::MAX, false), (1.0, 1, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = Draft::new(Manifest { threshold, min_area, ..Manifest::new("tiny", "1") });
        draft.file("fp32.onnx", common::model("identity.onnx"));
        let mut crop = plane();
        crop[..30 * 576].fill(220);
        let map = crop.clone();
        draft.golden(&Golden { name: "0".into(), crop, map }).unwrap();
        let bundle = draft.write(&dir.path().join("b")).unwrap();
        let shown = golden::check_shown(&bundle);
        assert_eq!(shown.is_ok(), good, "{threshold} {min_area}: {shown:?}");
    }
}

#[test]
fn a_model_with_its_weights_in_another_file_is_refused_before_any_runtime_sees_it() {
    // ModelProto.graph { initializer { name: "w" external_data { "location" } data_location: EXTERNAL } }
    let tensor = [&[0x42, 1, b'w', 0x6a, 10, 0x0a, 8][..], b"location", &[0x70, 1]].concat();
    let graph = [&[0x2a, tensor.len() as u8], &tensor[..]].concat();
    let model = [&[0x3a, graph.len() as u8], &graph[..]].concat();
    let mut draft = draft("identity.onnx");
    draft.file("fp32.onnx", model);
    let dir = tempfile::tempdir().unwrap();
    let bundle = draft.write(&dir.path().join("b")).unwrap();
    for backend in [Backend::Onnx, Backend::Auto] {
        let settings = EngineSettings { backend, ..Default::default() };
        let error = nervelight_engines::open(&bundle, &settings).err().unwrap().to_string();
        assert!(error.contains("fp32.onnx keeps weights in another file"), "{error}");
    }
}
