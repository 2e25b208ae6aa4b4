//! Power cuts, on a disk that forgets what was not synced: the store has the old state or the new one, every bundle that it
//! has is whole, and the next deployment works.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::*;
use crate::bundle::{Draft, Manifest};
use crate::store::disk::simulated::Power;

const ROOT: &str = "/var/store";

/// A bundle in a tar, as it is uploaded.
struct Uploaded {
    tar: PathBuf,
    bytes: Vec<u8>,
    digest: String,
    serial: u64,
}

/// Bundles of different sizes: of some files a block of the disk holds more than one, of others less.
fn bundles() -> Vec<Uploaded> {
    let folder = tempfile::tempdir().unwrap();
    let made = [(10, 700), (20, 9000), (30, 20)].map(|(serial, bytes)| {
        let mut draft =
            Draft::new(Manifest { serial: Some(serial), ..Manifest::new("m", serial.to_string()) });
        draft.file("fp32.onnx", vec![serial as u8; bytes]);
        draft.file("golden/0.crop.png", vec![1; 33]);
        let path = folder.path().join(format!("{serial}.tar"));
        let digest = draft.write(&path).unwrap().digest;
        let tar = Path::new(ROOT).join("uploads").join(path.file_name().unwrap());
        Uploaded { tar, bytes: fs::read(path).unwrap(), digest, serial }
    });
    made.into()
}

/// What the daemon or an operator does.
#[derive(Debug, Clone, Copy)]
enum Step {
    Stage(usize),
    Try(usize),
    Keep,
    RollBack,
    Use(usize),
    Stop,
    Prune,
}

/// A seeded cart.
struct Cart {
    bundles: Vec<Uploaded>,
    power: Power,
    chance: u64,
}

impl Cart {
    fn new(seed: u64, bundles: Vec<Uploaded>) -> Self {
        Self { bundles, power: Power::on(seed), chance: seed }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % end
    }

    /// Puts the tars where uploads lie, on the disk.
    fn upload(&self) {
        let uploads = Path::new(ROOT).join("uploads");
        for bundle in &self.bundles {
            if disk::kind(&bundle.tar).is_err() {
                let mut file = disk::create_new(&bundle.tar).unwrap();
                file.write_all(&bundle.bytes).unwrap();
                file.sync_all().unwrap();
            }
        }
        disk::sync(&uploads).unwrap();
    }

    fn choose(&mut self) -> Step {
        let which = self.below(self.bundles.len() as u64) as usize;
        match self.below(10) {
            0..=2 => Step::Stage(which),
            3 | 4 => Step::Try(which),
            5 => Step::Keep,
            6 => Step::RollBack,
            7 => Step::Use(which),
            8 => Step::Stop,
            _ => Step::Prune,
        }
    }

    fn take(&self, models: &mut Models, step: Step) -> Result<(), ModelsError> {
        let digest = |which: usize| self.bundles[which].digest.as_str();
        match step {
            Step::Stage(which) => models.stage(&self.bundles[which].tar, &[], false, Floor::Held).map(drop),
            Step::Try(which) => models.begin_probation(digest(which), 1),
            Step::Keep => models.keep(),
            Step::RollBack => models.roll_back("asked").map(drop),
            Step::Use(which) => models.use_stored(digest(which)).map(drop),
            Step::Stop => models.stop_probation(),
            Step::Prune => models.prune(&[]).map(drop),
        }
    }

    /// The state that `step` leads to, where it is possible. `stored` are the digests that are there.
    fn after(&self, state: &State, step: Step, stored: &[String]) -> State {
        let mut new = state.clone();
        let activate = |new: &mut State, which: usize, tried: bool| {
            let digest = self.bundles[which].digest.clone();
            new.previous = new.active.replace(digest.clone());
            new.probation = tried.then_some(Probation { digest, deployment: 1, begun: 0, stopped: false });
        };
        let settle = |new: &mut State| {
            if let (Some(active), None) = (new.active.clone(), &new.probation)
                && !new.kept.contains(&active)
            {
                new.approve(&active);
            }
        };
        match step {
            Step::Try(which) => {
                settle(&mut new);
                activate(&mut new, which, true);
            }
            Step::Use(which) => {
                settle(&mut new);
                activate(&mut new, which, false);
                new.approve(&self.bundles[which].digest);
            }
            Step::Keep => {
                let of = |digest: &str| self.bundles.iter().find(|b| b.digest == digest).unwrap().serial;
                if let Some(probation) = new.probation.take() {
                    new.floor = new.floor.max(of(&probation.digest));
                    new.approve(&probation.digest);
                }
            }
            Step::RollBack => {
                let left = state.active.clone().unwrap_or_default();
                let never = state.rolled_back.as_ref().map_or("", |left| &left.digest);
                let to = state.previous.iter().chain(state.kept.iter().rev());
                let may = |digest: &&String| stored.contains(digest) && **digest != left;
                new.active = to.clone().find(|digest| may(digest) && *digest != never).cloned();
                new.kept.retain(|kept| *kept != left);
                let rest = state.kept.iter().rev();
                new.previous = rest
                    .into_iter()
                    .find(|digest| may(digest) && Some(*digest) != new.active.as_ref())
                    .cloned();
                new.rolled_back = Some(RolledBack { digest: left, why: "asked".into(), when: 0 });
                new.probation = None;
            }
            Step::Stop => {
                if let Some(probation) = &mut new.probation {
                    probation.stopped = true;
                }
            }
            Step::Stage(_) | Step::Prune => {}
        }
        new
    }
}

