//! Sees every answer of the shown engine, on that engine's thread: measures it, and copies a crop now and then for the model
//! that is not shown. Nothing here waits or allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use nervelight_engines::{Plane, golden, plane};

use crate::infer::{Job, Model, Onlooker};

/// Answers that may wait to be read, more than twenty seconds of them; beyond, figures miss some.
const ANSWERS: usize = 1024;

/// An answer of the shown engine.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What is known of the map; none where the answer was an error.
    pub map: Option<MapFacts>,
}

/// What is known of a map.
#[derive(Debug, Clone)]
pub struct MapFacts {
    /// The model that computed it.
    pub model: Arc<Model>,
    /// Time of the engine.
    pub took: Duration,
    /// The crop is of the scanner's picture, which moves.
    pub is_scan: bool,
    /// A model that is not shown was at work, too.
    pub was_disturbed: bool,
    /// One value throughout.
    pub is_flat: bool,
    /// Pixels at or over the threshold, specks included.
    pub area: u32,
}

impl MapFacts {
    /// Whether it shows a nerve, or about so: of its pixels at or over the threshold enough are there, wherever they are.
    pub fn shows_nerve(&self) -> bool {
        self.area > 0 && self.area >= self.model.min_area
    }
}

/// A crop that the shown model has answered.
pub struct Seen {
    /// Full-range luma.
    pub crop: Box<Plane>,
    /// What the shown model made of it.
    pub map: Box<Plane>,
    /// That model.
    pub model: Option<Arc<Model>>,
    /// Time of its engine.
    pub took: Duration,
}

/// What the engine's thread and the others share.
pub struct Load {
    epoch: Instant,
    /// Somebody wants the next crop.
    wanted: AtomicBool,
    /// The model that is not shown is at a crop.
    is_aside_busy: AtomicBool,
    /// When it was last, in microseconds.
    aside_until: AtomicU64,
    /// When the shown engine answered last, and the share of its time that it is busy, in thousandths.
    answered: AtomicU64,
    busy: AtomicU64,
}

impl Load {
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    /// Asks for the next crop.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// The model that is not shown begins with a crop.
    pub fn begin_aside(&self) {
        self.is_aside_busy.store(true, Ordering::Relaxed);
    }

    /// It has answered.
    pub fn end_aside(&self) {
        self.aside_until.store(self.now(), Ordering::Relaxed);
        self.is_aside_busy.store(false, Ordering::Relaxed);
    }

    /// The share of time that the shown engine is busy.
    pub fn busy(&self) -> f64 {
        self.busy.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// The shown engine answered after `took`; returns whether it was disturbed meanwhile.
    fn answered(&self, took: Duration) -> bool {
        let (now, took) = (self.now(), took.as_micros() as u64);
        let since = now.saturating_sub(self.answered.swap(now, Ordering::Relaxed)).max(1);
        let share = (1000 * took / since.max(took)).min(1000);
        let before = self.busy.load(Ordering::Relaxed);
        // About the last thirty answers count.
        self.busy.store((29 * before + share) / 30, Ordering::Relaxed);
        self.is_aside_busy.load(Ordering::Relaxed)
            || self.aside_until.load(Ordering::Relaxed) > now.saturating_sub(took)
    }
}

/// The onlooker.
pub struct Watch {
    load: Arc<Load>,
    answers: Sender<Answer>,
    spare: Receiver<Seen>,
    seen: Sender<Seen>,
}

/// The other ends.
pub struct Watched {
    /// Every answer of the shown engine.
    pub answers: Receiver<Answer>,
    /// For the thread of the model that is not shown.
    pub crops: Crops,
}

/// Crops for the model that is not shown.
pub struct Crops {
    /// How busy the engines are.
    pub load: Arc<Load>,
    /// Crops that were asked for.
    pub seen: Receiver<Seen>,
    /// Where they go afterwards.
    pub spare: Sender<Seen>,
}

/// Makes the onlooker and the other ends.
pub fn watch() -> (Watch, Watched) {
    let load = Arc::new(Load {
        epoch: Instant::now(),
        wanted: AtomicBool::new(false),
        is_aside_busy: AtomicBool::new(false),
        aside_until: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        busy: AtomicU64::new(0),
    });
    let (answers, heard) = bounded(ANSWERS);
    let (give, spare) = bounded(1);
    let (seen, taken) = bounded(1);
    let first = Seen { crop: plane(), map: plane(), model: None, took: Duration::ZERO };
    // There is room for one.
    let _ = give.try_send(first);
    let watch = Watch { load: load.clone(), answers, spare, seen };
    (watch, Watched { answers: heard, crops: Crops { load, seen: taken, spare: give } })
}

impl Onlooker for Watch {
    fn see(&self, job: &Job) {
        let map = job.outcome.as_ref().ok().map(|computed| {
            let was_disturbed = self.load.answered(computed.took);
            let threshold = computed.model.threshold;
            let area = job.map.chunks_exact(64).map(|pixels| count(pixels, threshold)).sum();
            MapFacts {
                model: computed.model.clone(),
                took: computed.took,
                is_scan: job.is_scan,
                was_disturbed,
                is_flat: golden::is_flat(golden::range(&job.map)),
                area,
            }
        });
        if let (Some(facts), true) = (&map, job.is_scan) {
            self.copy(job, facts);
        }
        // Full while nobody reads; then a figure misses an answer.
        let _ = self.answers.try_send(Answer { map });
    }
}

impl Watch {
    /// Copies the crop for somebody who wants it.
    fn copy(&self, job: &Job, facts: &MapFacts) {
        if !self.load.wanted.swap(false, Ordering::Relaxed) {
            return;
        }
        let Ok(mut seen) = self.spare.try_recv() else { return };
        seen.crop.copy_from_slice(&job.crop[..]);
        seen.map.copy_from_slice(&job.map[..]);
        (seen.model, seen.took) = (Some(facts.model.clone()), facts.took);
        // There is one, and room for it.
        let _ = self.seen.try_send(seen);
    }
}

fn count(pixels: &[u8], threshold: u8) -> u32 {
    // In bytes, which processors add many at a time: there are fewer than 256.
    u32::from(pixels.iter().map(|&p| u8::from(p >= threshold)).sum::<u8>())
}

#[cfg(test)]
pub mod tests {
    use nervelight_engines::{EngineError, EngineInfo, Precision};

