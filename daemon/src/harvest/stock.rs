//! Buffers that circulate: from the stock to the engine's thread, the judge, perhaps the disk, and back.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use nervelight_engines::{Plane, plane};

use crate::infer::{Model, Why};

/// Buffers there are: the last second, what waits to be written, and what is being looked at. 12 MB.
const BUFFERS: usize = 26;

/// A crop with its map, in memory that is used again.
pub struct Seen {
    /// Full-range luma.
    pub crop: Box<Plane>,
    /// Probability x 255.
    pub map: Box<Plane>,
    /// What is known of them; none while they are in the stock.
    pub of: Option<Of>,
}

/// What is known of a crop and its map.
#[derive(Clone)]
pub struct Of {
    /// Crops of different scenes have nothing to do with each other.
    pub scene: u64,
    /// When the frame arrived.
    pub arrived: Instant,
    /// Width and height of a pixel of the crop in mm, where known.
    pub spacing: Option<[f32; 2]>,
    /// What computed the map.
    pub model: Arc<Model>,
    /// Why somebody offered it; none for what the engine's thread showed.
    pub why: Option<Why>,
}

/// Where spare buffers are, and where filled ones go.
#[derive(Clone)]
pub struct Buffers {
    spare: (Sender<Box<Seen>>, Receiver<Box<Seen>>),
    filled: Sender<Option<Box<Seen>>>,
}

/// All buffers, and where filled ones come; none is the end.
pub fn stock() -> (Buffers, Receiver<Option<Box<Seen>>>) {
    let (give, spare) = bounded(BUFFERS);
    let (filled, seen) = bounded(BUFFERS + 1);
    for _ in 0..BUFFERS {
        let seen = Seen { crop: plane(), map: plane(), of: None };
        // There is room for all of them.
        let _ = give.try_send(Box::new(seen));
    }
    (Buffers { spare: (give, spare), filled }, seen)
}

impl Buffers {
    /// A spare one, if there is one.
    pub fn take(&self) -> Option<Box<Seen>> {
        self.spare.1.try_recv().ok()
    }

    /// Puts one back.
    pub fn put_back(&self, mut seen: Box<Seen>) {
        seen.of = None;
        let _ = self.spare.0.try_send(seen);
    }

    /// Hands a filled one to the judge.
    pub fn show(&self, seen: Box<Seen>) {
        // There is room for all of them.
        let _ = self.filled.try_send(Some(seen));
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        let _ = self.filled.try_send(None);
    }
}
