//! Light changes to training frames: what another probe position or gain would show.

use super::dataset::Frame;
use crate::rng::Rng;

/// Largest shift in pixels, each way.
const SHIFT: f64 = 12.0;

/// A changed copy of `frame` (`height` x `width`): luma and nerve. The same `rng`, the same copy.
pub fn augment(frame: &Frame, height: usize, width: usize, mut rng: Rng) -> (Vec<u8>, Vec<u8>) {
    let flip = rng.below(2) == 1;
    let shift = SHIFT.min(width.min(height) as f64 / 8.0);
    let mut offset = || rng.between(-shift, shift).round() as isize;
    let (down, right) = (offset(), offset());
    let gain = 2f64.powf(rng.between(-0.4, 0.4));
    let gamma = 2f64.powf(rng.between(-0.3, 0.3));
    let tone: Vec<u8> = (0..256)
        .map(|v| (255.0 * gain * (f64::from(v) / 255.0).powf(gamma)).round().min(255.0) as u8)
        .collect();

    let mut luma = Vec::with_capacity(width * height);
    let mut nerve = Vec::with_capacity(width * height);
    // Pixels from outside repeat the border, in both pictures.
    let clamp = |i: isize, size: usize| i.clamp(0, size as isize - 1) as usize;
    for y in 0..height {
        let row = clamp(y as isize - down, height) * width;
        for x in 0..width {
            let x = clamp(x as isize - right, width);
            let at = row + if flip { width - 1 - x } else { x };
            luma.push(tone[usize::from(frame.luma[at])]);
            nerve.push(frame.nerve[at]);
        }
    }
    (luma, nerve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nerve_moves_with_its_frame() {
        let (height, width) = (40, 60);
        let nerve: Box<[u8]> =
            (0..height * width).map(|i| u8::from(i % width > 30 && i / width > 20)).collect();
        let luma = nerve.iter().map(|n| n * 200).collect();
        let frame = Frame { name: "1_1".into(), patient: 1, luma, nerve };
        let mut changed = 0;
        for seed in 0..20 {
            let (luma, nerve) = augment(&frame, height, width, Rng::new(&[seed]));
            assert!(luma.iter().zip(&nerve).all(|(l, n)| (*l > 0) == (*n == 1)));
            changed += usize::from(nerve[..] != *frame.nerve);
        }
        assert!(changed > 15);
    }
}
