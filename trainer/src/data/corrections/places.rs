//! Where the frames of a decision are in a data set.

use std::collections::HashMap;

use super::decision::Subject;
use super::file::Corrections;

impl Corrections {
    /// For each decision the place in `frames` of each of its frames; none where it is gone. Copies
    /// of them that the decision does not name follow, each with the frame it is a copy of.
    pub fn places(&self, frames: &[Subject]) -> Vec<Places> {
        let mut at = HashMap::<_, Vec<usize>>::new();
        for (place, frame) in frames.iter().enumerate() {
            at.entry(frame.key()).or_default().push(place);
        }
        self.decisions
            .iter()
            .map(|decision| {
                let mut named = vec![None; decision.frame.len()];
                // Frames of equal content by name where the name is still there, then by order.
                for same_name in [true, false] {
                    for (subject, found) in decision.frame.iter().zip(&mut named) {
                        let Some(free) = at.get_mut(&subject.key()).filter(|_| found.is_none()) else {
                            continue;
                        };
                        let wanted = free.iter().position(|&i| !same_name || frames[i].name == subject.name);
                        *found = wanted.map(|i| free.remove(i));
                    }
                }
                let mut copies = vec![];
                for (i, subject) in decision.frame.iter().enumerate() {
                    let twins = decision.frame.iter().enumerate().filter(|(_, s)| s.key() == subject.key());
                    let like = twins.min_by_key(|(_, s)| s.drop).map_or(i, |(i, _)| i);
                    let free = at.get_mut(&subject.key()).map(std::mem::take).unwrap_or_default();
                    copies.extend(free.into_iter().map(|place| (place, like)));
                }
                Places { named, copies }
            })
            .collect()
    }
}

/// Where the frames of a decision are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Of each frame of the decision.
    pub named: Vec<Option<usize>>,
    /// Further frames of the same content, each with the place in the decision of the one it equals.
    pub copies: Vec<(usize, usize)>,
}

impl Places {
    /// Every frame with its place in the decision.
    pub fn all(&self) -> impl Iterator<Item = (usize, usize)> {
        let named = self.named.iter().enumerate().filter_map(|(i, place)| Some(((*place)?, i)));
        named.chain(self.copies.iter().copied())
    }
}
