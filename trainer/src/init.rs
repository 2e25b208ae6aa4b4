//! Parameters to start from: random, torchvision's VGG16, or an earlier run's.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use crate::checkpoint;
use crate::module::Parameters;
use crate::network::{FROZEN_CONVOLUTIONS, Layer, Network, Op};

/// Why a file of weights cannot start a network.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Unreadable or in no known format.
    #[error(
        "{path}: cannot read weights: {cause}. Wanted: a checkpoint of an earlier run, or \
         torchvision's VGG16 as .safetensors or .pth. A .pth from before PyTorch 1.6 must be \
         saved anew: python3 -c \"import torch; torch.save(torch.load('OLD.pth'), 'NEW.pth')\""
    )]
    Unreadable { path: PathBuf, cause: String },
    /// ImageNet weights exist for full width only.
    #[error(
        "{path}: torchvision's VGG16 fits width = 1.0 only, this run has width = {width}; set \
         width = 1.0, or leave `init` out to train from scratch"
    )]
    Width { path: PathBuf, width: f64 },
    /// A parameter is absent.
    #[error("{path}: has no `{name}`; is this a checkpoint of {network}, or VGG16?")]
    Missing { path: PathBuf, name: String, network: &'static str },
    /// A parameter has another shape.
    #[error("{path}: `{name}` is {found:?}, {network} at width {width} has {wanted:?}")]
    Shape {
        path: PathBuf,
        name: String,
        found: Vec<i64>,
        wanted: Vec<i64>,
        network: &'static str,
        width: f64,
    },
}

/// Parameters and how many leading convolutions keep them.
#[derive(Debug)]
pub struct Start {
    /// One tensor for every weight and bias of the network, 32-bit, on the CPU.
    pub parameters: Parameters,
    /// Convolutions to freeze.
    pub frozen: usize,
}

/// Random parameters from the generator seeded with [`tch::manual_seed`].
///
/// Convolutions: He et al. 2015, so that 13 of them with ReLU and no normalisation keep the
/// signal's scale. Transposed convolutions: PyTorch's default, as in the published project.
pub fn random(network: &Network) -> Start {
    let options = (Kind::Float, tch::Device::Cpu);
    let mut parameters = Parameters::new();
    for layer in &network.layers {
        let Some((weight, bias)) = shapes(layer) else {
            continue;
        };
        let fan = (weight[1] * weight[2] * weight[3]) as f64;
        let (weight, bias) = match layer.op {
            Op::Conv { .. } => {
                (Tensor::randn(&weight, options) * (2.0 / fan).sqrt(), Tensor::zeros(&bias, options))
            }
            _ => {
                let bound = 1.0 / fan.sqrt();
                let uniform = |shape: &[i64]| Tensor::rand(shape, options) * (2.0 * bound) - bound;
                (uniform(&weight), uniform(&bias))
            }
        };
        parameters.insert(format!("{}.weight", layer.name), weight);
        parameters.insert(format!("{}.bias", layer.name), bias);
    }
    Start { parameters, frozen: 0 }
}

/// Parameters from `path`: a checkpoint of ours replaces all, VGG16 the convolutions.
pub fn from_file(network: &Network, path: &Path) -> Result<Start, InitError> {
    let found = read(path)?;
    let mut start = random(network);
    let vgg = found.contains_key("features.0.weight");
    if vgg && network.width != 1.0 {
        return Err(InitError::Width { path: path.into(), width: network.width });
    }
    for (index, layer) in network.layers.iter().enumerate() {
        let Some((weight_shape, bias_shape)) = shapes(layer) else {
            continue;
        };
        if vgg && !matches!(layer.op, Op::Conv { .. }) {
            continue;
        }
        for (part, wanted) in [("weight", weight_shape), ("bias", bias_shape)] {
            let own = format!("{}.{part}", layer.name);
            let name = if vgg { format!("features.{index}.{part}") } else { own.clone() };
            let Some(tensor) = found.get(&name) else {
                let (path, network) = (path.into(), network.name);
                return Err(InitError::Missing { path, name, network });
            };
            let tensor = if name == "features.0.weight" { fold_rgb(tensor) } else { tensor.copy() };
            if tensor.size() != wanted {
                return Err(InitError::Shape {
                    path: path.into(),
                    name,
                    found: tensor.size(),
                    wanted,
                    network: network.name,
                    width: network.width,
                });
            }
            start.parameters.insert(own, tensor.to_kind(Kind::Float));
        }
    }
    start.frozen = if vgg { FROZEN_CONVOLUTIONS } else { 0 };
    Ok(start)
}

