//! Parameters from a file: an earlier run's, a bundle's, or torchvision's VGG16.

use std::path::Path;

use tch::{Kind, Tensor};

use super::error::InitError;
use super::random::{Start, random};
use super::{checkpoint, exported, has_extension};
use crate::net::{FROZEN_CONVOLUTIONS, Network, Op, Parameters};

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
            let tensor = if name == "features.0.weight" { sum_rgb(tensor) } else { tensor.copy() };
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

/// A convolution on three equal channels as one on a single channel: its kernels summed.
fn sum_rgb(weight: &Tensor) -> Tensor {
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
    use std::path::PathBuf;

    use crate::weights::checkpoint::Checkpoint;

    #[test]
    fn folding_equals_rgb_on_equal_channels() {
        tch::manual_seed(3);
        let options = (Kind::Float, tch::Device::Cpu);
        let weight = Tensor::randn([8, 3, 3, 3], options);
        let bias = Tensor::randn([8], options);
        let gray = Tensor::rand([1, 1, 20, 30], options) * 2.0 - 1.0;
        let rgb = gray.expand([1, 3, 20, 30], false).conv2d(&weight, Some(&bias), 1, 1, 1, 1);
        let fused = gray.conv2d(&sum_rgb(&weight), Some(&bias), 1, 1, 1, 1);
        let difference = (rgb - fused).abs().max().double_value(&[]);
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
