//! Golden frames: proof that an engine on this machine computes what the trainer computed.

use crate::bundle::Bundle;
use crate::contract::{self, Plane, plane};
use crate::engine::{Engine, EngineError};

/// Least Dice of an engine's map against the expected one.
pub const MIN_DICE: f64 = 0.98;

/// A crop with the fp32 map that the trainer computed for it.
#[derive(Debug)]
pub struct Golden {
    /// Name of the frame in the bundle.
    pub name: String,
    /// Full-range luma.
    pub crop: Box<Plane>,
    /// Probability x 255.
    pub map: Box<Plane>,
}

/// Agreement of an engine with the golden frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// The least Dice over the frames.
    pub dice: f64,
    /// The largest difference of any byte.
    pub max_diff: u8,
}

/// Runs the bundle's golden frames through `engine`.
///
/// # Errors
/// When there is no golden frame, one fails, or its Dice is under [`MIN_DICE`].
pub fn check(engine: &mut dyn Engine, bundle: &Bundle) -> Result<Agreement, EngineError> {
    let threshold = bundle.manifest.threshold_byte();
    let mut found = plane();
    let mut worst = Agreement { dice: 1.0, max_diff: 0 };
    let frames = bundle.golden()?;
    if frames.is_empty() {
        return Err(EngineError::NoGolden(bundle.path.clone()));
    }
    for golden in frames {
        engine.infer(&golden.crop, &mut found)?;
        let dice = contract::dice(&found, &golden.map, threshold);
        if dice < MIN_DICE {
            let info = engine.info();
            return Err(EngineError::Golden {
                engine: format!("{} ({})", info.runtime, info.provider),
                frame: golden.name,
                dice,
                limit: MIN_DICE,
            });
        }
        let diff = found.iter().zip(golden.map.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        worst.dice = worst.dice.min(dice);
        worst.max_diff = worst.max_diff.max(diff.unwrap_or(0));
    }
    Ok(worst)
}
