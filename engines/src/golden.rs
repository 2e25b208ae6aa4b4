//! Golden frames: proof that an engine on this machine computes what the trainer computed.

use crate::bundle::Bundle;
use crate::contract::{self, Plane, plane};
use crate::engine::{Engine, EngineError, Precision};

/// Least range of an expected map for which a map of one value throughout is a failure by itself. Rounding to half
/// precision moves a byte or two.
const FLAT: u8 = 16;

/// Least Dice of an engine's map against the expected fp32 one.
pub fn min_dice(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 | Precision::Fp16 => 0.98,
        Precision::Int8 => 0.95,
    }
}

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
/// When there is no golden frame, one fails, its Dice is under [`min_dice`], or its map has one value throughout
/// where the expected one has not: NaN leaves no other trace in bytes.
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
        let flat = range(&found) == 0 && range(&golden.map) >= FLAT;
        let info = engine.info();
        let limit = min_dice(info.precision);
        if flat || dice < limit {
            let engine = format!("{} ({}, {})", info.runtime, info.provider, info.precision);
            return Err(EngineError::Golden { engine, frame: golden.name, dice, limit, flat });
        }
        let diff = found.iter().zip(golden.map.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        worst.dice = worst.dice.min(dice);
        worst.max_diff = worst.max_diff.max(diff.unwrap_or(0));
    }
    Ok(worst)
}

fn range(map: &Plane) -> u8 {
    let (least, most) = map.iter().fold((u8::MAX, u8::MIN), |(least, most), &b| (least.min(b), most.max(b)));
    most - least
}
