//! Crops that a cart keeps for retraining: kept, exported, imported, reviewed in a browser, trained on. And what of all
//! that could say whom it shows: nothing.
#![allow(clippy::unwrap_used)]

mod kept;
mod privacy;
mod retrain;

use std::fs;
use std::path::{Path, PathBuf};

use nervelight_tests::web::status;
use nervelight_tests::{Cart, Ended, program, run, wait_for};
use serde_json::Value;

/// A cart that keeps crops in the folder `harvest`, as `settings` say.
fn cart(port: u16, source: &str, settings: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {source}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        sinks = [{{ kind = "preview" }}]
        http = {{ listen = "127.0.0.1:{port}" }}
        [harvest]
        path = "harvest"
        {settings}
        "#
    ))
    .unwrap()
}

/// Keeps whatever moves, three times a second.
const ALL: &str = "uncertainty = 0.0\nmin_interval_s = 0.3";

/// The status of the harvest, once it is as wanted.
fn harvest(port: u16, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || status(port).map(|s| s["harvest"].clone()).filter(|harvest| is_so(harvest))).unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// `nervelightd harvest ...`
fn command(arguments: &[&str]) -> Ended {
    run(std::process::Command::new(program("nervelightd").unwrap()).arg("harvest").args(arguments)).unwrap()
}

/// Exports the folder `harvest` of the cart.
fn export(cart: &Cart, to: &Path) -> String {
    let (from, to) = (cart.path("harvest"), to.to_str().unwrap());
    let ended = command(&["export", "--path", from.to_str().unwrap(), "--to", to]);
    assert!(ended.success, "{}", ended.stderr);
    ended.stdout
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The items of an export.
fn items(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("harvest.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
