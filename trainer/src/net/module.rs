//! The network as tensors: parameters and forward pass.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::fusion::{EPSILON, unfuse};
use super::network::{Layer, Network, Op};
use super::parameters::{NORMALISATION, Parameters, is_statistic};

/// Number format of weights and activations during the forward pass.
///
/// Parameters, gradients and everything from the logits on are 32-bit either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberFormat {
    /// 32 bits.
    Fp32,
    /// 16 bits with the exponent of 32: no loss scaling needed.
    Bf16,
}

/// A network with its parameters on a device.
#[derive(Debug)]
pub struct Module {
    /// What it computes.
    pub network: Network,
    /// 32-bit leaves; those that train require gradients, running statistics do not.
    pub parameters: Parameters,
    precision: NumberFormat,
}

impl Module {
    /// Puts `parameters` on `device`, the first `frozen` convolutions without gradients.
    pub fn new(
        network: Network,
        parameters: Parameters,
        frozen: usize,
        precision: NumberFormat,
        device: Device,
    ) -> Self {
        let fixed = network.leading_parameters(frozen);
        let parameters = parameters
            .into_iter()
            .map(|(name, tensor)| {
                let trains = !fixed.contains(&name) && !is_statistic(&name);
                let leaf = tensor.detach().to_kind(Kind::Float).to_device(device).copy();
                (name, leaf.set_requires_grad(trains))
            })
            .collect();
        Self { network, parameters, precision }
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.parameters.values().next().map_or(Device::Cpu, Tensor::device)
    }

    /// Crops `[N, 1, H, W]` uint8 to logits `[N, 1, H, W]`, 32-bit. H and W are multiples of 32.
    /// Batch normalisation takes its running statistics.
    pub fn logits(&self, crops: &Tensor) -> Tensor {
        self.last(crops, Norm::Running)
    }

    /// The same for a step of training: batch normalisation takes the batch's own statistics, and
    /// the running ones follow them.
    pub fn train_logits(&self, crops: &Tensor) -> Tensor {
        self.last(crops, Norm::Batch)
    }

    fn last(&self, crops: &Tensor, norm: Norm) -> Tensor {
        let mut logits = None;
        self.visit(crops, norm, |layer, output| {
            if layer.op != Op::Sigmoid {
                logits = Some(output.shallow_clone());
            }
        });
        // Every network ends in a sigmoid on logits.
        logits.unwrap_or_else(|| crops.shallow_clone()).to_kind(Kind::Float)
    }

    /// Crops `[N, 1, H, W]` uint8 to probabilities `[N, 1, H, W]`, 32-bit, without gradients.
    pub fn predict(&self, crops: &Tensor) -> Tensor {
        tch::no_grad(|| self.logits(crops).sigmoid())
    }

    /// Every layer's output by name, without gradients, in order.
    pub fn layer_outputs(&self, crops: &Tensor) -> Vec<(String, Tensor)> {
        let mut outputs = Vec::new();
        // Copies: what follows may compute in place.
        tch::no_grad(|| self.visit(crops, Norm::Running, |_, output| outputs.push(output.copy())));
        self.network.layers.iter().map(|l| l.name.clone()).zip(outputs).collect()
    }

    /// The same in training, where the batch's own statistics count.
    #[cfg(test)]
    pub fn training_outputs(&self, crops: &Tensor) -> Vec<(String, Tensor)> {
        let mut outputs = Vec::new();
        let see = |layer: &Layer, x: &Tensor| outputs.push((layer.name.clone(), x.copy()));
        tch::no_grad(|| self.visit(crops, Norm::Batch, see));
        outputs
    }

