use nervelight_engines::{EngineInfo, Precision, WIDTH};
use tempfile::TempDir;

use super::*;
use crate::harvest::stock::stock;
use crate::infer::Model;
use crossbeam_channel::bounded;

/// A judge with what it hands on, and a scanner that it looks at.
struct Scene {
    judge: Judge,
    buffers: Buffers,
    tasks: Receiver<Task>,
    status: Arc<Status>,
    begun: Instant,
    frame: u8,
    _folder: TempDir,
}

const MS: Duration = Duration::from_millis(1);

impl Scene {
    fn new(room: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = config::Harvest {
            path: folder.path().into(),
            quota: 1_000_000,
            min_interval: Duration::from_secs(10),
            uncertainty: 0.6,
            area_jump: 0.5,
            case_gap: Duration::from_secs(1800),
            key: None,
        };
        let (buffers, _) = stock();
        let (send, tasks) = bounded(room);
        let status = Arc::new(Status::default());
        let judge = Judge::new(&settings, buffers.clone(), send, status.clone());
        Self { judge, buffers, tasks, status, begun: Instant::now(), frame: 0, _folder: folder }
    }

    /// Shows a moving picture whose map has `value` on `side` x `side` pixels.
    fn show(&mut self, ms: u32, side: usize, value: u8) {
        self.frame = self.frame.wrapping_add(40);
        let frame = self.frame;
        self.show_still(ms, side, value, frame);
    }

    fn show_still(&mut self, ms: u32, side: usize, value: u8, luma: u8) {
        let mut seen = self.buffers.take().expect("a buffer that came back");
        seen.crop.fill(luma);
        seen.map.fill(0);
        seen.map.chunks_exact_mut(WIDTH).take(side).for_each(|row| row[..side].fill(value));
        let arrived = self.begun + ms * MS;
        seen.of = Some(Of { scene: 1, arrived, spacing: None, model: model(), why: None });
        self.judge.look(seen);
    }

    /// What was kept since the last time, by why, and the events.
    fn kept(&self) -> (Vec<Cause>, std::collections::BTreeSet<String>) {
        let kept: Vec<_> = self
            .tasks
            .try_iter()
            .filter_map(|task| match task {
                Task::Keep(keep) => {
                    self.buffers.put_back(keep.seen);
                    Some((keep.why, keep.event))
                }
                Task::Case(_) => None,
            })
            .collect();
        kept.into_iter().unzip()
    }
}

fn model() -> Arc<Model> {
    let engine = EngineInfo {
        runtime: "test".into(),
        provider: "CPU".into(),
        precision: Precision::Fp32,
        threads: 1,
        model: "test 1".into(),
        digest: "00".into(),
    };
    Arc::new(Model { engine, threshold: 128, min_area: 100, generation: 1 })
}

#[test]
fn what_is_sure_and_steady_is_not_kept() {
    let mut scene = Scene::new(16);
    (0..300).for_each(|n| scene.show(n * 33, 40, 255));
    assert_eq!(scene.kept().0, []);
    assert_eq!(scene.status.figures().unseen, 0);
}

#[test]
fn uncertain_pictures_are_kept_seldom_and_once() {
    let mut scene = Scene::new(16);
    (0..300).for_each(|n| scene.show(n * 33, 40, 120));
    assert_eq!(scene.kept().0, [Cause::Uncertain], "one in ten seconds");
    scene.show(11_000, 40, 120);
    assert_eq!(scene.kept().0, [Cause::Uncertain]);
    // Frozen, for a minute.
    let luma = scene.frame;
    (0..60).for_each(|n| scene.show_still(12_000 + n * 1000, 40, 120, luma));
    assert_eq!(scene.kept().0, []);
}

#[test]
fn both_sides_of_a_jump_are_kept_as_one_event() {
    let mut scene = Scene::new(16);
    scene.show(0, 40, 255);
    scene.show(33, 20, 255);
    let (kept, events) = scene.kept();
    assert_eq!((kept, events.len()), (vec![Cause::AreaJump; 2], 1));
    // Too far apart to be consecutive.
    scene.show(20_000, 40, 255);
    scene.show(20_300, 20, 255);
    assert_eq!(scene.kept().0, []);
}

#[test]
fn a_flag_keeps_the_second_before_and_the_second_after() {
    let mut scene = Scene::new(16);
    (0..100).for_each(|n| scene.show(n * 33, 40, 255));
    let now = scene.begun + 3300 * MS;
    scene.judge.flag(Reason::WrongOutline, now);
    let (before, events) = scene.kept();
    assert!((4..=6).contains(&before.len()) && events.len() == 1, "{before:?}");
    (100..200).for_each(|n| scene.show(n * 33, 40, 255));
    let (after, same) = scene.kept();
    assert!((4..=5).contains(&after.len()) && same == events, "{after:?}");
    // All buffers are back but those of the last second.
    let spare = std::iter::from_fn(|| scene.buffers.take()).count();
    assert!(spare >= 19, "{spare}");
}

#[test]
fn what_the_writer_has_no_room_for_is_counted_and_its_buffer_comes_back() {
    let mut scene = Scene::new(1);
    for n in 0..40 {
        scene.show(n * 11_000, 40, 120);
    }
    assert_eq!(scene.status.figures().lost, 39);
}

#[test]
fn disagreements_are_kept_as_seldom_as_others() {
    let mut scene = Scene::new(16);
    for n in 0..3 {
        let mut seen = scene.buffers.take().unwrap();
        seen.crop.fill(n * 40);
        let (arrived, why) = (scene.begun + u32::from(n) * 6000 * MS, Some(Why::Disagreement { dice: 0.2 }));
        seen.of = Some(Of { scene: 0, arrived, spacing: None, model: model(), why });
        scene.judge.look(seen);
    }
    assert_eq!(scene.kept().0, [Cause::Disagreement; 2]);
}
