//! Access units between the network and the decoder. What is stale is skipped, and nothing is decoded that refers to
//! pictures that are lost.

use std::collections::VecDeque;

/// Units that may wait: more than a decoder that works ever leaves.
const MOST: usize = 150;

/// What the queue asks of an access unit.
pub trait Unit {
    /// A decoder can begin with it.
    fn is_key(&self) -> bool;
    /// Packets before it, or of it, are lost.
    fn is_after_loss(&self) -> bool;
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    units: VecDeque<T>,
    /// The decoder waits for the next one.
    is_wanted: bool,
    /// What refers to lost pictures is refused.
    waits_for_key: bool,
}

/// What became of units.
#[derive(Debug, PartialEq, Eq)]
pub struct Offered<T> {
    /// For the decoder, which waits for it.
    pub ready: Option<T>,
    /// Units that fresher ones displaced.
    pub skipped: u64,
}

impl<T: Unit> Queue<T> {
    /// Waits for its first key frame.
    pub fn new() -> Self {
        Self { units: VecDeque::new(), is_wanted: false, waits_for_key: true }
    }

    /// A unit came.
    pub fn offer(&mut self, unit: T) -> Offered<T> {
        self.waits_for_key |= unit.is_after_loss();
        if self.waits_for_key && (unit.is_after_loss() || !unit.is_key()) {
            return Offered { ready: None, skipped: 0 };
        }
        self.waits_for_key = false;
        let mut skipped = 0;
        // Nobody needs what comes before a key frame, and a decoder that is so far behind never catches up.
        let is_full = self.units.len() >= MOST;
        if unit.is_key() || is_full {
            skipped = self.units.len() as u64;
            self.units.clear();
        }
        if is_full && !unit.is_key() {
            self.waits_for_key = true;
            return Offered { ready: None, skipped: skipped + 1 };
        }
        if std::mem::take(&mut self.is_wanted) {
            return Offered { ready: Some(unit), skipped };
        }
        self.units.push_back(unit);
        Offered { ready: None, skipped }
    }

    /// The decoder asks for one. Without one it gets the next that is offered.
    pub fn take(&mut self) -> Option<T> {
        let unit = self.units.pop_front();
        self.is_wanted = unit.is_none();
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number; a key frame, or after a loss.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Fake(u32, bool, bool);

    impl Unit for Fake {
        fn is_key(&self) -> bool {
            self.1
        }

        fn is_after_loss(&self) -> bool {
            self.2
        }
    }

    fn key(n: u32) -> Fake {
        Fake(n, true, false)
    }

    fn delta(n: u32) -> Fake {
        Fake(n, false, false)
    }

    fn all(queue: &mut Queue<Fake>) -> Vec<u32> {
        std::iter::from_fn(|| queue.take()).map(|unit| unit.0).collect()
    }

    #[test]
    fn a_decoder_that_keeps_up_gets_each_at_once() {
        let mut queue = Queue::new();
        assert_eq!(queue.take(), None);
        assert_eq!(queue.offer(delta(0)), Offered { ready: None, skipped: 0 }, "nothing begins there");
        assert_eq!(queue.offer(key(1)).ready, Some(key(1)));
        assert_eq!(queue.take(), None);
        assert_eq!(queue.offer(delta(2)).ready, Some(delta(2)));
        assert_eq!(queue.offer(delta(3)).ready, None, "it is at work");
        assert_eq!((queue.take(), queue.take()), (Some(delta(3)), None));
    }

    #[test]
    fn a_decoder_that_is_behind_goes_on_at_the_newest_key_frame() {
        let mut queue = Queue::new();
        queue.offer(key(1));
        (2..5).for_each(|n| assert_eq!(queue.offer(delta(n)).skipped, 0));
        assert_eq!(queue.offer(key(5)).skipped, 4);
        queue.offer(delta(6));
        assert_eq!(all(&mut queue), [5, 6]);
        // Without one it waits for the next.
        queue.offer(key(10));
        let skipped: u64 = (11..400).map(|n| queue.offer(delta(n)).skipped).sum();
        assert!(skipped > 100);
        queue.offer(key(400));
        assert_eq!(all(&mut queue), [400]);
    }

    #[test]
    fn nothing_is_decoded_between_a_loss_and_the_next_whole_key_frame() {
        let mut queue = Queue::new();
        queue.offer(key(1));
        queue.offer(Fake(2, false, true));
        queue.offer(delta(3));
        queue.offer(Fake(4, true, true));
        queue.offer(delta(5));
        queue.offer(key(6));
        queue.offer(delta(7));
        assert_eq!(all(&mut queue), [6, 7]);
    }
}