    use super::*;
    use crate::infer::Computed;

    pub fn model(digest: &str) -> Arc<Model> {
        let engine = EngineInfo {
            runtime: "fake".into(),
            provider: "CPU".into(),
            precision: Precision::Fp32,
            threads: 1,
            model: "fake 1".into(),
            digest: digest.into(),
        };
        Arc::new(Model { engine, threshold: 128, min_area: 100, generation: 1 })
    }

    /// An answer with a nerve of so many pixels, after so many milliseconds.
    pub fn answer(area: u32, ms: u64) -> Answer {
        let map = MapFacts {
            model: model("0"),
            took: Duration::from_millis(ms),
            is_scan: true,
            was_disturbed: false,
            is_flat: false,
            area,
        };
        Answer { map: Some(map) }
    }

    fn job(is_scan: bool, fill: impl Fn(&mut Plane)) -> Job {
        let mut map = plane();
        fill(&mut map);
        let computed = Computed { took: Duration::from_millis(5), model: model("0") };
        Job {
            number: 1,
            scene: 1,
            arrived: Instant::now(),
            is_scan,
            is_aside: false,
            spacing: None,
            has_picture: true,
            crop: plane(),
            map,
            outcome: Ok(computed),
        }
    }

    #[test]
    fn answers_are_measured() {
        let (watch, watched) = watch();
        watch.see(&job(true, |map| map[1000..1500].fill(200)));
        watch.see(&job(true, |map| map.fill(200)));
        let failed = Job { outcome: Err(EngineError::Infer("no".into())), ..job(true, |_| ()) };
        watch.see(&failed);
        let maps: Vec<_> = watched.answers.try_iter().map(|answer| answer.map).collect();
        let facts = |n: usize| maps[n].as_ref().map(|map| (map.area, map.is_flat, map.shows_nerve()));
        assert_eq!(facts(0), Some((500, false, true)));
        assert_eq!(facts(1), Some((576 * 416, true, true)));
        assert!(maps[2].is_none());
    }

    #[test]
    fn a_crop_is_copied_once_for_who_wants_one_and_only_of_a_scan() {
        let (watch, Watched { crops, .. }) = watch();
        watch.see(&job(true, |_| ()));
        crops.load.want();
        watch.see(&job(false, |_| ()));
        assert!(crops.seen.is_empty());
        watch.see(&job(true, |map| map[0] = 7));
        watch.see(&job(true, |map| map[0] = 8));
        let seen = crops.seen.try_recv().unwrap();
        assert_eq!((seen.map[0], crops.seen.len()), (7, 0));
        // It circulates.
        crops.spare.try_send(seen).unwrap();
        crops.load.want();
        watch.see(&job(true, |map| map[0] = 9));
        assert_eq!(crops.seen.try_recv().unwrap().map[0], 9);
    }

    #[test]
    fn times_beside_another_model_are_known() {
        let (watch, watched) = watch();
        let disturbed = || {
            watch.see(&job(true, |_| ()));
            watched.answers.try_recv().unwrap().map.unwrap().was_disturbed
        };
        assert!(!disturbed());
        watched.crops.load.begin_aside();
        assert!(disturbed());
        watched.crops.load.end_aside();
        assert!(disturbed(), "it had begun before the other ended");
    }
}
