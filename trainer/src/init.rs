//! Parameters to start from: random, torchvision's VGG16, or an earlier run's.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use crate::checkpoint;
use crate::exported;
use crate::module::Parameters;
use crate::network::{FROZEN_CONVOLUTIONS, Network, Op};

/// Why a file of weights cannot start a network.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Unreadable or in no known format.
    #[error(
        "{path}: cannot read weights: {cause}. Wanted: a checkpoint of an earlier run, a bundle, or \
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
    /// Normalised features in a network without batch normalisation.
    #[error(
        "{path}: has batch normalisation, as vgg16_bn and vgg16-unet, but {network} has none; take weights without, or \
         network = \"vgg16-unet\""
    )]
    Normalised { path: PathBuf, network: &'static str },
    /// A bundle of another network.
    #[error(
        "{path}: holds {found}, this run's network is {network}; set network = \"{found}\", or take another bundle"
    )]
    Network { path: PathBuf, found: String, network: &'static str },
    /// Damaged, or no bundle.
    #[error(transparent)]
    Bundle(#[from] nervelight_engines::BundleError),
    /// An ONNX file that this trainer did not write.
    #[error(
        "{path}: no weights of this trainer in it: {cause}; export the bundle anew, or take a checkpoint"
    )]
    Onnx { path: PathBuf, cause: String },
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
    /// Layers of batch normalisation behind convolutions that never had any, for [`Module::unnormalise`].
    ///
    /// [`Module::unnormalise`]: crate::module::Module::unnormalise
    pub unnormalised: Vec<String>,
}

/// Logits to begin with where nothing else says so, a probability of 5 %: most pixels are no nerve, and the first steps
/// need not learn that (Lin et al. 2017).
const RARE: f64 = -3.0;

/// Random parameters from the generator seeded with [`tch::manual_seed`].
///
/// Convolutions: He et al. 2015, so that 13 of them with ReLU and no normalisation keep the
/// signal's scale. Transposed convolutions: PyTorch's default, as in the published project.
pub fn random(network: &Network) -> Start {
    let options = (Kind::Float, tch::Device::Cpu);
    let mut parameters = Parameters::new();
    // Before the sigmoid.
    let logits = network.layers.iter().rev().nth(1).map(|layer| &layer.name);
    for layer in &network.layers {
        for (name, shape) in layer.parameters() {
            let fan: i64 = layer.kernel_shape().map_or(1, |[_, b, h, w]| (b * h * w) as i64);
            let tensor = match (&layer.op, shape.len()) {
                (Op::Conv { .. }, 4) => Tensor::randn(&shape, options) * (2.0 / fan as f64).sqrt(),
                (Op::Conv { .. }, _) if Some(&layer.name) == logits => Tensor::full(&shape, RARE, options),
                (Op::Deconv { .. }, _) => {
                    let bound = 1.0 / (fan as f64).sqrt();
                    Tensor::rand(&shape, options) * (2.0 * bound) - bound
                }
                (Op::BatchNorm { .. }, _) if name.ends_with(".weight") || name.ends_with(".running_var") => {
                    Tensor::ones(&shape, options)
                }
                _ => Tensor::zeros(&shape, options),
            };
            parameters.insert(name, tensor);
        }
    }
    Start { parameters, frozen: 0, unnormalised: vec![] }
}

/// All parameters from `path`, a checkpoint or bundle of `network`.
pub fn whole(network: &Network, path: &Path) -> Result<Parameters, InitError> {
    let start = from_file(network, path)?;
    match start.unnormalised.first() {
        Some(layer) => {
            let (path, network) = (path.into(), network.name);
            Err(InitError::Missing { path, name: format!("{layer}.weight"), network })
        }
        None => Ok(start.parameters),
    }
}

