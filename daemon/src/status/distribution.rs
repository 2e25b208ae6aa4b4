//! Distributions of durations: of the whole run, and of the last minute.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest duration that is told from a longer one, in microseconds.
const LONGEST: u64 = 60_000_000;
/// The last minute is kept in slices, so that it moves.
const SLICE: Duration = Duration::from_secs(10);
/// Slices of a minute.
const SLICES: usize = 6;

/// Quantiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// Durations of 1 us to 60 s, counted to three digits.
#[derive(Debug, Clone)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Durations {
    /// Adds one.
    pub fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    /// Of all.
    pub fn quantiles(&self) -> Quantiles {
        quantiles(&self.0)
    }
}

/// A distribution of durations over time.
pub struct Distribution {
    all: Durations,
    recent: Recent<Histogram<u32>>,
    metric: metrics::Histogram,
}

impl Distribution {
    /// An empty one that is published as `metric`, too.
    pub fn new(metric: metrics::Histogram) -> Self {
        Self { all: Durations::default(), recent: Recent::new(Instant::now(), histogram), metric }
    }

    /// Adds a duration that was measured about `now`.
    pub fn record(&mut self, duration: Duration, now: Instant) {
        let micros = duration.as_micros() as u64;
        self.all.record(micros);
        self.recent.at(now, Histogram::reset).saturating_record(micros);
        self.metric.record(duration.as_secs_f64());
    }

    /// Of the whole run.
    pub fn quantiles(&self) -> Quantiles {
        self.all.quantiles()
    }

    /// Of the last minute, give or take ten seconds.
    pub fn last_minute(&mut self, now: Instant) -> Quantiles {
        self.recent.at(now, Histogram::reset);
        let mut minute = self.recent.slices[0].clone();
        for slice in &self.recent.slices[1..] {
            // All have the same bounds.
            let _ = minute.add(slice);
        }
        quantiles(&minute)
    }
}

fn histogram<T: hdrhistogram::Counter>() -> Histogram<T> {
    // The bounds are constants that the histogram accepts.
    Histogram::new_with_max(LONGEST, 3).unwrap_or_else(|_| unreachable!())
}

fn quantiles<T: hdrhistogram::Counter>(histogram: &Histogram<T>) -> Quantiles {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let at = |q: f64| ms(histogram.value_at_quantile(q));
    Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: ms(histogram.max()) }
}

/// The last minute in slices of ten seconds, the oldest of which is used again.
pub struct Recent<T> {
    begun: Instant,
    /// Which slice of all times is the newest.
    newest: u64,
    /// Slice `n` of all times is in place `n % SLICES`.
    slices: Vec<T>,
}

impl<T> Recent<T> {
    /// Nothing yet, at `begun`.
    pub fn new(begun: Instant, slice: impl Fn() -> T) -> Self {
        Self { begun, newest: 0, slices: std::iter::repeat_with(slice).take(SLICES).collect() }
    }

    /// The slice of `now`; `reset` empties those whose time is over.
    pub fn at(&mut self, now: Instant, reset: impl Fn(&mut T)) -> &mut T {
        let slice = now.saturating_duration_since(self.begun).as_secs() / SLICE.as_secs();
        let passed = slice.saturating_sub(self.newest).min(SLICES as u64);
        for n in 0..passed {
            reset(&mut self.slices[((slice - n) % SLICES as u64) as usize]);
        }
        self.newest = self.newest.max(slice);
        &mut self.slices[(self.newest % SLICES as u64) as usize]
    }

    /// Every slice.
    pub fn slices(&self) -> &[T] {
        &self.slices
    }

    /// Seconds that the slices stand for at `now`.
    pub fn seconds(&self, now: Instant) -> f64 {
        let since_start = now.saturating_duration_since(self.begun).as_secs_f64();
        let into_newest = since_start - (self.newest * SLICE.as_secs()) as f64;
        since_start.min(into_newest + ((SLICES - 1) as u64 * SLICE.as_secs()) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_forgets() {
        let mut distribution = Distribution::new(metrics::Histogram::noop());
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        for s in 0..30 {
            distribution.record(Duration::from_millis(100), at(s));
        }
        for s in 30..120 {
            distribution.record(Duration::from_millis(10), at(s));
        }
        let ms = |q: Quantiles| (q.p50.round(), q.max.round());
        assert_eq!(ms(distribution.quantiles()), (10.0, 100.0));
        assert_eq!(ms(distribution.last_minute(at(120))), (10.0, 10.0));
        assert_eq!(distribution.last_minute(at(300)).max, 0.0, "nothing came");
    }

    #[test]
    fn slices_move_with_time() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut recent = Recent::new(start, || 0);
        let sum = |recent: &Recent<u64>| recent.slices().iter().sum::<u64>();
        for s in 0..100 {
            *recent.at(at(s), |n| *n = 0) += 1;
        }
        assert_eq!((sum(&recent), recent.seconds(at(100))), (60, 60.0));
        recent.at(at(105), |n| *n = 0);
        assert_eq!((sum(&recent), recent.seconds(at(105))), (50, 55.0));
        recent.at(at(10_000), |n| *n = 0);
        assert_eq!(sum(&recent), 0);
        let young = Recent::new(start, || 0);
        assert_eq!(young.seconds(at(7)), 7.0);
    }
}
