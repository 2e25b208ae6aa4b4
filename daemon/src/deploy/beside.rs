//! The thread of the model that is not shown: it computes the crop that the shown model has just answered, when there is time
//! for it, and compares both. One crop at a time, and the newest.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use nervelight_engines::components::shown;
use nervelight_engines::golden::range;
use nervelight_engines::{Plane, WIDTH, contract};

use crate::deploy::agreement::Pair;
use crate::deploy::watch::{Crops, Seen};
use crate::infer::{Inference, Job, Model, Offer, Why};

/// A shown engine that is busy for a larger share of its time leaves none.
const BUSY: f64 = 0.8;
/// After a crop the thread rests for so many times as long as that took.
const REST: u32 = 9;
/// And for so long at least.
const LEAST_REST: Duration = Duration::from_millis(200);
/// A crop that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Models whose masks have a lower Dice see a frame differently.
const DISAGREES: f64 = 0.7;
/// Time between looks at whether anything is wanted.
const POLL: Duration = Duration::from_millis(50);
/// Comparisons that may wait to be read.
const TOLD: usize = 256;

/// What comes of a crop.
#[derive(Debug)]
pub enum Told {
    /// Both models have computed it.
    Pair {
        /// How they agree.
        pair: Pair,
        /// The shown model.
        shown: Arc<Model>,
    },
    /// The model that is not shown failed on it.
    Failed(String),
}

/// What the thread is asked.
enum Ask {
    Run(Inference),
    Halt,
}

/// The thread, seen from outside. It ends when this is dropped.
pub struct Beside {
    asks: Sender<Ask>,
    told: Receiver<Told>,
    back: Receiver<Inference>,
    is_lent: bool,
}

impl Beside {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(crops: Crops, offer: Option<Arc<dyn Offer>>) -> Result<Self> {
        let (asks, asked) = unbounded();
        let (tell, told) = bounded(TOLD);
        let (give, back) = bounded(1);
        let run = move || Runner { crops, offer, asked, tell, give, inference: None, number: 0 }.run();
        thread::Builder::new().name("beside".into()).spawn(run).context("cannot start a thread")?;
        Ok(Self { asks, told, back, is_lent: false })
    }

    /// Runs this engine on spare time from now on.
    pub fn run(&mut self, inference: Inference) {
        self.is_lent = true;
        // The thread lives as long as this.
        let _ = self.asks.send(Ask::Run(inference));
    }

    /// Runs none any more; the engine comes back through [`Self::back`] when it has answered.
    pub fn halt(&mut self) {
        if self.is_lent {
            let _ = self.asks.send(Ask::Halt);
        }
    }

    /// Whether the thread has an engine.
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// The engine, once it is given back.
    pub fn back(&mut self) -> Option<Inference> {
        let inference = self.back.try_recv().ok()?;
        self.is_lent = false;
        Some(inference)
    }

    /// What came of crops since the last time.
    pub fn told(&self) -> impl Iterator<Item = Told> {
        self.told.try_iter()
    }
}

struct Runner {
    crops: Crops,
    /// Takes crops that both models see differently.
    offer: Option<Arc<dyn Offer>>,
    asked: Receiver<Ask>,
    tell: Sender<Told>,
    give: Sender<Inference>,
    inference: Option<Inference>,
    /// Counts crops.
    number: u64,
}

