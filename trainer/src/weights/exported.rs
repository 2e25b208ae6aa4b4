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
pub fn parameters_of(model: &ModelProto) -> Result<Parameters, String> {
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