/// A convolution on three equal channels as one on a single channel: its kernels summed.
fn fold_rgb(weight: &Tensor) -> Tensor {
    weight.to_kind(Kind::Float).sum_dim_intlist([1].as_slice(), true, Kind::Float)
}

fn shapes(layer: &Layer) -> Option<(Vec<i64>, Vec<i64>)> {
    let weight = layer.weight_shape()?.map(|n| n as i64).to_vec();
    Some((weight, vec![layer.outputs()? as i64]))
}

fn read(path: &Path) -> Result<Parameters, InitError> {
    let unreadable = |cause: String| InitError::Unreadable { path: path.into(), cause };
    if path.extension().is_some_and(|e| e == "safetensors") {
        let file = checkpoint::read(path).map_err(|e| unreadable(e.to_string()))?;
        return Ok(file.tensors);
    }
    std::fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
    let tensors = Tensor::loadz_multi(path).map_err(|e| unreadable(e.to_string()))?;
    Ok(tensors.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn folding_equals_rgb_on_equal_channels() {
        tch::manual_seed(3);
        let options = (Kind::Float, tch::Device::Cpu);
        let weight = Tensor::randn([8, 3, 3, 3], options);
        let bias = Tensor::randn([8], options);
        let gray = Tensor::rand([1, 1, 20, 30], options) * 2.0 - 1.0;
        let rgb = gray.expand([1, 3, 20, 30], false).conv2d(&weight, Some(&bias), 1, 1, 1, 1);
        let folded = gray.conv2d(&fold_rgb(&weight), Some(&bias), 1, 1, 1, 1);
        let difference = (rgb - folded).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
    }

    fn fake_vgg(directory: &Path) -> PathBuf {
        let mut tensors = random(&Network::vgg16_fcn(1.0)).parameters;
        tensors.retain(|name, _| name.starts_with("conv"));
        let network = Network::vgg16_fcn(1.0);
        let mut renamed = Parameters::new();
        for (index, layer) in network.layers.iter().enumerate() {
            for part in ["weight", "bias"] {
                if let Some(tensor) = tensors.remove(&format!("{}.{part}", layer.name)) {
                    renamed.insert(format!("features.{index}.{part}"), tensor);
                }
            }
        }
        let rgb = renamed["features.0.weight"].repeat([1, 3, 1, 1]);
        renamed.insert("features.0.weight".into(), rgb);
        let path = directory.join("vgg16.safetensors");
        checkpoint::write(&path, &Checkpoint { tensors: renamed, ..Default::default() }).unwrap();
        path
    }

    #[test]
    fn vgg_starts_full_width_frozen_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = fake_vgg(directory.path());
        let start = from_file(&Network::vgg16_fcn(1.0), &path).unwrap();
        assert_eq!(start.frozen, 8);
        assert_eq!(start.parameters["conv1_1.weight"].size(), [64, 1, 3, 3]);
        let error = from_file(&Network::vgg16_fcn(0.25), &path).unwrap_err().to_string();
        assert!(error.contains("width = 1.0 only"), "{error}");
    }

    #[test]
    fn checkpoint_of_another_width_is_refused_by_name_and_shape() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("best.safetensors");
        let tensors = random(&Network::vgg16_fcn(0.0625)).parameters;
        checkpoint::write(&path, &Checkpoint { tensors, ..Default::default() }).unwrap();
        let same = from_file(&Network::vgg16_fcn(0.0625), &path).unwrap();
        assert_eq!(same.frozen, 0);
        let error = from_file(&Network::vgg16_fcn(0.125), &path).unwrap_err().to_string();
        assert!(error.contains("conv1_1.weight") && error.contains("[8, 1, 3, 3]"), "{error}");
    }

    #[test]
    fn missing_file_says_what_is_wanted() {
        let error = from_file(&Network::vgg16_fcn(1.0), Path::new("none.pth")).unwrap_err();
        assert!(error.to_string().contains("none.pth: cannot read weights"), "{error}");
    }
}