impl Runner {
    fn run(&mut self) {
        // What is compared waits for the engines, and for everything else.
        let _ = rustix::process::nice(15);
        let mut rest = Duration::ZERO;
        loop {
            let asked = match self.inference {
                None => self.asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => self.asked.recv_timeout(rest),
            };
            rest = POLL;
            match asked {
                Ok(Ask::Run(inference)) => self.inference = Some(inference),
                Ok(Ask::Halt) => {
                    if let Some(inference) = self.inference.take() {
                        // There is room for the one that there is.
                        let _ = self.give.try_send(inference);
                    }
                }
                Err(RecvTimeoutError::Timeout) => rest = self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Computes a crop, if there is one and time for it. Returns how long to rest.
    fn look(&mut self) -> Duration {
        let Some(inference) = self.inference.as_mut().filter(|inference| inference.is_open()) else {
            return POLL;
        };
        if self.crops.load.busy() > BUSY {
            return LEAST_REST;
        }
        self.crops.load.want();
        let Ok(seen) = self.crops.seen.recv_timeout(POLL) else { return Duration::ZERO };
        let begun = Instant::now();
        self.crops.load.begin_aside();
        self.number += 1;
        inference.submit_aside(self.number, &seen.crop);
        let job = answer(inference, self.number);
        self.crops.load.end_aside();
        let told = match &job {
            Some(job) => compare(&seen, job),
            None => Some(Told::Failed(format!("it has not answered within {PATIENCE:?}"))),
        };
        if let Some(job) = job {
            inference.recycle(job);
        }
        if let (Some(offer), Some(Told::Pair { pair, shown, .. })) = (&self.offer, &told)
            && pair.dice < DISAGREES
        {
            offer.offer(&seen.crop, &seen.map, shown, Why::Disagreement { dice: pair.dice });
        }
        // Full while nobody reads; then a figure misses a frame.
        told.map(|told| self.tell.try_send(told));
        // It circulates; there is room for it.
        let _ = self.crops.spare.try_send(seen);
        (begun.elapsed() * REST).max(LEAST_REST)
    }
}

/// The answer to the crop of this `number`; one to a crop that was given up may come before it.
fn answer(inference: &mut Inference, number: u64) -> Option<Job> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = inference.answer(deadline.saturating_duration_since(Instant::now()))?;
        if job.is_aside && job.number == number {
            return Some(job);
        }
        inference.recycle(job);
    }
}

fn compare(seen: &Seen, job: &Job) -> Option<Told> {
    let shown_model = seen.model.clone()?;
    let computed = match &job.outcome {
        Ok(computed) => computed,
        Err(error) => return Some(Told::Failed(error.to_string())),
    };
    let pair = pair((&seen.map, &shown_model, seen.took), (&job.map, &computed.model, computed.took));
    Some(Told::Pair { pair, shown: shown_model })
}

/// Compares what a cart would show of two maps, each by its own model.
fn pair(of_shown: (&Plane, &Model, Duration), of_aside: (&Plane, &Model, Duration)) -> Pair {
    let visible =
        |(map, model, _): (&Plane, &Model, Duration)| shown(map, WIDTH, model.threshold, model.min_area);
    let masks = [of_shown, of_aside].map(visible);
    let area = |mask: &[u8]| mask.iter().filter(|&&p| p == 1).count();
    let us = |took: Duration| took.as_micros() as u64;
    Pair {
        shown: area(&masks[0]),
        aside: area(&masks[1]),
        dice: contract::dice(&masks[0], &masks[1], 1),
        shown_range: range(of_shown.0),
        aside_range: range(of_aside.0),
        shown_us: us(of_shown.2),
        aside_us: us(of_aside.2),
    }
}

#[cfg(test)]
mod tests {
    use nervelight_engines::{HEIGHT, plane};

    use super::*;
    use crate::deploy::watch::tests::model;

    #[test]
    fn maps_are_compared_as_they_would_be_shown() {
        let block = |x: usize, value: u8| {
            let mut map = plane();
            (0..HEIGHT / 2).for_each(|row| map[row * WIDTH + x..][..40].fill(value));
            map
        };
        let own = model("0");
        let mut wide = Model::clone(&model("1"));
        wide.threshold = 60;
        let (ms, area) = (Duration::from_millis(7), 40 * HEIGHT / 2);
        let half = pair((&block(0, 200), &own, ms), (&block(20, 90), &wide, ms));
        assert_eq!((half.shown, half.aside, half.dice), (area, area, 0.5));
        assert_eq!((half.aside_range, half.aside_us), ((0, 90), 7000));
        let none = pair((&block(0, 200), &own, ms), (&block(0, 90), &own, ms));
        assert_eq!((none.aside, none.dice), (0, 0.0), "under its own threshold");
    }
}
