//! The network as data, which the module, the ONNX writer and the cost report read.

use super::parameters::NORMALISATION;

/// One layer. It takes the output of the layer before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Unique, and the prefix of its parameters: `conv1_1.weight`, `conv1_1.bias`.
    pub name: String,
    /// What it computes.
    pub op: Op,
}

/// What a layer computes on `[N, C, H, W]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Convolution, stride 1; weight `[outputs, inputs, kernel, kernel]`.
    Conv { inputs: usize, outputs: usize, kernel: usize, padding: usize },
    /// Transposed convolution; weight `[inputs, outputs, kernel, kernel]`.
    Deconv { inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize },
    /// Normalisation of each channel over batch and pixels (Ioffe and Szegedy 2015), always behind a
    /// convolution, into which it is fused on export; weight, bias and running statistics `[channels]`.
    BatchNorm { channels: usize },
    /// `max(x, 0)`.
    Relu,
    /// Maximum of 2x2, stride 2.
    MaxPool,
    /// Channels of the layer before, then those of the layer named.
    Concat { with: String },
    /// `1 / (1 + exp(-x))`: logits to probability.
    Sigmoid,
}

impl Layer {
    /// Shape of the kernel, for layers that have one.
    pub fn kernel_shape(&self) -> Option<[usize; 4]> {
        match self.op {
            Op::Conv { inputs, outputs, kernel, .. } => Some([outputs, inputs, kernel, kernel]),
            Op::Deconv { inputs, outputs, kernel, .. } => Some([inputs, outputs, kernel, kernel]),
            _ => None,
        }
    }

    /// Names, such as `conv1_1.weight`, and shapes of everything that training changes.
    pub fn parameters(&self) -> Vec<(String, Vec<i64>)> {
        let shapes = match self.op {
            Op::Conv { outputs, .. } | Op::Deconv { outputs, .. } => {
                let kernel = self.kernel_shape().unwrap_or_default();
                vec![("weight", kernel.map(|n| n as i64).to_vec()), ("bias", vec![outputs as i64])]
            }
            Op::BatchNorm { channels } => NORMALISATION.map(|part| (part, vec![channels as i64])).into(),
            _ => vec![],
        };
        shapes.into_iter().map(|(part, shape)| (format!("{}.{part}", self.name), shape)).collect()
    }
}

/// A network: one luma channel in, one channel of nerve probability out, at the same size.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Name in configurations and manifests.
    pub name: &'static str,
    /// Factor on every channel count but the first input and the last output.
    pub width: f64,
    /// In order of computation; the last is the sigmoid.
    pub layers: Vec<Layer>,
}

/// Convolutions of each VGG16 block (Simonyan and Zisserman 2015, configuration D).
const VGG16: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// Number of leading convolutions that keep their ImageNet weights: as in the published project,
/// everything up to the first convolution of block 4.
pub const FROZEN_CONVOLUTIONS: usize = 8;

impl Network {
    /// VGG16 features, then three transposed convolutions with skips from `pool4` and `relu3_3`
    /// and nothing between them (github.com/cygnus77/nerve-segmentation).
    ///
    /// The layer at index `i` of the VGG16 part is torchvision's `features.i`.
    pub fn vgg16_fcn(width: f64) -> Self {
        let scaled = |channels| scaled(channels, width);
        let mut layers = features(width, false);
        let mut add = |name: String, op: Op| layers.push(Layer { name, op });
        let (c128, c256, c512) = (scaled(128), scaled(256), scaled(512));
        let deconv =
            |inputs, outputs, stride, padding| Op::Deconv { inputs, outputs, kernel: 4, stride, padding };
        add("up5".into(), deconv(c512, c256, 2, 1));
        add("skip4".into(), Op::Concat { with: "pool4".into() });
        add("up4".into(), deconv(c256 + c512, c128, 4, 0));
        add("skip3".into(), Op::Concat { with: "relu3_3".into() });
        add("up3".into(), deconv(c128 + c256, 1, 4, 0));
        add("probability".into(), Op::Sigmoid);
        Self { name: "vgg16-fcn", width, layers }
    }

