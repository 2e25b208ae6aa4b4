//! Rules of the workspace that no compiler checks.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};
use nervelight_tests::root;

/// Every package that each workspace member links, through any number of others.
fn linked() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let resolve = metadata.resolve.as_ref().unwrap();
    let edges: BTreeMap<_, Vec<_>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal =
                |kind: DependencyKind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
            let deps = node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| normal(k.kind)));
            (&node.id, deps.map(|d| &d.pkg).collect())
        })
        .collect();
    metadata
        .workspace_members
        .iter()
        .map(|member| {
            let (mut reached, mut stack) = (BTreeSet::new(), vec![member]);
            while let Some(id) = stack.pop() {
                for dep in &edges[id] {
                    if reached.insert(names[*dep].clone()) {
                        stack.push(dep);
                    }
                }
            }
            (names[member].clone(), reached)
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let linked = linked();
    let forbidden: [(&str, &[&str]); 7] = [
        ("nervelight-phantom", &["nervelight-engines", "tch", "gstreamer", "ort", "tokio"]),
        ("nervelight-cine", &["nervelight-engines", "nervelight-phantom", "tch", "gstreamer", "tokio"]),
        (
            "nervelight-engines",
            &["nervelightd", "nervelight-train", "tch", "torch-sys", "gstreamer", "axum", "tokio"],
        ),
        (
            "nervelight-web",
            &["nervelight-engines", "nervelight-phantom", "nervelightd", "nervelight-train", "gstreamer"],
        ),
        (
            "nervelight-registry",
            &["nervelight-phantom", "nervelightd", "nervelight-train", "tch", "gstreamer", "axum"],
        ),
        ("nervelightd", &["nervelight-train", "tch", "torch-sys"]),
        ("nervelight-train", &["nervelightd", "gstreamer", "cudarc"]),
    ];
    for (package, others) in forbidden {
        for other in others {
            assert!(!linked[package].contains(*other), "{package} must not depend on {other}");
        }
    }
    // The rule can fail: what is meant to be there is found.
    assert!(
        linked["nervelightd"].contains("gstreamer") && linked["nervelightd"].contains("nervelight-engines")
    );
    assert!(linked["nervelight-train"].contains("torch-sys"));
}

#[test]
fn the_cart_builds_without_libtorch() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let default: Vec<_> = metadata.workspace_default_packages().iter().map(|p| p.name.to_string()).collect();
    assert!(default.contains(&"nervelightd".into()), "{default:?}");
    let forbidden = ["nervelight-train", "nervelight-tests"];
    assert!(!default.iter().any(|name| forbidden.contains(&name.as_str())), "{default:?}");
}