    /// Sets the batch normalisation of the layers called `names`, each behind a convolution whose weights come from
    /// elsewhere, so that it changes nothing on `batches` of crops: what the weights knew is kept. No other layer is
    /// normalised before them.
    pub fn unnormalise(&mut self, names: &[String], batches: impl ExactSizeIterator<Item = Tensor>) {
        let count = batches.len() as f64;
        let mut moments = BTreeMap::<String, [Tensor; 2]>::new();
        for crops in batches {
            let add = |layer: &Layer, output: &Tensor| {
                if names.contains(&layer.name) {
                    let (x, over) = (output.to_kind(Kind::Float), [0i64, 2, 3]);
                    let mean = |x: &Tensor| x.mean_dim(over.as_slice(), false, Kind::Double) / count;
                    let found = [mean(&x), mean(&x.square())];
                    let sum = match moments.remove(&layer.name) {
                        Some(before) => [&before[0] + &found[0], &before[1] + &found[1]],
                        None => found,
                    };
                    moments.insert(layer.name.clone(), sum);
                }
            };
            tch::no_grad(|| self.visit(&crops, Norm::None, add));
        }
        for (name, [mean, square]) in moments {
            let deviation = (square - mean.square() + EPSILON).clamp_min(EPSILON).sqrt();
            for (part, value) in NORMALISATION.into_iter().zip(unfuse(&deviation, &mean)) {
                if let Some(parameter) = self.parameters.get_mut(&format!("{name}.{part}")) {
                    tch::no_grad(|| parameter.copy_(&value));
                }
            }
        }
    }

    fn visit(&self, crops: &Tensor, norm: Norm, mut seen: impl FnMut(&Layer, &Tensor)) {
        let mut skips = HashMap::new();
        let mut x = one_channel_last(&normalise(&crops.to_device(self.device())).to_kind(self.kind()));
        for layer in &self.network.layers {
            x = match &layer.op {
                Op::Conv { padding, .. } => {
                    let (weight, bias) = self.pair(&layer.name);
                    x.conv2d(&weight, Some(&bias), 1, *padding as i64, 1, 1)
                }
                Op::Deconv { stride, padding, .. } => {
                    let (weight, bias) = self.pair(&layer.name);
                    let (stride, padding) = (*stride as i64, *padding as i64);
                    x.conv_transpose2d(&weight, Some(&bias), stride, padding, 0, 1, 1)
                }
                Op::BatchNorm { .. } if norm == Norm::None => x,
                Op::BatchNorm { .. } => {
                    let part = |part: &str| Some(&self.parameters[&format!("{}.{part}", layer.name)]);
                    let (mean, variance) = (part("running_mean"), part("running_var"));
                    let batch = norm == Norm::Batch;
                    x.batch_norm(part("weight"), part("bias"), mean, variance, batch, MOMENTUM, EPSILON, true)
                }
                // In place: nothing needs the value before, backwards neither.
                Op::Relu => x.relu_(),
                Op::MaxPool => x.max_pool2d(2, 2, 0, 1, false),
                Op::Concat { with } => Tensor::cat(&[&x, &skips[with.as_str()]], 1),
                Op::Sigmoid => x.to_kind(Kind::Float).sigmoid(),
            };
            seen(layer, &x);
            if self.network.is_skipped_from(&layer.name) {
                skips.insert(layer.name.as_str(), x.shallow_clone());
            }
        }
    }

    fn kind(&self) -> Kind {
        match self.precision {
            NumberFormat::Fp32 => Kind::Float,
            NumberFormat::Bf16 => Kind::BFloat16,
        }
    }

    /// Weight and bias of a layer as used in the forward pass. Weights lie channels-last, which
    /// makes oneDNN and cuDNN compute, and hand on, channels-last.
    fn pair(&self, layer: &str) -> (Tensor, Tensor) {
        let weight = self.parameters[&format!("{layer}.weight")].to_kind(self.kind());
        let bias = self.parameters[&format!("{layer}.bias")].to_kind(self.kind());
        (channels_last(&weight), bias)
    }
}

/// Which statistics batch normalisation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Norm {
    Batch,
    Running,
    /// Values pass unchanged.
    None,
}

/// How far the running statistics move to those of a batch.
const MOMENTUM: f64 = 0.1;

/// Bytes to the network's input range, -1..1.
pub fn normalise(crops: &Tensor) -> Tensor {
    crops.to_kind(Kind::Float) / 127.5 - 1.0
}

/// Contiguous `[N, 1, H, W]` with the strides of channels-last. One channel lies the same either way,
/// and libtorch would take it, and with it the output of the first convolution, for channels-first.
fn one_channel_last(x: &Tensor) -> Tensor {
    match x.size()[..] {
        [_, 1, height, width] => x.as_strided(x.size(), [height * width, 1, width, 1], None),
        _ => x.shallow_clone(),
    }
}

/// The same `[N, C, H, W]` values, channels next to each other in memory.
fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
