//! Golden frames: proof that an engine on this machine computes what the trainer computed.

pub use crate::bundle::Golden;
use crate::bundle::{Bundle, BundleError, Manifest};
use crate::components::{Components, shown};
use crate::contract::{self, Plane, WIDTH, plane};
use crate::engine::{Engine, EngineError, Precision};
use crate::processor;

/// Least range of an expected map for which a map of one value throughout is a failure by itself. Rounding to half
/// precision moves a byte or two.
const FLAT: u8 = 16;
/// Pixels of a component that is a nerve beyond doubt: 20 x 20.
const CLEAR_NERVE: usize = 400;

/// Least Dice of what an engine lets the cart show against what the expected fp32 map does.
pub fn min_dice(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 | Precision::Fp16 => 0.98,
        Precision::Int8 => 0.95,
    }
}

/// Agreement of an engine with the golden frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// The least Dice over the frames.
    pub dice: f64,
    /// The largest difference of any byte.
    pub max_diff: u8,
}

/// One golden frame computed by an engine.
#[derive(Debug)]
pub struct Compared {
    /// Name of the frame in the bundle.
    pub name: String,
    /// Dice of what the cart shows of the engine's map and of the expected one, at the manifest's threshold and least
    /// area; 1 where both show nothing.
    pub dice: f64,
    /// The largest difference of any byte.
    pub max_diff: u8,
    /// The engine's map is one value throughout and the expected one is not.
    pub flat: bool,
}

/// Runs golden frames through `engine`, without a verdict.
///
/// # Errors
/// When one fails.
pub fn compare(
    engine: &mut dyn Engine,
    manifest: &Manifest,
    frames: &[Golden],
) -> Result<Vec<Compared>, EngineError> {
    let mut found = plane();
    let compared = frames.iter().map(|golden| {
        engine.infer(&golden.crop, &mut found)?;
        let pairs = found.iter().zip(golden.map.iter());
        Ok(Compared {
            name: golden.name.clone(),
            dice: dice(manifest, &found, &golden.map),
            max_diff: pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0),
            flat: is_flat(range(&found)) && varies(range(&golden.map)),
        })
    });
    compared.collect()
}

/// Dice of what a cart shows of two maps.
pub fn dice(manifest: &Manifest, a: &Plane, b: &Plane) -> f64 {
    let [a, b] = [a, b].map(|map| shown(map, WIDTH, manifest.threshold_byte(), manifest.min_area));
    contract::dice(&a, &b, 1)
}

/// Runs the bundle's golden frames through `engine`.
///
/// # Errors
/// When there is no golden frame, one fails, its Dice is under [`min_dice`], or its map has one value throughout
/// where the expected one has not: NaN leaves no other trace in bytes.
pub fn check(engine: &mut dyn Engine, bundle: &Bundle) -> Result<Agreement, EngineError> {
    let mut worst = Agreement { dice: 1.0, max_diff: 0 };
    let frames = bundle.golden()?;
    if frames.is_empty() {
        return Err(EngineError::NoGolden(bundle.path.clone()));
    }
    for Compared { name, dice, max_diff, flat } in compare(engine, &bundle.manifest, &frames)? {
        let info = engine.info();
        let limit = min_dice(info.precision);
        if flat || dice < limit {
            let engine =
                format!("{} ({}, {}) on {}", info.runtime, info.provider, info.precision, processor::name());
            return Err(EngineError::Golden { engine, frame: name, dice, limit, flat });
        }
        worst.dice = worst.dice.min(dice);
        worst.max_diff = worst.max_diff.max(max_diff);
    }
    Ok(worst)
}

/// Checks that the threshold and the least area of `manifest` show the nerve in one of its golden frames, when any has
/// a clear one: a bundle that never shows a nerve would otherwise pass for a good one.
///
/// # Errors
/// [`BundleError::Hidden`].
pub fn check_shown(bundle: &Bundle) -> Result<(), BundleError> {
    let Manifest { threshold, min_area, .. } = bundle.manifest;
    let (mut components, mut largest) = (Components::default(), 0);
    for golden in bundle.golden()? {
        let byte = bundle.manifest.threshold_byte();
        if shown(&golden.map[..], WIDTH, byte, min_area).contains(&1) {
            return Ok(());
        }
        components.find(&golden.map[..], WIDTH, byte.min(128));
        largest = components.runs().map(|(_, _, area)| area).max().unwrap_or(0).max(largest);
    }
    if largest < CLEAR_NERVE {
        return Ok(());
    }
    Err(BundleError::Hidden { path: bundle.path.clone(), threshold, min_area, largest })
}

/// Least and largest value of a map.
pub fn range(map: &Plane) -> (u8, u8) {
    map.iter().fold((u8::MAX, u8::MIN), |(least, most), &b| (least.min(b), most.max(b)))
}

/// Whether a map of these least and largest values has one value throughout.
pub fn is_flat((least, most): (u8, u8)) -> bool {
    least == most
}

/// Whether it varies so much that one of a single value in its place is a failure.
pub fn varies((least, most): (u8, u8)) -> bool {
    most - least >= FLAT
}
