//! Predictions of an engine, and how long they take.

use std::time::Instant;

use anyhow::{Context, Result};
use nervelight_engines::{Engine, PIXELS, plane};

use crate::data::Frame;
use crate::metrics::{Prediction, Sums};
use crate::util::Progress;

/// Every frame through the engine, and the median time of one in milliseconds.
/// `what` is said meanwhile.
pub fn predict<'a>(
    engine: &mut dyn Engine,
    what: &str,
    frames: &[&'a Frame],
) -> Result<(Vec<Prediction<'a>>, f64)> {
    let (mut crop, mut map) = (plane(), plane());
    let (mut predictions, mut times) = (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    let mut progress = Progress::new(what, 0, frames.len());
    for &frame in frames {
        anyhow::ensure!(frame.luma.len() == PIXELS, "{}: is no crop of the contract's size", frame.name);
        crop.copy_from_slice(&frame.luma);
        let begun = Instant::now();
        engine.infer(&crop, &mut map).with_context(|| format!("frame {}", frame.name))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        predictions.push(Prediction { frame, map: map.to_vec(), sums: sums(&map[..], &frame.nerve) });
        progress.advance(1);
    }
    progress.finish();
    times.sort_by(f64::total_cmp);
    Ok((predictions, times.get(times.len() / 2).copied().unwrap_or(0.0)))
}

/// Soft sums of a map of bytes.
fn sums(map: &[u8], nerve: &[u8]) -> Sums {
    let (mut both, mut truth, mut predicted) = (0u64, 0u64, 0u64);
    for (&byte, &nerve) in map.iter().zip(nerve) {
        truth += u64::from(nerve);
        predicted += u64::from(byte);
        both += u64::from(byte) * u64::from(nerve);
    }
    Sums { both: both as f64 / 255.0, truth: truth as f64, predicted: predicted as f64 / 255.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_bytes_are_sums_of_probabilities() {
        let sums = sums(&[255, 51, 102, 0], &[1, 1, 0, 1]);
        assert_eq!(sums, Sums { both: 1.2, truth: 3.0, predicted: 1.6 });
    }
}
