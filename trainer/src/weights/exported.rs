//! Weights from a model bundle or its ONNX file, for a run whose folder is gone.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use nervelight_engines::{Bundle, Precision};
use prost::Message;
use tch::{Kind, Tensor};

use super::error::InitError;
use super::has_extension;
use crate::net::{Network, Op, Parameters, unfuse};
use crate::util::onnx_schema::{DataType, ModelProto, StringStringEntryProto};

/// Parameters of `network` by name from a bundle, whose digests are checked, or from an ONNX file. Where `network` has
/// batch normalisation, a file without any will do.
pub fn read(network: &Network, path: &Path) -> Result<Parameters, InitError> {
    let onnx = |cause: String| InitError::Onnx { path: path.into(), cause };
    let bytes = if has_extension(path, "onnx") {
        std::fs::read(path).map_err(|e| onnx(e.to_string()))?
    } else {
        Bundle::open(path)?.read(Precision::Fp32.onnx_file())?
    };
    let model = ModelProto::decode(bytes.as_slice()).map_err(|e| onnx(e.to_string()))?;
    let named = model.graph.as_ref().map(|graph| graph.name.clone()).unwrap_or_default();
    let mut parameters = parameters_of(&model).map_err(onnx)?;
    if let Ok(other) = Network::named(&named, network.width)
        && other.name != network.name
    {
        if network.is_normalised() && !other.is_normalised() {
            return Ok(parameters);
        }
        return Err(InitError::Network { path: path.into(), found: named, network: network.name });
    }
    for layer in network.layers.iter().filter(|l| matches!(l.op, Op::BatchNorm { .. })) {
        let part = |part: &str| {
            let name = format!("{}.{part}", layer.name);
            parameters.get(&name).ok_or_else(|| onnx(format!("it does not say `{name}`")))
        };
        let parts = unfuse(part("weight")?, part("bias")?);
        parameters.extend(layer.parameters().into_iter().map(|(name, _)| name).zip(parts));
    }
    Ok(parameters)
}

/// What `export` wrote, by name: kernels and biases, weights and biases of fused batch
/// normalisation. Fails with what is wrong.
fn parameters_of(model: &ModelProto) -> Result<Parameters, String> {
    let graph = model.graph.as_ref().ok_or("it has no graph")?;
    let mut parameters = Parameters::new();
    for constant in graph.initializer.iter().filter(|c| c.data_type == DataType::Float as i32) {
        let tensor = floats(&constant.raw_data, &constant.dims);
        parameters.insert(constant.name.clone(), tensor.map_err(|e| format!("`{}`: {e}", constant.name))?);
    }
    for StringStringEntryProto { key, value } in &model.metadata_props {
        let floats = BASE64_STANDARD.decode(value).map_err(|e| e.to_string());
        let floats = floats.and_then(|bytes| floats_of(&bytes));
        parameters.insert(key.clone(), floats.map_err(|e| format!("`{key}`: {e}"))?);
    }
    Ok(parameters)
}

fn floats_of(bytes: &[u8]) -> Result<Tensor, String> {
    floats(bytes, &[(bytes.len() / 4) as i64])
}

fn floats(bytes: &[u8], shape: &[i64]) -> Result<Tensor, String> {
    Tensor::f_from_data_size(bytes, shape, Kind::Float).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::onnx::{Outputs, model};
    use crate::weights::{from_file, random};
    use nervelight_engines::bundle::{Draft, Manifest};

    const SIZE: (usize, usize) = (64, 64);

    /// A bundle of a network with random weights, and those weights.
    fn bundle(directory: &Path, network: &Network) -> (std::path::PathBuf, Parameters) {
        tch::manual_seed(4);
        let parameters = random(network).parameters;
        let mut draft = Draft::new(Manifest::new("old", "1"));
        draft.file("fp32.onnx", model(network, &parameters, SIZE, Outputs::Map).unwrap());
        let path = directory.join("old.bundle");
        draft.write(&path).unwrap();
        (path, parameters)
    }

    #[test]
    fn a_bundle_starts_the_network_it_was_written_from() {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::vgg16_fcn(0.0625);
        let (path, parameters) = bundle(directory.path(), &network);
        for path in [path.clone(), path.join("fp32.onnx")] {
            let start = from_file(&network, &path).unwrap();
            assert_eq!((start.frozen, start.parameters.len()), (0, parameters.len()));
            assert!(parameters.iter().all(|(name, tensor)| start.parameters[name] == *tensor));
        }
    }

    #[test]
    fn another_network_another_width_and_a_changed_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _) = bundle(directory.path(), &Network::vgg16_unet(0.0625));
        let error = |network: Network| from_file(&network, &path).unwrap_err().to_string();
        let other = error(Network::vgg16_fcn(0.0625));
        assert!(other.contains("holds vgg16-unet") && other.contains("vgg16-fcn"), "{other}");

        std::fs::remove_dir_all(&path).unwrap();
        let (path, parameters) = bundle(directory.path(), &Network::vgg16_fcn(0.0625));
        let start = from_file(&Network::vgg16_unet(0.0625), &path).unwrap();
        assert_eq!(start.parameters["conv5_3.weight"], parameters["conv5_3.weight"]);
        assert_eq!(start.unnormalised.len(), 13);
        let error = |network: Network| from_file(&network, &path).unwrap_err().to_string();
        let wide = error(Network::vgg16_fcn(0.125));
        assert!(wide.contains("conv1_1.weight") && wide.contains("width 0.125"), "{wide}");

        let onnx = path.join("fp32.onnx");
        let mut bytes = std::fs::read(&onnx).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&onnx, bytes).unwrap();
        let changed = error(Network::vgg16_fcn(0.0625));
        assert!(changed.contains("fp32.onnx"), "{changed}");
        std::fs::write(&onnx, "hello").unwrap();
        let foreign = from_file(&Network::vgg16_fcn(0.0625), &onnx).unwrap_err().to_string();
        assert!(foreign.contains("no weights of this trainer"), "{foreign}");
    }

    #[test]
    fn fused_normalisation_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::vgg16_unet(0.0625);
        let (path, parameters) = bundle(directory.path(), &network);
        let start = from_file(&network, &path).unwrap();
        assert_eq!(start.parameters.keys().collect::<Vec<_>>(), parameters.keys().collect::<Vec<_>>());
        let again = model(&network, &start.parameters, SIZE, Outputs::Map).unwrap();
        let first = ModelProto::decode(std::fs::read(path.join("fp32.onnx")).unwrap().as_slice()).unwrap();
        let again = parameters_of(&ModelProto::decode(again.as_slice()).unwrap()).unwrap();
        for (name, tensor) in parameters_of(&first).unwrap() {
            let off = (&again[&name] - &tensor).abs().max().double_value(&[]);
            assert!(off < 1e-5, "{name}: {off}");
        }
    }
}
