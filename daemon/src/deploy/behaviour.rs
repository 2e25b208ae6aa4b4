//! How a model behaves at work: counts, times and areas of its answers. A few hundred kilobytes, whatever the time.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::deploy::watch::Answer;
use crate::status::Quantiles;

/// Longest time of an engine that is told from a longer one, in microseconds.
const LONGEST: u64 = 60_000_000;
/// Pixels of a map, and more.
const LARGEST: u64 = 1_000_000;
/// What is known of a model is as old as this at least, and twice as old at most.
const EPOCH: Duration = Duration::from_secs(300);

/// How a model behaved over some time.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Answers to frames of the scanner.
    pub answers: u64,
    /// Answers that were errors.
    pub errors: u64,
    /// Maps of one value throughout.
    pub flat: u64,
    /// Maps that show a nerve.
    pub with_nerve: u64,
    /// Areas of those in pixels.
    pub areas: Histogram<u32>,
    /// Microseconds of the engine, where it had the machine for itself.
    pub times: Histogram<u32>,
    /// Frames of the scanner that were shown while the overlay was wanted.
    pub shown: u64,
    /// Those of them without a mask.
    pub without_mask: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        // The bounds are constants that the histogram accepts.
        let histogram =
            |most, digits| Histogram::new_with_max(most, digits).unwrap_or_else(|_| unreachable!());
        Self {
            answers: 0,
            errors: 0,
            flat: 0,
            with_nerve: 0,
            areas: histogram(LARGEST, 2),
            times: histogram(LONGEST, 2),
            shown: 0,
            without_mask: 0,
        }
    }
}

impl Behaviour {
    /// Takes in an answer.
    pub fn take(&mut self, answer: &Answer) {
        let Some(map) = &answer.map else {
            self.errors += 1;
            return;
        };
        if !map.is_scan {
            return;
        }
        self.answers += 1;
        self.flat += u64::from(map.is_flat);
        if map.shows_nerve() {
            self.with_nerve += 1;
            self.areas.saturating_record(u64::from(map.area));
        }
        if !map.was_disturbed {
            self.times.saturating_record(map.took.as_micros() as u64);
        }
    }

    /// Takes in frames that were shown.
    pub fn take_shown(&mut self, shown: u64, without_mask: u64) {
        self.shown += shown;
        self.without_mask += without_mask;
    }

    fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.errors += other.errors;
        self.flat += other.flat;
        self.with_nerve += other.with_nerve;
        self.shown += other.shown;
        self.without_mask += other.without_mask;
        // All have the same bounds.
        let _ = self.areas.add(&other.areas);
        let _ = self.times.add(&other.times);
    }

    /// Times of the engine.
    pub fn quantiles(&self) -> Quantiles {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |q: f64| ms(self.times.value_at_quantile(q));
        Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: ms(self.times.max()) }
    }

    /// A share of the answers; none without answers.
    pub fn share(&self, count: u64) -> Option<f64> {
        (self.answers > 0).then(|| count as f64 / self.answers as f64)
    }

    /// The share of shown frames without a mask; none without frames.
    pub fn off_share(&self) -> Option<f64> {
        (self.shown > 0).then(|| self.without_mask as f64 / self.shown as f64)
    }
}

/// How the model at work behaved recently: the last five to ten minutes.
#[derive(Debug)]
pub struct History {
    before: Behaviour,
    now: Behaviour,
    since: Instant,
}

impl History {
    /// Nothing yet, at `now`.
    pub fn new(now: Instant) -> Self {
        Self { before: Behaviour::default(), now: Behaviour::default(), since: now }
    }

    /// Where what happens at `now` is taken in.
    pub fn at(&mut self, now: Instant) -> &mut Behaviour {
        if now.saturating_duration_since(self.since) > EPOCH {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
        &mut self.now
    }

    /// All of it.
    pub fn recent(&self) -> Behaviour {
        let mut recent = self.before.clone();
        recent.add(&self.now);
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::watch::tests::answer;

    #[test]
    fn history_forgets_what_is_ten_minutes_old() {
        let start = Instant::now();
        let mut history = History::new(start);
        let at = |s| start + Duration::from_secs(s);
        (0..1200).for_each(|s| history.at(at(s)).take(&answer(500, 20)));
        let answers = history.recent().answers;
        assert!((300..=600).contains(&answers), "{answers}");
    }

    #[test]
    fn what_is_no_scan_says_nothing_of_a_model() {
        let mut behaviour = Behaviour::default();
        let mut black = answer(0, 20);
        if let Some(map) = &mut black.map {
            map.is_scan = false;
        }
        behaviour.take(&black);
        assert_eq!((behaviour.answers, behaviour.flat), (0, 0));
        black.map = None;
        behaviour.take(&black);
        assert_eq!(behaviour.errors, 1, "an engine that fails does so whatever it is shown");
    }
}
