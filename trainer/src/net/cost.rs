//! What a network costs: work, parameters, receptive field.

use super::network::{Network, Op};

/// Cost of one frame through a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Floating-point operations / 1e9, a multiply-add counted as two.
    pub gflop: f64,
    /// Trainable numbers, weights and biases.
    pub parameters: usize,
    /// Side in pixels of the square of input that one output pixel sees at most.
    pub receptive_field: usize,
    /// Work by layer, in order: name and GFLOP.
    pub layers: Vec<(String, f64)>,
}

impl Cost {
    /// Walks `network` for a frame of `height` x `width` pixels.
    pub fn of(network: &Network, height: usize, width: usize) -> Self {
        let mut cost = Self { gflop: 0.0, parameters: 0, receptive_field: 1, layers: vec![] };
        // Distance in input pixels between neighbours of the layer's output.
        let mut pitch = 1;
        let mut input = height * width;
        for (layer, [channels, rows, columns]) in network.layers.iter().zip(network.shapes(height, width)) {
            let output = rows * columns;
            // Each weight of a convolution is used once per output pixel, of a transposed
            // convolution once per input pixel.
            let mut uses = output;
            match layer.op {
                Op::Conv { kernel, .. } => cost.receptive_field += (kernel - 1) * pitch,
                Op::Deconv { kernel, stride, .. } => {
                    uses = input;
                    cost.receptive_field += (kernel.div_ceil(stride) - 1) * pitch;
                    pitch /= stride;
                }
                Op::MaxPool => {
                    cost.receptive_field += pitch;
                    pitch *= 2;
                }
                // Folded into the convolution before it.
                Op::BatchNorm { channels } => cost.parameters += 2 * channels,
                Op::Relu | Op::Concat { .. } | Op::Sigmoid => {}
            }
            if let Some(shape) = layer.kernel_shape() {
                let weights: usize = shape.iter().product();
                let gflop = 2.0 * (weights * uses) as f64 / 1e9;
                cost.gflop += gflop;
                cost.parameters += weights + channels;
                cost.layers.push((layer.name.clone(), gflop));
            }
            input = output;
        }
        cost
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1} GFLOP a frame, {:.2} million parameters, receptive field {} pixels",
            self.gflop,
            self.parameters as f64 / 1e6,
            self.receptive_field
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_on_a_cart_frame() {
        let cost = Cost::of(&Network::vgg16_fcn(1.0), 416, 576);
        assert!((148.0..152.0).contains(&cost.gflop), "{cost}");
        // VGG16's pool5 sees 212 pixels; the first transposed convolution adds one more of its
        // outputs, 32 pixels away.
        assert_eq!(cost.receptive_field, 244);
        // 14 714 688 of VGG16 less two of three input channels, and the three on top.
        let top = 512 * 256 * 16 + 256 + 768 * 128 * 16 + 128 + 384 * 16 + 1;
        assert_eq!(cost.parameters, 14_714_688 - 2 * 9 * 64 + top);
    }

    #[test]
    fn the_decoder_of_the_unet_costs_less_than_its_encoder() {
        let cost = Cost::of(&Network::vgg16_unet(1.0), 416, 576);
        let (encoder, decoder): (Vec<_>, Vec<_>) = cost.layers.iter().partition(|l| l.0.starts_with("conv"));
        let sum = |layers: &[&(String, f64)]| layers.iter().map(|l| l.1).sum::<f64>();
        assert!(sum(&decoder) < sum(&encoder), "{cost}");
        assert!((200.0..225.0).contains(&cost.gflop), "{cost}");
    }

    #[test]
    fn quarter_width_is_a_sixteenth_of_the_work() {
        let cost = Cost::of(&Network::vgg16_fcn(0.25), 416, 576);
        assert!((9.3..9.7).contains(&cost.gflop), "{cost}");
    }
}
