//! The ONNX graph in half precision; layers that half precision cannot hold stay in 32 bits.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{OPSET, begin, file, initializer, int, layer_node, node, normalised, to_bytes};
use crate::net::Parameters;
use crate::net::{Network, Op};
use crate::util::onnx_schema::{DataType, GraphProto};

/// Largest value of half precision.
pub const LARGEST: f64 = 65504.0;
/// Frames not seen in calibration may hold values this much larger.
pub const MARGIN: f64 = 4.0;

/// Layers that compute in 32 bits, by name: their input, output or parameters come within [`MARGIN`] of
/// [`LARGEST`]. `largest` holds the largest absolute value of each layer's output.
pub fn at_risk(
    network: &Network,
    parameters: &Parameters,
    largest: &BTreeMap<String, f64>,
) -> BTreeSet<String> {
    let over = |value: f64| value.is_nan() || value * MARGIN > LARGEST;
    let output = |name: &str| largest.get(name).is_none_or(|value| over(*value));
    let mut before = false;
    let mut risky = BTreeSet::new();
    for layer in &network.layers {
        if layer.op == Op::Sigmoid {
            break;
        }
        let held = |name: &str| parameters.get(name).map(|p| p.abs().max().double_value(&[]));
        // Weights are known, not sampled.
        let weights = layer
            .parameters()
            .iter()
            .any(|(name, _)| held(name).is_none_or(|value| value.is_nan() || value > LARGEST));
        let skip = matches!(&layer.op, Op::Concat { with } if output(with));
        let own = output(&layer.name);
        if own || before || skip || weights {
            risky.insert(layer.name.clone());
        }
        before = own;
    }
    risky
}

/// The model file, as [`super::model`] with layers other than `full` in half precision. `network` and
/// `parameters` are without batch normalisation. Returns the name of a parameter that is absent.
///
/// Normalisation, sigmoid and rounding are 32-bit.
pub fn half(
    network: &Network,
    parameters: &Parameters,
    size: (usize, usize),
    full: &BTreeSet<String>,
) -> Result<Vec<u8>, String> {
    let mut graph = begin(network, size);
    let mut values = Values::default();
    let mut input = normalised(&mut graph).to_owned();
    values.kinds.insert(input.clone(), DataType::Float);
    for layer in &network.layers {
        let kind = match layer.op {
            Op::Sigmoid => DataType::Float,
            _ if full.contains(&layer.name) => DataType::Float,
            _ => DataType::Float16,
        };
        let mut inputs = vec![values.of(&mut graph, &input, kind)];
        if let Op::Concat { with } = &layer.op {
            inputs.push(values.of(&mut graph, with, kind));
        }
        for (name, _) in layer.parameters() {
            let tensor = parameters.get(&name).ok_or(&name)?;
            graph.initializer.push(initializer(&name, tensor, kind));
            inputs.push(name);
        }
        graph.node.push(layer_node(layer, &inputs)?);
        values.kinds.insert(layer.name.clone(), kind);
        input.clone_from(&layer.name);
    }
    to_bytes(&mut graph, &input);
    Ok(file(graph, OPSET, vec![]))
}

/// The type of each value, and which were cast to the other.
#[derive(Default)]
struct Values {
    kinds: BTreeMap<String, DataType>,
    cast: BTreeSet<String>,
}

impl Values {
    /// The name of `value` as `kind`.
    fn of(&mut self, graph: &mut GraphProto, value: &str, kind: DataType) -> String {
        if self.kinds.get(value) == Some(&kind) {
            return value.to_owned();
        }
        let name = format!("{value}.{}", if kind == DataType::Float { "float" } else { "half" });
        if self.cast.insert(name.clone()) {
            graph.node.push(node("Cast", &[value], &name, vec![int("to", kind as i64)]));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::random;

    #[test]
    fn values_that_may_overflow_stay_in_32_bits_on_both_sides() {
        let network = Network::vgg16_fcn(0.0625);
        let mut parameters = random(&network).parameters;
        let mut largest: BTreeMap<String, f64> =
            network.layers.iter().map(|layer| (layer.name.clone(), 10.0)).collect();
        assert!(at_risk(&network, &parameters, &largest).is_empty());
        largest.insert("conv4_2".into(), LARGEST / MARGIN * 1.01);
        let names = |parameters: &Parameters, largest: &BTreeMap<String, f64>| {
            at_risk(&network, parameters, largest).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(names(&parameters, &largest), ["conv4_2", "relu4_2"]);
        // A skip hands its values on.
        largest.insert("conv4_2".into(), 10.0);
        largest.insert("pool4".into(), f64::NAN);
        assert_eq!(names(&parameters, &largest), ["conv5_1", "pool4", "skip4"]);
        largest.insert("pool4".into(), 10.0);
        let weight = parameters["conv2_1.weight"].copy();
        let _ = weight.get(0).get(0).get(0).get(0).fill_(1e5);
        parameters.insert("conv2_1.weight".into(), weight);
        assert_eq!(names(&parameters, &largest), ["conv2_1"]);
    }
}
