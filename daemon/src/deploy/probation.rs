//! A probation: whether a new model behaves as well at work as the one before it. Pure; it knows no clock.
//!
//! A model is compared with the one before it, not with a number: what is slow or empty on this machine and this patient was
//! so before. Areas change with what the probe is held to, so that they are compared on frames that both models have computed,
//! where spare time allowed it; only without those the medians of both models' own frames are, with twice the factor. Medians and
//! shares, since one odd frame in a thousand moves neither.

use std::time::{Duration, Instant};

use crate::config::Probation as Bounds;
use crate::deploy::agreement::{Agreement, Pair};
use crate::deploy::behaviour::Behaviour;
use crate::status::deployment::{Failure, GateFigures, ProbationFigures};

/// Answers that a share or a quantile needs, at least.
const ANSWERS: u64 = 300;
/// Answers that a 99th percentile and a share of late masks need, at least: on a busy machine one hiccup makes a second of them.
const LONG: u64 = 1000;
/// Share of frames without a mask that no hiccup makes.
const HOPELESS: f64 = 0.5;
/// Frames that both have computed, which their agreement needs, at least.
const PAIRS: u64 = 20;
/// Failed answers that are chance.
const ERRORS: u64 = 3;
/// Share of failed answers that is chance.
const ERROR_SHARE: f64 = 0.001;
/// Share of maps of one value that a model has over the one before it, at most.
const FLAT_SHARE: f64 = 0.5;
/// The same of frames that both have computed.
const FLAT_PAIRS: f64 = 0.05;
/// A 99th percentile that is longer by less is as long.
const SLOWER_MS: f64 = 5.0;
/// Share of frames with a nerve that may differ between both models' own frames.
const PRESENCE: f64 = 0.5;
/// No frame of the scanner for so long is worth a word.
const SILENT: Duration = Duration::from_secs(3);

/// What comes of looking at it.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It goes on.
    GoesOn,
    /// It is over, and the model kept to all bounds.
    Passed,
    /// The model goes back.
    Tripped(Failure),
}

/// The probation of one model.
pub struct Probation {
    bounds: Bounds,
    old: Behaviour,
    /// How the new model behaves.
    pub new: Behaviour,
    /// How it agrees with the old one.
    pub agreement: Agreement,
    begun: Instant,
    answered: Instant,
}

/// A gate's figure against its bound.
struct Gate {
    name: &'static str,
    what: &'static str,
    figure: Option<f64>,
    bound: f64,
    is_most: bool,
    is_judged: bool,
    remedy: &'static str,
}

impl Gate {
    fn trips(&self) -> bool {
        let over = |figure: f64| if self.is_most { figure > self.bound } else { figure < self.bound };
        self.is_judged && self.figure.is_some_and(over)
    }
}

impl Probation {
    /// Of a model that is shown from `begun` on, after one that behaved as `old` did.
    pub fn new(bounds: Bounds, old: Behaviour, begun: Instant) -> Self {
        let (new, agreement) = (Behaviour::default(), Agreement::default());
        Self { bounds, old, new, agreement, begun, answered: begun }
    }

    /// A frame of the scanner was answered at `now`.
    pub fn answered(&mut self, now: Instant) {
        self.answered = now;
    }

    /// Both models have computed a frame.
    pub fn compare(&mut self, pair: &Pair) {
        self.agreement.take(pair);
    }

    /// Answers that are enough to judge by.
    fn least(&self) -> u64 {
        ANSWERS.min(self.bounds.frames)
    }