/// Parameters from `path`: a checkpoint or bundle of ours replaces all; VGG16 the features' convolutions, with their
/// batch normalisation where both have it, and so does a checkpoint or bundle of ours without batch normalisation for
/// a network that has it.
pub fn from_file(network: &Network, path: &Path) -> Result<Start, InitError> {
    let mut start = random(network);
    let found = if path.is_dir() || ["tar", "bundle", "onnx"].iter().any(|e| has_extension(path, e)) {
        exported::read(network, path)?
    } else {
        read(path)?
    };
    let vgg = found.contains_key("features.0.weight");
    if vgg && network.width != 1.0 {
        return Err(InitError::Width { path: path.into(), width: network.width });
    }
    let normalised = |op: &Op| matches!(op, Op::BatchNorm { .. });
    let found_normalised =
        found.contains_key("features.1.running_mean") || found.contains_key("conv1_1.bn.weight");
    if found_normalised && !network.is_normalised() {
        return Err(InitError::Normalised { path: path.into(), network: network.name });
    }
    let bare = network.is_normalised() && !found_normalised;
    // torchvision numbers all its layers.
    let counted = network.layers.iter().filter(|l| !bare || !normalised(&l.op));
    for (index, layer) in counted.enumerate() {
        if (vgg || bare) && !layer.name.starts_with("conv") {
            continue;
        }
        for (own, wanted) in layer.parameters() {
            let part = own.rsplit('.').next().unwrap_or_default();
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
    if bare {
        let of_features = network.layers.iter().filter(|l| normalised(&l.op) && l.name.starts_with("conv"));
        start.unnormalised = of_features.map(|layer| layer.name.clone()).collect();
    }
    // Batch normalisation trains the better with the convolutions that feed it.
    start.frozen = if vgg && !network.is_normalised() { FROZEN_CONVOLUTIONS } else { 0 };
    Ok(start)
}

/// Whether the name of `path` ends in `.extension`.
pub fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

/// A convolution on three equal channels as one on a single channel: its kernels summed.
fn fold_rgb(weight: &Tensor) -> Tensor {
    weight.to_kind(Kind::Float).sum_dim_intlist([1].as_slice(), true, Kind::Float)
}

fn read(path: &Path) -> Result<Parameters, InitError> {
    let unreadable = |cause: String| InitError::Unreadable { path: path.into(), cause };
    if has_extension(path, "safetensors") {
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
    use crate::module::{Module, Precision};

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

    #[test]
    fn a_unet_begins_with_little_nerve() {
        tch::manual_seed(2);
        let network = Network::vgg16_unet(0.125);
        let parameters = random(&network).parameters;
        let module = Module::new(network, parameters, 0, Precision::Fp32, tch::Device::Cpu);
        let crops = Tensor::randint(256, [2, 1, 64, 64], (Kind::Uint8, tch::Device::Cpu));
        let mean = module.predict(&crops).mean(Kind::Float).double_value(&[]);
        assert!((0.005..0.15).contains(&mean), "{mean}");
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
    fn vgg_starts_the_encoder_of_the_unet_unfrozen() {
        let directory = tempfile::tempdir().unwrap();
        let plain = fake_vgg(directory.path());
        let network = Network::vgg16_unet(1.0);
        let start = from_file(&network, &plain).unwrap();
        assert_eq!((start.frozen, start.unnormalised.len()), (0, 13));
        assert!(whole(&network, &plain).unwrap_err().to_string().contains("conv1_1.bn.weight"));
        let plain = checkpoint::read(&plain).unwrap().tensors;
        assert_eq!(start.parameters["conv5_3.weight"], plain["features.28.weight"]);

        // As torchvision numbers vgg16_bn.
        let mut tensors = Parameters::new();
        for (index, layer) in network.layers.iter().enumerate().filter(|(_, l)| l.name.starts_with("conv")) {
            for (name, shape) in layer.parameters() {
                let part = name.rsplit('.').next().unwrap();
                let tensor = Tensor::full(shape, index as f64, (Kind::Float, tch::Device::Cpu));
                tensors.insert(format!("features.{index}.{part}"), tensor);
            }
        }
        assert!(tensors.contains_key("features.41.running_var"), "torchvision's last");
        let path = directory.path().join("vgg16_bn.safetensors");
        checkpoint::write(&path, &Checkpoint { tensors, ..Default::default() }).unwrap();
        let start = from_file(&network, &path).unwrap();
        assert!(start.unnormalised.is_empty());
        assert_eq!(start.parameters["conv5_3.bn.running_var"].double_value(&[0]), 41.0);
        let error = from_file(&Network::vgg16_fcn(1.0), &path).unwrap_err().to_string();
        assert!(error.contains("vgg16_bn") && error.contains("vgg16-unet"), "{error}");
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
