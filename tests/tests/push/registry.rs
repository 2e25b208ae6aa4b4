//! Bundles in registries and layouts, with skopeo.

use std::path::Path;
use std::process::Command;

use nervelight_tests::registry::Registry;
use nervelight_tests::{Ended, program, run};
use serde_json::Value;

use crate::{Ward, bundle, good};

/// Pushes a bundle with the trainer.
pub fn push(path: &Path, to: &str) -> Ended {
    run(Command::new(program("nervelight-train").unwrap()).arg("push").arg(path).arg(to)).unwrap()
}

fn skopeo(arguments: &[&str]) -> Ended {
    let ended = run(Command::new("skopeo").args(arguments)).unwrap();
    assert!(ended.success, "skopeo {arguments:?}: {ended:?}");
    ended
}

#[test]
fn a_bundle_is_the_same_artifact_pushed_and_carried() {
    let registry = Registry::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path(), "2", good(2));
    let pushed = push(&path, &registry.uri("2"));
    assert!(pushed.success && pushed.stderr.contains("not signed"), "{pushed:?}");
    let digest = pushed.stdout.lines().last().unwrap().to_owned();

    // By hand, through a folder, to another tag.
    let layout = format!("oci:{}:stable", folder.path().join("stick").display());
    let written = push(&path, &layout);
    assert!(written.success && written.stdout.lines().last() == Some(digest.as_str()), "{written:?}");
    let docker = |tag: &str| format!("docker://127.0.0.1:{}/nervelight/nerve:{tag}", registry.port);
    skopeo(&["copy", "--insecure-policy", "--dest-tls-verify=false", &layout, &docker("carried")]);
    let raw = |tag: &str| skopeo(&["inspect", "--raw", "--tls-verify=false", &docker(tag)]).stdout;
    assert_eq!(raw("2"), raw("carried"), "the very same artifact");
    let manifest: Value = serde_json::from_str(&raw("2")).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.nervelight.bundle.v1.tar");
    assert_eq!(manifest["annotations"]["vnd.nervelight.serial"], "2");
    let opened = nervelight_engines::Bundle::open(&path).unwrap();
    assert_eq!(manifest["config"]["digest"], format!("sha256:{}", opened.digest));

    // What came out of the registry is a layout that a cart takes.
    let back = format!("oci:{}:back", folder.path().join("back").display());
    skopeo(&["copy", "--insecure-policy", "--src-tls-verify=false", &docker("carried"), &back]);
    let ward = Ward::new("", "");
    let mut deploy = Command::new(program("nervelightd").unwrap());
    let ended = run(deploy.args(["deploy", &back, "--to", &ward.url()])).unwrap();
    assert!(ended.success && ward.shown() == "2", "{ended:?}");
}

#[test]
fn what_cannot_be_pushed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path(), "2", good(2));
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let occupied = format!("oci:{}:stable", folder.path().display());
    for (to, words) in [
        ("registry/nerve", "oci://HOST"),
        ("oci://u:secret@registry/nerve:x", "file"),
        ("oci://127.0.0.1:9/nerve:x", "cannot be reached"),
        (&occupied, "it holds other files"),
    ] {
        let ended = push(&path, to);
        assert!(!ended.success && ended.stderr.contains(words), "{to}: {ended:?}");
        assert!(!ended.stderr.contains("secret"), "{ended:?}");
    }
}
