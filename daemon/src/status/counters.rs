//! Counters: what the frame thread counts, without a lock and without waiting for who reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::frame::{LumaStatistics, NerveSize, OverlayState};

/// Durations that may wait to be read; beyond, quantiles miss some, counters none.
const SAMPLES: usize = 8192;

/// Counts of the run. Written by the frame thread alone, read by anybody.
#[derive(Default)]
pub struct Counters {
    /// Frames shown.
    pub frames_out: AtomicU64,
    /// Frames shown with a mask of the engine, be it empty.
    pub masked: AtomicU64,
    /// Frames shown under a badge.
    pub badged: AtomicU64,
    /// Black frames shown while the source was silent.
    pub inserted: AtomicU64,
    /// Crops that the engine had no time for.
    pub crops_skipped: AtomicU64,
    /// Answers of the engine that were errors.
    pub engine_errors: AtomicU64,
    /// Frames of a moving scan while the overlay was wanted, and those of them without a mask.
    pub scans: [AtomicU64; 2],
    /// Rounds of the frame thread: they stand still when it hangs.
    pub beats: AtomicU64,
    state: AtomicU8,
    luma_mean: AtomicU32,
    luma_deviation: AtomicU32,
    /// Width, area and depth of the nerve; 0 where there is none.
    nerve: [AtomicU32; 3],
}

impl Counters {
    /// State of the overlay on the last frame.
    pub fn overlay_state(&self) -> OverlayState {
        const STATES: [OverlayState; 4] =
            [OverlayState::Off, OverlayState::On, OverlayState::Stale, OverlayState::Disabled];
        let state = self.state.load(Ordering::Relaxed);
        STATES.into_iter().find(|known| number(*known) == state).unwrap_or_default()
    }

    /// The size of the nerve on the last frame, where it was measured.
    pub fn nerve(&self) -> Option<NerveSize> {
        let [width_mm, area_mm2, depth_mm] =
            self.nerve.each_ref().map(|bits| f32::from_bits(bits.load(Ordering::Relaxed)));
        (area_mm2 > 0.0).then_some(NerveSize { width_mm, area_mm2, depth_mm })
    }

    /// The luma of the last frame.
    pub fn luma(&self) -> LumaStatistics {
        let of = |bits: &AtomicU32| f32::from_bits(bits.load(Ordering::Relaxed));
        LumaStatistics { mean: of(&self.luma_mean), deviation: of(&self.luma_deviation) }
    }
}

fn number(state: OverlayState) -> u8 {
    match state {
        OverlayState::Off => 0,
        OverlayState::On => 1,
        OverlayState::Stale => 2,
        OverlayState::Disabled => 3,
    }
}

/// What is measured of one shown frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameFigures {
    /// State of the overlay.
    pub state: OverlayState,
    /// From its arrival to the sinks.
    pub latency: Duration,
    /// The same without the wait for the engine.
    pub overhead: Duration,
    /// Age of the mask that it carries.
    pub mask_age: Option<Duration>,
    /// Dice of that mask against the truth.
    pub dice: Option<f64>,
    /// It is a moving picture of the scanner's that the model sees.
    pub is_scan: bool,
}

/// A measurement on its way to the quantiles.
#[derive(Debug, Clone, Copy)]
pub enum Sample {
    /// A frame was shown.
    Frame(FrameFigures),
    /// The engine answered after so long.
    Engine(Duration),
}

/// The frame thread's end: counts, and samples for the quantiles.
#[derive(Clone)]
pub struct Tally {
    counters: Arc<Counters>,
    samples: Sender<Sample>,
}

/// Makes counters at zero and the two ends of their samples.
pub fn tally() -> (Tally, Arc<Counters>, Receiver<Sample>) {
    let counters = Arc::new(Counters::default());
    let (samples, taken) = bounded(SAMPLES);
    (Tally { counters: counters.clone(), samples }, counters, taken)
}

impl Tally {
    /// A frame was shown.
    pub fn shown(&self, frame: FrameFigures) {
        let counters = &self.counters;
        self.set_state(frame.state);
        match frame.state {
            OverlayState::On => add(&counters.masked, 1),
            OverlayState::Off | OverlayState::Stale => add(&counters.badged, 1),
            OverlayState::Disabled => {}
        }
        if frame.is_scan && frame.state != OverlayState::Disabled {
            add(&counters.scans[0], 1);
            add(&counters.scans[1], u64::from(frame.state != OverlayState::On));
        }
        add(&counters.frames_out, 1);
        self.sample(Sample::Frame(frame));
    }

    /// The engine answered after `took`.
    pub fn engine(&self, took: Duration) {
        self.sample(Sample::Engine(took));
    }

    /// The engine's answer was an error.
    pub fn engine_error(&self) {
        add(&self.counters.engine_errors, 1);
    }

    /// The engine had no time for `crops`.
    pub fn crops_skipped(&self, crops: u64) {
        add(&self.counters.crops_skipped, crops);
    }

    /// A black frame was shown.
    pub fn inserted(&self, state: OverlayState) {
        self.set_state(state);
        add(&self.counters.inserted, 1);
    }

    /// The luma of a frame.
    pub fn luma(&self, LumaStatistics { mean, deviation }: LumaStatistics) {
        self.counters.luma_mean.store(mean.to_bits(), Ordering::Relaxed);
        self.counters.luma_deviation.store(deviation.to_bits(), Ordering::Relaxed);
    }

    /// The size of the nerve on a frame.
    pub fn nerve(&self, nerve: Option<NerveSize>) {
        let size = nerve.map_or([0.0; 3], |nerve| [nerve.width_mm, nerve.area_mm2, nerve.depth_mm]);
        for (to, value) in self.counters.nerve.iter().zip(size) {
            to.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// The thread is alive.
    pub fn beat(&self) {
        add(&self.counters.beats, 1);
    }

    fn set_state(&self, state: OverlayState) {
        self.counters.state.store(number(state), Ordering::Relaxed);
    }

    fn sample(&self, sample: Sample) {
        // Full only while the supervisor is kept from reading; then a quantile misses a frame.
        let _ = self.samples.try_send(sample);
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