    /// VGG16 features with batch normalisation, then for each of the five scales a transposed
    /// convolution (k2 s2), the features of that scale beside it and two convolutions: a U-Net
    /// (Ronneberger et al. 2015). The decoder is half as wide as the encoder at most, which keeps
    /// its work under that of the encoder.
    pub fn vgg16_unet(width: f64) -> Self {
        let mut layers = features(width, true);
        let mut inputs = scaled(512, width);
        for (scale, channels) in [32, 64, 128, 256, 256].into_iter().enumerate().rev() {
            let (skip, outputs) = (VGG16[scale], scaled(channels, width));
            let with = format!("relu{}_{}", scale + 1, skip.len());
            let scale = scale + 1;
            let up = Op::Deconv { inputs, outputs, kernel: 2, stride: 2, padding: 0 };
            layers.push(Layer { name: format!("up{scale}"), op: up });
            layers.push(Layer { name: format!("skip{scale}"), op: Op::Concat { with } });
            inputs = outputs + scaled(skip[0], width);
            for i in 1..=2 {
                convolution(&mut layers, &format!("dec{scale}_{i}"), inputs, outputs, true);
                inputs = outputs;
            }
        }
        let op = Op::Conv { inputs, outputs: 1, kernel: 1, padding: 0 };
        layers.push(Layer { name: "logits".into(), op });
        layers.push(Layer { name: "probability".into(), op: Op::Sigmoid });
        Self { name: "vgg16-unet", width, layers }
    }

    /// Names of all networks.
    pub const NAMES: [&str; 2] = ["vgg16-fcn", "vgg16-unet"];

    /// The network called `name`, or the names there are.
    pub fn named(name: &str, width: f64) -> Result<Self, String> {
        match name {
            "vgg16-fcn" => Ok(Self::vgg16_fcn(width)),
            "vgg16-unet" => Ok(Self::vgg16_unet(width)),
            _ => Err(format!("there is no network `{name}`; there are {}", Self::NAMES.join(" and "))),
        }
    }

    /// The network that a bundle's manifest describes as `NAME xWIDTH`.
    pub fn described(text: &str) -> Result<Self, String> {
        let parts = text.split_once(" x").and_then(|(name, width)| Some((name, width.parse().ok()?)));
        let (name, width) = parts.ok_or_else(|| format!("`{text}` describes no network of this trainer"))?;
        Self::named(name, width)
    }

    /// Channels, rows and columns of every layer's output for a crop of `height` x `width`.
    pub fn shapes(&self, height: usize, width: usize) -> Vec<[usize; 3]> {
        let mut shapes: Vec<[usize; 3]> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let [c, h, w] = shapes.last().copied().unwrap_or([1, height, width]);
            shapes.push(match &layer.op {
                Op::Conv { outputs, kernel, padding, .. } => {
                    let size = |n: usize| n + 2 * padding + 1 - kernel;
                    [*outputs, size(h), size(w)]
                }
                Op::Deconv { outputs, kernel, stride, padding, .. } => {
                    let size = |n: usize| (n - 1) * stride + kernel - 2 * padding;
                    [*outputs, size(h), size(w)]
                }
                Op::MaxPool => [c, h / 2, w / 2],
                Op::Concat { with } => {
                    let skip = self.layers.iter().position(|l| l.name == *with);
                    [c + skip.and_then(|i| shapes.get(i)).map_or(0, |s| s[0]), h, w]
                }
                Op::BatchNorm { .. } | Op::Relu | Op::Sigmoid => [c, h, w],
            });
        }
        shapes
    }

    /// Whether it has batch normalisation.
    pub fn is_normalised(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer.op, Op::BatchNorm { .. }))
    }

    /// Whether a later layer concatenates the output of layer `name`.
    pub fn is_skipped_from(&self, name: &str) -> bool {
        self.layers.iter().any(|l| matches!(&l.op, Op::Concat { with } if with == name))
    }

    /// Names of the weights and biases of the first `count` convolutions.
    pub fn leading_parameters(&self, count: usize) -> Vec<String> {
        let convolutions = self.layers.iter().filter(|l| matches!(l.op, Op::Conv { .. }));
        convolutions
            .take(count)
            .flat_map(|l| [format!("{}.weight", l.name), format!("{}.bias", l.name)])
            .collect()
    }
}

