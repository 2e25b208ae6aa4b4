//! The model contract: bytes in, bytes out, one fixed geometry.
//!
//! Preprocessing lives inside the model, so every backend computes the same function of the
//! same bytes and none can forget to normalise.

/// Width of the crop and of the probability map in pixels.
pub const WIDTH: usize = 576;
/// Height of the crop and of the probability map in pixels.
pub const HEIGHT: usize = 416;
/// Pixels in a crop.
pub const PIXELS: usize = WIDTH * HEIGHT;

/// Name of the model's input: `uint8 [1, 1, HEIGHT, WIDTH]`, full-range luma.
pub const INPUT: &str = "frame";
/// Name of the model's output: `uint8 [1, 1, HEIGHT, WIDTH]`, probability x 255, rounded.
pub const OUTPUT: &str = "nerve";
/// Shape of input and output, NCHW.
pub const SHAPE: [i64; 4] = [1, 1, HEIGHT as i64, WIDTH as i64];

/// A crop or a probability map: `HEIGHT` rows of `WIDTH` bytes.
pub type Plane = [u8; PIXELS];

/// A black plane on the heap, made without passing over the stack.
pub fn plane() -> Box<Plane> {
    let bytes = vec![0; PIXELS].into_boxed_slice();
    // The length is right by construction; `unwrap_or_else` keeps the panic path out of sight.
    bytes.try_into().unwrap_or_else(|_| unreachable!())
}

/// Dice coefficient of two maps of one size, both cut at `threshold` (a byte: probability x 255).
///
/// 1.0 when both are empty: two engines that both see nothing agree.
pub fn dice(a: &[u8], b: &[u8], threshold: u8) -> f64 {
    let (mut both, mut either) = (0u64, 0u64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (a >= threshold, b >= threshold);
        both += u64::from(a & b);
        either += u64::from(a) + u64::from(b);
    }
    if either == 0 { 1.0 } else { 2.0 * both as f64 / either as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_counts_overlap_at_the_threshold() {
        let (mut a, mut b) = (plane(), plane());
        assert_eq!(dice(&a[..], &b[..], 128), 1.0, "both empty agree");
        a[..4].fill(200);
        b[2..6].fill(128);
        assert_eq!(dice(&a[..], &b[..], 128), 0.5);
        assert_eq!(dice(&a[..], &b[..], 129), 0.0, "b is cut away");
    }
}
