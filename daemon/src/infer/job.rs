//! A crop and its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nervelight_engines::{EngineError, Plane};

use crate::infer::Model;

/// A crop on its way to the engine, or its map on the way back. Circulates, is never reallocated.
pub struct Job {
    /// Number of the frame that the crop was taken from.
    pub number: u64,
    /// Crops of different scenes (layouts, sources) have nothing to do with each other.
    pub scene: u64,
    /// When that frame arrived.
    pub arrived: Instant,
    /// The crop is of the scanner's picture, and that moves: a map of anything else says nothing about a model.
    pub is_scan: bool,
    /// Computed beside what is shown: nobody looks on, and the map stays as the network computed it.
    pub is_aside: bool,
    /// Width and height of a pixel of the crop in mm, where known.
    pub spacing: Option<[f32; 2]>,
    /// The crop is of the scanner's picture, be it frozen, and not a card's own or none.
    pub has_picture: bool,
    /// Full-range luma.
    pub crop: Box<Plane>,
    /// Probability x 255; valid if `outcome` is good.
    pub map: Box<Plane>,
    /// How the map was computed.
    pub outcome: Result<Computed, EngineError>,
}

/// What a crop was taken from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Number of the frame.
    pub number: u64,
    /// Crops of different scenes have nothing to do with each other.
    pub scene: u64,
    /// When the frame arrived.
    pub arrived: Instant,
    /// Width and height of a pixel of the crop in mm, where known.
    pub spacing: Option<[f32; 2]>,
    /// See [`Job::is_scan`].
    pub is_scan: bool,
    /// See [`Job::has_picture`].
    pub has_picture: bool,
}

/// What computed a map.
#[derive(Debug)]
pub struct Computed {
    /// Time the engine took.
    pub took: Duration,
    /// The model it has loaded.
    pub model: Arc<Model>,
}