/// VGG16's convolutions and pools; `normalised` as torchvision's `vgg16_bn`.
fn features(width: f64, normalised: bool) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut inputs = 1;
    for (block, channels) in (1..).zip(VGG16) {
        for (i, channels) in (1..).zip(channels) {
            let outputs = scaled(*channels, width);
            convolution(&mut layers, &format!("conv{block}_{i}"), inputs, outputs, normalised);
            inputs = outputs;
        }
        layers.push(Layer { name: format!("pool{block}"), op: Op::MaxPool });
    }
    layers
}

/// A 3x3 convolution, its batch normalisation where `normalised`, and ReLU: `conv1_1`, `conv1_1.bn` and
/// `relu1_1`, or `dec1_1`, `dec1_1.bn` and `dec1_1.relu`.
fn convolution(layers: &mut Vec<Layer>, name: &str, inputs: usize, outputs: usize, normalised: bool) {
    let mut add = |name: String, op: Op| layers.push(Layer { name, op });
    add(name.into(), Op::Conv { inputs, outputs, kernel: 3, padding: 1 });
    if normalised {
        add(format!("{name}.bn"), Op::BatchNorm { channels: outputs });
    }
    let relu = name.strip_prefix("conv").map_or_else(|| format!("{name}.relu"), |at| format!("relu{at}"));
    add(relu, Op::Relu);
}

fn scaled(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::parameters::is_statistic;

    #[test]
    fn indices_are_torchvisions() {
        let network = Network::vgg16_fcn(1.0);
        let at = |i: usize| network.layers[i].name.as_str();
        assert_eq!(
            [at(0), at(15), at(17), at(23), at(28)],
            ["conv1_1", "relu3_3", "conv4_1", "pool4", "conv5_3"]
        );
    }

    #[test]
    fn eight_leading_convolutions_end_in_block_4() {
        let names = Network::vgg16_fcn(1.0).leading_parameters(FROZEN_CONVOLUTIONS);
        assert_eq!(names.len(), 16);
        assert_eq!(names[15], "conv4_1.bias");
    }

    #[test]
    fn width_scales_all_but_input_and_output() {
        let network = Network::vgg16_fcn(0.25);
        let shape = |name: &str| network.layers.iter().find(|l| l.name == name).and_then(Layer::kernel_shape);
        assert_eq!(shape("conv1_1"), Some([16, 1, 3, 3]));
        assert_eq!(shape("up4"), Some([192, 32, 4, 4]));
        assert_eq!(shape("up3"), Some([96, 1, 4, 4]));
    }

    #[test]
    fn maps_are_as_large_as_crops() {
        let network = Network::vgg16_fcn(1.0);
        let shapes = network.shapes(416, 576);
        let shape = |name: &str| shapes[network.layers.iter().position(|l| l.name == name).unwrap()];
        assert_eq!(shape("pool5"), [512, 13, 18]);
        assert_eq!(shape("skip4"), [768, 26, 36]);
        assert_eq!(shape("skip3"), [384, 104, 144]);
        assert_eq!(shape("probability"), [1, 416, 576]);
    }
    #[test]
    fn manifests_describe_networks() {
        assert_eq!(Network::described("vgg16-unet x0.25").unwrap(), Network::vgg16_unet(0.25));
        assert!(Network::described("unet").unwrap_err().contains("`unet`"));
        assert!(Network::described("unet x1").unwrap_err().contains("vgg16-unet"));
    }

    #[test]
    fn unet_has_a_skip_at_every_scale() {
        let network = Network::vgg16_unet(0.5);
        let shapes = network.shapes(416, 576);
        let shape = |name: &str| shapes[network.layers.iter().position(|l| l.name == name).unwrap()];
        assert_eq!(shape("skip5"), [128 + 256, 26, 36]);
        assert_eq!(shape("skip4"), [128 + 256, 52, 72]);
        assert_eq!(shape("skip3"), [64 + 128, 104, 144]);
        assert_eq!(shape("skip2"), [32 + 64, 208, 288]);
        assert_eq!(shape("skip1"), [16 + 32, 416, 576]);
        assert_eq!(shape("probability"), [1, 416, 576]);
        let names: std::collections::BTreeSet<_> = network.layers.iter().map(|l| &l.name).collect();
        assert_eq!(names.len(), network.layers.len());
        assert!(is_statistic("dec1_2.bn.running_var") && !is_statistic("dec1_2.bn.weight"));
    }
}
