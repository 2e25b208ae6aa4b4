//! Kills at any instant: a process that stages, tries, keeps and rolls back is killed, and the store has the state from
//! before its last step or from after it; every bundle in it is whole, and the next deployment works.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nervelight_engines::bundle::Manifest;
use nervelight_engines::store::models::{Catalog, Floor, Models, State};

/// Names the folder that the child works in.
const FOLDER: &str = "NERVELIGHT_TEST_STORE";

/// What of a state must be the old or the new one, in one word each.
fn words(state: &State) -> String {
    let name = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "none".into());
    let tried = state.probation.is_some();
    format!("{} {} {tried} {}", name(&state.active), name(&state.previous), state.floor)
}

/// Its tars, with their digests and serials.
fn bundles(desk: &Path) -> Vec<(PathBuf, String, u64)> {
    (1..=3)
        .map(|serial| {
            let path = desk.join(format!("{serial}.tar"));
            let mut draft = common::draft("identity.onnx");
            *draft.manifest() = Manifest { serial: Some(serial), min_area: 0, ..Manifest::new("tiny", "1") };
            let digest = match path.exists() {
                true => nervelight_engines::Bundle::open(&path).unwrap().digest,
                false => draft.write(&path).unwrap().digest,
            };
            (path, digest, serial)
        })
        .collect()
}

/// The process that is killed. As a test of its own it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let bundles = bundles(&folder.join("desk"));
    let mut models = Models::open(&folder.join("store")).unwrap();
    models.start(&[]).unwrap();
    let mut out = std::io::stderr().lock();
    for turn in 0.. {
        let (path, digest, _) = &bundles[turn % 3];
        // Said before it is done: the state before, and what the next step makes of it.
        let mut say = |state: &State, next: String| writeln!(out, "STATE {}|{next}", words(state)).unwrap();
        say(models.state(), words(models.state()));
        models.stage(path, &[], false, Floor::Waived).unwrap();
        if models.state().active.as_ref() != Some(digest) {
            let state = models.state().clone();
            let active = state.active.clone().unwrap_or_else(|| "none".into());
            say(&state, format!("{digest} {active} true {}", state.floor));
            models.begin_probation(digest, 1).unwrap();
        }
        let state = models.state().clone();
        let (active, previous) = (state.active.clone().unwrap(), state.previous.clone());
        if let (true, Some(to)) = (turn % 2 == 0, models.previous_model()) {
            let there =
                |digest: &&String| **digest != active && *digest != to && models.path(digest).is_dir();
            let rest = state.kept.iter().rev().find(there).map_or("none", String::as_str);
            say(&state, format!("{to} {rest} false {}", state.floor));
            models.roll_back("asked").unwrap();
        } else if state.probation.is_some() {
            let serial = bundles.iter().find(|b| b.1 == active).unwrap().2;
            let previous = previous.unwrap_or_else(|| "none".into());
            say(&state, format!("{active} {previous} false {}", state.floor.max(serial)));
            models.keep().unwrap();
        }
        say(models.state(), words(models.state()));
        models.prune(&[]).unwrap();
    }
}

#[test]
fn proof_a_kill_leaves_the_old_state_or_the_new_one() {
    let full = std::env::var_os("NERVELIGHT_PROOF").is_some();
    let kills: u64 = if full { 200 } else { 20 };
    let folder = tempfile::tempdir().unwrap();
    let (desk, root) = (folder.path().join("desk"), folder.path().join("store"));
    fs::create_dir(&desk).unwrap();
    let bundles = bundles(&desk);
    let mut steps = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let is_state = |line: &String| line.starts_with("STATE ");
        let first = lines.find(is_state).unwrap();
        // Anywhere in the some 30 ms that a round takes.
        std::thread::sleep(Duration::from_micros(kill * 7919 % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was begun to be written when it was killed is half a line.
        let said: Vec<String> = [first].into_iter().chain(lines.filter(is_state)).collect();
        steps += said.len();
        let whole = |line: &&String| line.matches(' ').count() >= 7;
        let last = said.iter().rev().find(whole).unwrap().trim_start_matches("STATE ");
        let (before, after) = last.split_once('|').unwrap();

        let found = words(Catalog::read(&root).unwrap().state());
        assert!(found == before || found == after, "kill {kill}: {before}, {after}, {found}");
        let mut models = Models::open(&root).unwrap();
        for stored in models.list(&[]).unwrap() {
            models.bundle(&stored.digest, &[]).unwrap();
        }
        assert!(fs::read_dir(root.join("staging")).unwrap().next().is_none());
        models.start(&[]).unwrap();
        // The next deployment works.
        let active = models.state().active.clone();
        let (path, digest, _) = bundles.iter().find(|b| Some(&b.1) != active.as_ref()).unwrap();
        models.stage(path, &[], false, Floor::Waived).unwrap();
        models.begin_probation(digest, 1).unwrap();
        models.keep().unwrap();
    }
    assert!(steps as u64 > kills, "{steps} steps");
    let row = format!(
        "| SIGKILLs of a process that changes the model store: neither old nor new | 0 of {kills} | 0 |\n"
    );
    print!("{row}");
    if full {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/proof");
        fs::create_dir_all(&folder).unwrap();
        let mut table =
            fs::OpenOptions::new().create(true).append(true).open(folder.join("rows.md")).unwrap();
        table.write_all(row.as_bytes()).unwrap();
    }
}