/// Without times.
fn timeless(state: &State) -> State {
    let mut state = state.clone();
    if let Some(probation) = &mut state.probation {
        probation.begun = 0;
    }
    if let Some(rolled_back) = &mut state.rolled_back {
        rolled_back.when = 0;
    }
    state
}

/// Runs `cuts` power cuts on one cart; what each fell on is drawn from `seed`.
fn cut(seed: u64, cuts: u64, most: u64) {
    let mut cart = Cart::new(seed, bundles());
    let mut models = Models::open(Path::new(ROOT)).unwrap();
    cart.upload();
    models.fill(&cart.bundles[0].tar.clone(), &[], false).unwrap();
    for number in 0..cuts {
        let place = || format!("seed {seed}, cut {number}");
        let steps = cart.below(most);
        cart.power.fails_after(steps);
        let (mut before, mut last, mut stored);
        let mut tries = 0;
        loop {
            before = timeless(models.state());
            stored = models.digests().unwrap();
            last = cart.choose();
            let done = cart.take(&mut models, last);
            tries += 1;
            // Nothing may be left to do that writes.
            if cart.power.is_off() || tries > 300 {
                break;
            }
            // What is refused leaves the state alone.
            let expected = if done.is_ok() { cart.after(&before, last, &stored) } else { before.clone() };
            assert_eq!(timeless(models.state()), expected, "{}, {last:?}: {done:?}", place());
        }
        drop(models);
        cart.power.back();

        let catalog = Catalog::read(Path::new(ROOT)).unwrap();
        let found = timeless(catalog.state());
        let new = cart.after(&before, last, &stored);
        assert!(found == before || found == new, "{}, {last:?}: {before:?}, {found:?}", place());
        models = Models::open(Path::new(ROOT)).unwrap();
        for digest in models.digests().unwrap() {
            models.bundle(&digest, &[]).unwrap_or_else(|e| panic!("{}, {last:?}: {e}", place()));
        }
        assert!(disk::entries(&models.staging()).unwrap().is_empty(), "{}", place());
        let was_tried = found.probation.as_ref().is_some_and(|probation| !probation.stopped);
        let goes_back = was_tried && models.previous_model().is_some();
        let started = models.start(&[]).unwrap().unwrap();
        assert_eq!(started.rolled_back.is_some(), goes_back, "{}, {last:?}", place());
        assert_eq!(Some(&started.bundle.digest), models.state().active.as_ref());
        // The next deployment works.
        cart.upload();
        let floor = models.state().floor;
        let active = models.state().active.clone();
        let next = cart.bundles.iter().find(|b| b.serial >= floor && active.as_ref() != Some(&b.digest));
        if let Some(next) = next {
            models.stage(&next.tar, &[], false, Floor::Held).unwrap();
            models.begin_probation(&next.digest, 1).unwrap();
        }
    }
}

#[test]
fn proof_a_power_cut_leaves_the_old_state_or_the_new_one() {
    let full = std::env::var_os("NERVELIGHT_PROOF").is_some();
    let (carts, cuts): (u64, u64) = if full { (5_000, 20) } else { (50, 20) };
    for seed in 0..carts {
        cut(seed, cuts, 60);
    }
    // As `tests/src/proof.rs` does it, which knows this crate.
    let row = format!(
        "| power cuts at any step of the model store, on a simulated disk: neither old nor new | 0 of {} | 0 |\n",
        carts * cuts
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

#[test]
fn the_simulated_disk_forgets_what_is_not_synced_and_tears_what_is_half_synced() {
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let power = Power::on(seed);
        let folder = Path::new("/a");
        disk::create_folders(folder).unwrap();
        disk::sync(Path::new("/")).unwrap();
        let path = folder.join("file");
        let mut file = disk::create_new(&path).unwrap();
        file.write_all(&[7; 5000]).unwrap();
        drop(file);
        power.back();
        match disk::open(&path) {
            Err(_) => lost += 1,
            Ok(mut file) => {
                let mut bytes = vec![];
                std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
                if bytes == [7; 5000] { kept += 1 } else { torn += 1 }
            }
        }
    }
    assert!(lost > 20 && kept > 5 && torn > 20, "{lost} lost, {kept} kept, {torn} torn");
}

#[test]
fn too_little_space_is_found_before_anything_is_unpacked() {
    let cart = Cart::new(1, bundles());
    let mut models = Models::open(Path::new(ROOT)).unwrap();
    cart.upload();
    cart.power.leave_free(64 << 20);
    let steps = cart.power.steps();
    let error = models.stage(&cart.bundles[1].tar, &[], false, Floor::Held).unwrap_err();
    assert!(error.to_string().contains("must stay free, but only 67108864 are"), "{error}");
    assert_eq!((error.code(), cart.power.steps()), ("no_space", steps), "nothing was written");
    cart.power.leave_free((64 << 20) + 20_000);
    models.stage(&cart.bundles[1].tar, &[], false, Floor::Held).unwrap();
}
