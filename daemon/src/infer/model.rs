//! The model that an answer came from.

use nervelight_engines::EngineInfo;

/// One opened engine and how its maps are read. Every answer of the engine carries it, so that a map is never cut at
/// another model's threshold.
#[derive(Debug, Clone)]
pub struct Model {
    /// Runtime, device, precision, name, and the bundle's digest.
    pub engine: EngineInfo,
    /// Least value of a map (probability x 255) that is nerve.
    pub threshold: u8,
    /// Least area of a nerve in pixels.
    pub min_area: u32,
    /// Counts the openings of engines in this process, from 1.
    pub generation: u64,
}
