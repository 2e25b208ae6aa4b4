use std::path::Path;

use super::*;
use crate::data::Dataset;
use crate::net::NumberFormat;
use crate::train::loss::LossKind;
use crate::train::schedule::Kind;
use crate::train::watch::tests_series as series;
use crate::util::Rng;
use crate::util::full_disk::on_full_disk;
use crate::weights;

/// Bright squares on dark noise, sometimes none: 32x64 pixels, learnable in seconds.
fn squares() -> Dataset {
    let (height, width) = (32, 64);
    let frames = (0..40u32).map(|i| {
        let mut rng = Rng::new(&[u64::from(i)]);
        let mut luma: Vec<u8> = (0..height * width).map(|_| rng.below(80) as u8).collect();
        let mut nerve = vec![0; height * width];
        let (top, left) = (rng.below(16), rng.below(48));
        for (y, x) in (0..16).flat_map(|y| (0..16).map(move |x| (y, x))) {
            if i % 4 != 0 {
                let at = (top + y) * width + left + x;
                luma[at] += 150;
                nerve[at] = 1;
            }
        }
        let patient = i / 5;
        Frame { name: format!("{patient}_{i}"), patient, luma: luma.into(), nerve: nerve.into() }
    });
    Dataset { frames: frames.collect(), height, width, digest: "squares".into(), corrections: None }
}

fn settings(run: &Path) -> Settings {
    Settings {
        data: "squares".into(),
        run: run.into(),
        width: 0.0625,
        threads: 1,
        epochs: 2,
        batch_size: 4,
        learning_rate: 2e-3,
        loss: LossKind::BceDice,
        augment: Augment::Full,
        precision: NumberFormat::Fp32,
        schedule: Kind::Plateau,
        ema_decay: 0.9,
        warmup: 3,
        validate_every: 5,
        validation_limit: 3,
        ..Default::default()
    }
}

fn go(settings: &Settings, resume: bool, stop: bool) -> Result<Outcome> {
    train(settings, &squares(), resume, Options::default(), &Arc::new(AtomicBool::new(stop)))
}

#[test]
fn resumed_run_equals_an_uninterrupted_one() {
    let directory = tempfile::tempdir().unwrap();
    let straight = settings(&directory.path().join("straight"));
    assert_eq!(go(&straight, false, false).unwrap(), Outcome::Finished);
    let broken = settings(&directory.path().join("broken"));
    // Stopped after one batch, then after the next, then left alone.
    assert_eq!(go(&broken, false, true).unwrap(), Outcome::Interrupted);
    assert_eq!(go(&broken, true, true).unwrap(), Outcome::Interrupted);
    assert_eq!(go(&broken, true, false).unwrap(), Outcome::Finished);

    let last = |s: &Settings| RunDir::load(&s.run.join("checkpoints/last.safetensors")).unwrap();
    let (straight_end, broken_end) = (last(&straight), last(&broken));
    assert_eq!(straight_end.1, broken_end.1);
    assert_eq!(straight_end.0.tensors.len(), broken_end.0.tensors.len());
    for (name, tensor) in &straight_end.0.tensors {
        assert_eq!(*tensor, broken_end.0.tensors[name], "{name}");
    }
    let metrics = |s: &Settings| std::fs::read_to_string(s.run.join("metrics.csv")).unwrap();
    assert_eq!(metrics(&straight), metrics(&broken));
    let steps: Vec<i64> = (1..=16).collect();
    for tag in ["training/loss", "training/learning_rate", "validation/dice", "validation_part/loss"] {
        let series = |s: &Settings| series(&s.run.join("events"), tag);
        assert_eq!(series(&straight), series(&broken), "{tag}");
        let found: Vec<i64> = series(&straight).iter().map(|(step, _)| *step).collect();
        let expected = match tag {
            "validation/dice" => &[8, 16][..],
            "validation_part/loss" => &[1, 6, 9, 14][..],
            _ => &steps,
        };
        assert_eq!(found, expected, "{tag}");
    }
    // 32 training frames: batches 0 and 5 of each epoch and its end, under a line of names.
    assert_eq!(metrics(&straight).lines().count(), 1 + 2 * 3);
    for file in ["curves/loss.png", "curves/overlap.svg", "checkpoints/best.safetensors", "split.json"] {
        assert!(straight.run.join(file).is_file(), "{file}");
    }
}

#[test]
fn a_unet_with_a_teacher_resumes_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    let wide = Settings { epochs: 1, width: 0.125, ..settings(&directory.path().join("wide")) };
    go(&wide, false, false).unwrap();
    let student = |name: &str| Settings {
        network: "vgg16-unet".into(),
        teacher: Some(wide.run.clone()),
        epochs: 1,
        ..settings(&directory.path().join(name))
    };
    let (straight, broken) = (student("straight"), student("broken"));
    assert_eq!(go(&straight, false, false).unwrap(), Outcome::Finished);
    assert_eq!(go(&broken, false, true).unwrap(), Outcome::Interrupted);
    assert_eq!(go(&broken, true, false).unwrap(), Outcome::Finished);
    let tensors = |s: &Settings| RunDir::load(&s.run.join("checkpoints/last.safetensors")).unwrap().0.tensors;
    let (straight, broken) = (tensors(&straight), tensors(&broken));
    assert!(straight["conv1_1.bn.running_mean"].abs().max().double_value(&[]) > 0.0);
    assert!(!straight.contains_key("adam.mean.conv1_1.bn.running_mean"));
    assert_eq!(straight.len(), broken.len());
    assert!(straight.iter().all(|(name, tensor)| *tensor == broken[name]));
}

