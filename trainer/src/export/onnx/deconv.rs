//! Transposed convolutions as convolutions: each of the `stride` x `stride` phases of the output is a
//! convolution of the input, and DepthToSpace sets them side by side. Exact, and every runtime has
//! 8-bit kernels for it, which transposed convolutions lack.

use tch::{IndexOp, Tensor};

/// A convolution with stride 1 whose output channels are `(row phase, column phase, channel)`, as
/// DepthToSpace takes them in its mode `DCR`.
#[derive(Debug)]
pub struct Phases {
    /// `[stride² outputs, inputs, kernel, kernel]`
    pub weight: Tensor,
    /// `[stride² outputs]`
    pub bias: Tensor,
    /// Odd.
    pub kernel: usize,
}

/// Of a transposed convolution with weight `[inputs, outputs, k, k]`.
///
/// Output pixel `stride j + r` takes tap `a` of input pixel `j + (r + padding - a) / stride`, where
/// that is whole.
pub fn phases(weight: &Tensor, bias: &Tensor, stride: usize, padding: usize) -> Phases {
    let (stride, padding) = (stride as i64, padding as i64);
    let &[inputs, outputs, taps, _] = &weight.size()[..] else {
        unreachable!("a kernel has four dimensions")
    };
    // Phase, tap and shift of the input pixel.
    let moves: Vec<[i64; 3]> = (0..stride)
        .flat_map(|r| (0..taps).map(move |a| [r, a, r + padding - a]))
        .filter(|[_, _, shift]| shift % stride == 0)
        .map(|[r, a, shift]| [r, a, shift / stride])
        .collect();
    let reach = moves.iter().map(|[_, _, shift]| shift.abs()).max().unwrap_or(0);
    let kernel = 2 * reach + 1;
    let spread =
        Tensor::zeros([stride, stride, outputs, inputs, kernel, kernel], (weight.kind(), weight.device()));
    for [r, a, y] in &moves {
        for [q, b, x] in &moves {
            let mut place = spread.i((*r, *q, .., .., reach + y, reach + x));
            place.copy_(&weight.detach().i((.., .., *a, *b)).transpose(0, 1));
        }
    }
    Phases {
        weight: spread.view([-1, inputs, kernel, kernel]),
        bias: bias.detach().repeat([stride * stride]),
        kernel: kernel as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn phases_side_by_side_are_the_transposed_convolution() {
        tch::manual_seed(2);
        let options = (Kind::Double, Device::Cpu);
        for (taps, stride, padding, kernel) in [(4, 4, 0, 1), (4, 2, 1, 3), (2, 2, 0, 1)] {
            let weight = Tensor::randn([3, 5, taps, taps], options);
            let bias = Tensor::randn([5], options);
            let x = Tensor::randn([1, 3, 6, 7], options);
            let (s, p) = (stride as i64, padding as i64);
            let wanted = x.conv_transpose2d(&weight, Some(&bias), s, p, 0, 1, 1);
            let found = phases(&weight, &bias, stride, padding);
            assert_eq!(found.kernel, kernel);
            let pad = (kernel / 2) as i64;
            let y = x.conv2d(&found.weight, Some(&found.bias), 1, pad, 1, 1);
            // DepthToSpace, mode DCR, as ONNX defines it.
            let y = y.view([1, s, s, 5, 6, 7]).permute([0, 3, 4, 1, 5, 2]).reshape([1, 5, 6 * s, 7 * s]);
            assert!((y - wanted).abs().max().double_value(&[]) < 1e-12);
        }
    }
}
