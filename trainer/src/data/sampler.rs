//! The order of the training frames in an epoch, and how often each comes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use crate::util::Rng;

/// How an epoch draws from the training frames. Either way it has as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// Every frame once, in random order.
    Shuffle,
    /// Frames with and without nerve in equal number, and of each kind equally many of every patient
    /// that has it. Of a patient with few, frames come again once all were shown.
    Balanced,
}

/// The frames of `epoch`, the same for the same `seed`.
pub fn order<'a>(frames: &[&'a Frame], sampler: Sampler, seed: u64, epoch: usize) -> Vec<&'a Frame> {
    let mut rng = Rng::new(&[seed, 0x0de5, epoch as u64]);
    match sampler {
        Sampler::Shuffle => {
            let mut frames = frames.to_vec();
            rng.shuffle(&mut frames);
            frames
        }
        Sampler::Balanced => balanced(frames, &mut rng),
    }
}

/// Frames that are dealt until none is left, then shuffled and dealt again.
struct Deck<T> {
    cards: Vec<T>,
    dealt: usize,
}

impl<T> Deck<T> {
    fn new(cards: Vec<T>) -> Self {
        Self { dealt: cards.len(), cards }
    }

    fn deal(&mut self, rng: &mut Rng) -> &mut T {
        if self.dealt == self.cards.len() {
            rng.shuffle(&mut self.cards);
            self.dealt = 0;
        }
        self.dealt += 1;
        &mut self.cards[self.dealt - 1]
    }
}

fn balanced<'a>(frames: &[&'a Frame], rng: &mut Rng) -> Vec<&'a Frame> {
    let mut kinds = [BTreeMap::<u32, Vec<&Frame>>::new(), BTreeMap::new()];
    for frame in frames {
        kinds[usize::from(frame.has_nerve())].entry(frame.patient).or_default().push(frame);
    }
    let decks = kinds.into_iter().filter(|kind| !kind.is_empty());
    let patients = decks.map(|kind| Deck::new(kind.into_values().map(Deck::new).collect::<Vec<_>>()));
    let mut kinds = Deck::new(patients.collect::<Vec<_>>());
    (0..frames.len()).map(|_| *kinds.deal(rng).deal(rng).deal(rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patient `p` has `10 * (p + 1)` frames, of which every `p + 2`nd has no nerve.
    fn frames() -> Vec<Frame> {
        let frame = |p: u32, n: u32| Frame {
            name: format!("{p}_{n}"),
            patient: p,
            luma: Box::default(),
            nerve: Box::from([u8::from(!n.is_multiple_of(p + 2))]),
        };
        (0..5).flat_map(|p| (0..10 * (p + 1)).map(move |n| frame(p, n))).collect()
    }

    fn names(order: &[&Frame]) -> Vec<String> {
        order.iter().map(|f| f.name.clone()).collect()
    }

    #[test]
    fn shuffle_shows_every_frame_once_and_each_epoch_otherwise() {
        let frames = frames();
        let frames: Vec<_> = frames.iter().collect();
        let of = |seed, epoch| names(&order(&frames, Sampler::Shuffle, seed, epoch));
        let mut once = of(1, 0);
        assert_ne!(once, of(1, 1));
        assert_ne!(once, of(2, 0));
        assert_eq!(once, of(1, 0));
        once.sort();
        let mut all = names(&frames);
        all.sort();
        assert_eq!(once, all);
    }

    #[test]
    fn balanced_shows_kinds_and_patients_equally() {
        let frames = frames();
        let frames: Vec<_> = frames.iter().collect();
        let drawn = order(&frames, Sampler::Balanced, 1, 0);
        assert_eq!(drawn.len(), 150);
        let mut counts = BTreeMap::<(bool, u32), usize>::new();
        for frame in &drawn {
            *counts.entry((frame.has_nerve(), frame.patient)).or_default() += 1;
        }
        assert_eq!(counts.len(), 10);
        assert!(counts.values().all(|count| *count == 15), "{counts:?}");
        // Before a frame comes again, all others of its patient and kind were shown.
        let nerve_of_4 = drawn.iter().filter(|f| f.patient == 4 && f.has_nerve());
        let distinct: std::collections::BTreeSet<_> = nerve_of_4.map(|f| &f.name).collect();
        assert_eq!(distinct.len(), 15);
        assert_eq!(names(&drawn), names(&order(&frames, Sampler::Balanced, 1, 0)));
        assert_ne!(names(&drawn), names(&order(&frames, Sampler::Balanced, 1, 1)));
    }

    #[test]
    fn one_kind_alone_is_balanced_over_patients() {
        let frames: Vec<Frame> = frames().into_iter().filter(Frame::has_nerve).collect();
        let frames: Vec<_> = frames.iter().collect();
        let drawn = order(&frames, Sampler::Balanced, 1, 0);
        let of = |p| drawn.iter().filter(|f| f.patient == p).count();
        assert!((0..5).all(|p| of(p).abs_diff(frames.len() / 5) <= 1));
    }
}
