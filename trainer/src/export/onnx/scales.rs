//! Weights as 8-bit integers, with a scale for each output channel.

use tch::{Kind, Tensor};

use crate::util::onnx_schema::DataType;

/// Largest magnitude of an 8-bit integer with a sign; -128 is not used.
pub const SIGNED: f64 = 127.0;
/// Least scale of weights: under it a channel is nothing, and half precision has no numbers.
pub const LEAST: f64 = 1e-7;

/// `value` as type `kind` holds it.
pub fn rounded(value: f64, kind: DataType) -> f64 {
    let kind = if kind == DataType::Float16 { Kind::Half } else { Kind::Float };
    Tensor::from(value).to_kind(kind).double_value(&[])
}

/// Integers of weights `[O, I, k, k]` and a scale for each `O` that type `kind` holds, at `least` that given.
pub fn channels(weight: &Tensor, kind: DataType, least: &Tensor) -> (Tensor, Tensor) {
    let weight = weight.to_kind(Kind::Double);
    let largest = weight.abs().amax([1i64, 2, 3].as_slice(), false);
    let kind = if kind == DataType::Float16 { Kind::Half } else { Kind::Float };
    let scales = (largest / SIGNED).clamp_min(LEAST).maximum(least).to_kind(kind).to_kind(Kind::Double);
    let integers = (&weight / scales.view([-1, 1, 1, 1])).round().clamp(-SIGNED, SIGNED);
    (integers, scales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_small_channel_is_not_lost_beside_a_large_one() {
        tch::manual_seed(8);
        let weight = Tensor::randn([2, 3, 3, 3], (Kind::Double, Device::Cpu));
        let weight = weight * Tensor::from_slice(&[1000.0, 1.0]).view([2, 1, 1, 1]);
        let (integers, scales) =
            channels(&weight, DataType::Float, &Tensor::zeros([2], (Kind::Double, Device::Cpu)));
        let off = |found: &Tensor| {
            let small = weight.get(1);
            ((found.get(1) - &small).abs().max() / small.abs().max()).double_value(&[])
        };
        let each = off(&(&integers * scales.view([2, 1, 1, 1])));
        assert!(each <= 0.5 / SIGNED + 1e-6, "{each}");
        // One scale for all leaves nothing of it.
        let scale = weight.abs().max() / SIGNED;
        let one = off(&((&weight / &scale).round() * &scale));
        assert!(one > 20.0 * each, "{one} against {each}");
        assert_eq!(integers.abs().amax([1i64, 2, 3].as_slice(), false), Tensor::from_slice(&[SIGNED; 2]));
    }

    #[test]
    fn scales_in_half_precision_are_numbers_of_half_precision() {
        let weight = Tensor::full([1, 1, 1, 1], 0.3, (Kind::Double, Device::Cpu));
        let none = Tensor::zeros([1], (Kind::Double, Device::Cpu));
        let (integers, scales) = channels(&weight, DataType::Float16, &none);
        let scale = scales.double_value(&[0]);
        assert_eq!(scale, rounded(scale, DataType::Float16));
        assert!((integers.double_value(&[0, 0, 0, 0]) * scale - 0.3).abs() <= scale / 2.0);
        let (_, least) = channels(&weight, DataType::Float, &Tensor::from_slice(&[0.5]));
        assert_eq!(least.double_value(&[0]), 0.5);
    }
}