#[test]
fn learns_squares() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { epochs: 12, augment: Augment::None, ..settings(&directory.path().join("run")) };
    go(&settings, false, false).unwrap();
    let history = RunDir::load(&settings.run.join("checkpoints/last.safetensors")).unwrap().1.history;
    let full: Vec<f64> = history.iter().filter(|r| r.full).map(|r| r.loss).collect();
    assert!(full[full.len() - 1] < 0.6 * full[0], "{full:?}");
}

#[test]
fn an_existing_run_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory.path().join("run"));
    go(&settings, false, true).unwrap();
    let error = go(&settings, false, true).unwrap_err().to_string();
    assert!(error.contains("--resume"), "{error}");
}

#[test]
fn a_resumed_run_keeps_its_settings_but_for_more_epochs() {
    let directory = tempfile::tempdir().unwrap();
    let first = Settings { epochs: 1, ..settings(&directory.path().join("run")) };
    assert_eq!(go(&first, false, false).unwrap(), Outcome::Finished);
    assert_eq!(go(&first, true, false).unwrap(), Outcome::AlreadyFinished);
    let other = Settings { batch_size: 8, epochs: 2, ..first.clone() };
    let error = go(&other, true, false).unwrap_err().to_string();
    assert!(error.contains("batch_size"), "{error}");
    let stored = || RunDir::open(&first.run).unwrap().1;
    assert_eq!(stored(), first);
    let more = Settings { epochs: 2, ..first.clone() };
    assert_eq!(go(&more, true, true).unwrap(), Outcome::Interrupted);
    assert_eq!(stored(), more);
}

#[test]
fn a_full_disk_names_an_earlier_checkpoint_only_if_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory.path().join("run"));
    // Enough for the settings, not for a checkpoint.
    const ROOM: u64 = 16 << 10;
    let error = on_full_disk(ROOM, || go(&settings, false, true)).unwrap_err().to_string();
    assert!(error.contains("start anew") && !error.contains("resume"), "{error}");
    go(&settings, false, true).unwrap();
    let error = on_full_disk(ROOM, || go(&settings, true, true)).unwrap_err().to_string();
    assert!(error.contains("resume from the one before"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { learning_rate: 0.99, epochs: 30, ..settings(&directory.path().join("run")) };
    let mut data = squares();
    data.frames.iter_mut().for_each(|f| f.luma.fill(255));
    let network = settings.network().unwrap();
    let mut parameters = weights::random(&network).parameters;
    parameters.insert("conv1_1.bias".into(), tch::Tensor::full([4], f64::NAN, tch::kind::FLOAT_CPU));
    let weights = directory.path().join("nan.safetensors");
    crate::weights::checkpoint::write(&weights, &Checkpoint { tensors: parameters, ..Default::default() })
        .unwrap();
    let settings = Settings { init: Some(weights), ..settings };
    let stop = Arc::new(AtomicBool::new(false));
    let error = train(&settings, &data, false, Options::default(), &stop).unwrap_err().to_string();
    assert!(error.contains("epoch 1, batch 1") && error.contains("learning_rate"), "{error}");
}

#[test]
fn what_is_frozen_is_stored_and_older_checkpoints_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&directory.path().join("run"));
    let last = settings.run.join("checkpoints/last.safetensors");
    let begin = || {
        let _ = std::fs::remove_dir_all(&settings.run);
        assert_eq!(go(&settings, false, true).unwrap(), Outcome::Interrupted);
        RunDir::load(&last).unwrap()
    };
    let resumed = |checkpoint: Checkpoint, state: State| {
        RunDir::at(&settings.run).save(&last, checkpoint, &state).unwrap();
        assert_eq!(go(&settings, true, true).unwrap(), Outcome::Interrupted);
        let (checkpoint, state) = RunDir::load(&last).unwrap();
        (checkpoint.tensors.contains_key("adam.mean.conv1_1.weight"), state.frozen)
    };
    let (checkpoint, state) = begin();
    assert_eq!(state.frozen, Some(0));
    // Moments are there, and what is stored counts.
    assert_eq!(resumed(checkpoint, State { frozen: Some(8), ..state }), (false, Some(8)));
    // Before it was stored, the moments told.
    let (checkpoint, state) = begin();
    let old = serde_json::to_string(&state).unwrap().replace(r#""frozen":0,"#, "");
    assert!(!old.contains("frozen"));
    let state: State = serde_json::from_str(&old).unwrap();
    assert_eq!(resumed(checkpoint, state.clone()), (true, Some(0)));
    let (mut checkpoint, _) = begin();
    checkpoint.tensors.retain(|name, _| !name.starts_with("adam.mean.conv1_1"));
    assert_eq!(resumed(checkpoint, state), (false, Some(8)));
}