    /// What is to be made of it at `now`.
    pub fn look(&self, now: Instant) -> Verdict {
        if let Some(gate) = self.gates().iter().find(|gate| gate.trips()) {
            let figure = gate.figure.unwrap_or_default();
            let side = if gate.is_most { "at most" } else { "at least" };
            let message = format!("{}: {figure:.3}, {side} {:.3} is allowed", gate.what, gate.bound);
            return Verdict::Tripped(Failure {
                gate: gate.name,
                frame: None,
                figure: Some(figure),
                bound: Some(gate.bound),
                message,
                remedy: gate.remedy.into(),
            });
        }
        let is_over = self.elapsed(now) >= self.bounds.time && self.new.answers >= self.bounds.frames;
        if is_over { Verdict::Passed } else { Verdict::GoesOn }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    fn gates(&self) -> Vec<Gate> {
        let (old, new) = (&self.old, &self.new);
        let is_known = old.answers >= self.least();
        let is_seen = new.answers >= self.least();
        let mut gates = vec![self.errors(), self.constant(is_known && is_seen), self.constant_pairs()];
        gates.push(self.latency());
        gates.push(self.off_share());
        let has_pairs = self.agreement.pairs >= PAIRS;
        gates.extend(self.agreement_gates());
        gates.extend(self.own_areas(is_known && is_seen && !has_pairs));
        gates
    }

    fn errors(&self) -> Gate {
        let (errors, answers) = (self.new.errors, self.new.answers);
        let share = errors as f64 / (errors + answers).max(1) as f64;
        Gate {
            name: "errors",
            what: "share of the engine's answers that are errors",
            figure: (errors + answers > 0).then_some(share),
            bound: ERROR_SHARE,
            is_most: true,
            is_judged: errors >= ERRORS,
            remedy: "Read the log for the engine's own words; test the bundle with `nervelightd check --deep`",
        }
    }

    fn constant(&self, is_judged: bool) -> Gate {
        let share = |of: &Behaviour| of.share(of.flat);
        Gate {
            name: "constant",
            what: "share of maps of one value throughout, as NaN gives, over the old model's share",
            figure: share(&self.new).zip(share(&self.old)).map(|(new, old)| (new - old).max(0.0)),
            bound: FLAT_SHARE,
            is_most: true,
            is_judged,
            remedy: RETRAIN,
        }
    }

    fn constant_pairs(&self) -> Gate {
        let agreement = &self.agreement;
        Gate {
            name: "constant_beside_old",
            what: "share of frames where its map has one value throughout, as NaN gives, and the old model's varies",
            figure: share(agreement.shown_flat, agreement.pairs),
            bound: FLAT_PAIRS,
            is_most: true,
            is_judged: agreement.pairs >= PAIRS,
            remedy: RETRAIN,
        }
    }

    fn latency(&self) -> Gate {
        // Of the answers some are left out: another model was at work, too.
        let least = LONG.min(self.bounds.frames) / 2;
        let is_known = |of: &Behaviour| of.times.len() >= least;
        let (old, new) = (self.old.quantiles().p99, self.new.quantiles().p99);
        let slower = if new - old < SLOWER_MS { (new / old.max(1e-3)).min(1.0) } else { new / old.max(1e-3) };
        Gate {
            name: "latency",
            what: "99th percentile of the engine's time over the old model's",
            figure: (!self.old.times.is_empty() && !self.new.times.is_empty()).then_some(slower),
            bound: self.bounds.latency_factor,
            is_most: true,
            is_judged: is_known(&self.old) && is_known(&self.new),
            remedy: "Export a smaller network or a quicker precision",
        }
    }

    fn off_share(&self) -> Gate {
        let share = |of: &Behaviour| of.off_share();
        // A model that never answers in time has few answers, and as many frames as any.
        let old = share(&self.old).unwrap_or(0.0);
        let is_hopeless = share(&self.new).is_some_and(|new| new - old > HOPELESS);
        let least = if is_hopeless { self.least() } else { LONG.min(self.bounds.frames) };
        let is_judged = self.new.shown >= least;
        Gate {
            name: "off_share",
            what: "share of frames under AI OFF or AI STALE over the old model's share",
            figure: share(&self.new).map(|new| (new - old).max(0.0)),
            bound: self.bounds.off_share,
            is_most: true,
            is_judged,
            remedy: "Export a smaller network or a quicker precision, or read the log for the engine's errors",
        }
    }

    fn agreement_gates(&self) -> [Gate; 3] {
        let agreement = &self.agreement;
        let judged = |frames: u64| frames >= PAIRS;
        [
            Gate {
                name: "disagreement",
                what: "mean Dice between it and the old model, on frames where either shows a nerve",
                figure: agreement.mean_dice(),
                bound: self.bounds.min_dice,
                is_most: false,
                is_judged: judged(agreement.either),
                remedy: SHADOW,
            },
            Gate {
                name: "presence",
                what: "share of frames where only one of it and the old model shows a nerve",
                figure: agreement.flips(),
                bound: self.bounds.flips,
                is_most: true,
                is_judged: judged(agreement.pairs),
                remedy: SHADOW,
            },
            Gate {
                name: "areas",
                what: "the larger over the smaller of its area and the old model's, on the same frames",
                figure: agreement.area_factor(),
                bound: self.bounds.area_factor,
                is_most: true,
                is_judged: judged(agreement.either),
                remedy: SHADOW,
            },
        ]
    }

    /// Without frames that both have computed: of each model's own.
    fn own_areas(&self, is_judged: bool) -> [Gate; 2] {
        let (old, new) = (&self.old, &self.new);
        let median = |of: &Behaviour| of.areas.value_at_quantile(0.5).max(1) as f64;
        let factor = median(new).max(median(old)) / median(new).min(median(old));
        let has_nerves = old.areas.len() >= 100.min(self.least()) && new.areas.len() >= 100.min(self.least());
        let presence = |of: &Behaviour| of.share(of.with_nerve);
        [
            Gate {
                name: "own_areas",
                what: "the larger over the smaller of its median area and the old model's, each on its own frames",
                figure: (!new.areas.is_empty() && !old.areas.is_empty()).then_some(factor),
                bound: 2.0 * self.bounds.area_factor,
                is_most: true,
                is_judged: is_judged && has_nerves,
                remedy: SHADOW,
            },
            Gate {
                name: "own_presence",
                what: "difference of the share of frames with a nerve to the old model's, each on its own frames",
                figure: presence(new).zip(presence(old)).map(|(new, old)| (new - old).abs()),
                bound: PRESENCE,
                is_most: true,
                // Of a whole probation: a probe that is put aside for a minute is no model's fault.
                is_judged: is_judged && new.answers >= self.bounds.frames,
                remedy: SHADOW,
            },
        ]
    }

    /// As others see it at `now`.
    pub fn figures(&self, now: Instant) -> ProbationFigures {
        let lacks_frames = self.new.answers < self.bounds.frames;
        let is_silent = now.saturating_duration_since(self.answered) > SILENT;
        let waits_for = match () {
            () if lacks_frames && is_silent => {
                Some("a moving picture of the scanner, which the model answers")
            }
            () if lacks_frames && self.elapsed(now) >= self.bounds.time => Some("frames"),
            () => None,
        };
        let gates = self.gates().into_iter().map(|gate| GateFigures {
            gate: gate.name,
            what: gate.what,
            figure: gate.figure.map(|figure| (figure * 1e4).round() / 1e4),
            bound: gate.bound,
            is_most: gate.is_most,
            is_judged: gate.is_judged,
        });
        ProbationFigures {
            seconds: (self.elapsed(now).as_secs_f64() * 10.0).round() / 10.0,
            of_seconds: self.bounds.time.as_secs_f64(),
            frames: self.new.answers,
            of_frames: self.bounds.frames,
            pairs: self.agreement.pairs,
            waits_for,
            gates: gates.collect(),
        }
    }
}

const RETRAIN: &str = "Look at the training for NaN, and at the precision that this machine runs";
const SHADOW: &str =
    "Run it with `nervelightd models shadow` beside the old one first, and look where both differ";

fn share(count: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

#[cfg(test)]
mod tests;
