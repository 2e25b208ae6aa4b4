//! The ONNX graph in 32 bits, from bytes to bytes, out of the network's description and parameters.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use nervelight_engines::contract::{INPUT, OUTPUT};
use prost::Message;
use tch::{Kind, Tensor};

use crate::net::Parameters;
use crate::net::fuse;
use crate::net::{Layer, Network, Op};
use crate::util::onnx_schema::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::weights::checkpoint::bytes;

/// ONNX 1.12: what ONNX Runtime 1.17 and TensorRT 10.3 read.
const IR_VERSION: i64 = 8;
pub(super) const OPSET: i64 = 17;

/// What the graph gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// The map, as the model contract says.
    Map,
    /// The map and every layer's output, 32-bit, under the layer's name.
    Layers,
}

/// The model file of `network` for crops of `height` x `width`, batch normalisation fused into the
/// convolutions. Returns the name of a parameter that is absent.
pub fn model(
    network: &Network,
    parameters: &Parameters,
    (height, width): (usize, usize),
    outputs: Outputs,
) -> Result<Vec<u8>, String> {
    let metadata_props = notes(network, parameters)?;
    let (network, parameters) = &fuse(network, parameters)?;
    let mut graph = begin(network, (height, width));
    let mut input = normalised(&mut graph);
    for (layer, shape) in network.layers.iter().zip(network.shapes(height, width)) {
        let name = layer.name.as_str();
        let mut inputs = vec![input.to_owned()];
        if let Op::Concat { with } = &layer.op {
            inputs.push(with.clone());
        }
        for (parameter, _) in layer.parameters() {
            graph.initializer.push(constant(&parameter, parameters)?);
            inputs.push(parameter);
        }
        graph.node.push(layer_node(layer, &inputs)?);
        if outputs == Outputs::Layers {
            graph.output.push(value(name, DataType::Float, shape));
        }
        input = name;
    }

    to_bytes(&mut graph, input);
    Ok(file(graph, OPSET, metadata_props))
}

/// A graph without nodes, from bytes to bytes.
pub(super) fn begin(network: &Network, (height, width): (usize, usize)) -> GraphProto {
    let mut graph = GraphProto { name: network.name.into(), ..Default::default() };
    graph.input.push(value(INPUT, DataType::Uint8, [1, height, width]));
    graph.output.push(value(OUTPUT, DataType::Uint8, [1, height, width]));
    graph
}

/// Adds `x / 127.5 - 1` and returns the name of its result.
pub(super) fn normalised(graph: &mut GraphProto) -> &'static str {
    scalar(graph, "half_range", 127.5);
    scalar(graph, "one", 1.0);
    graph.node.push(node("Cast", &[INPUT], "frame_float", vec![int("to", DataType::Float as i64)]));
    graph.node.push(node("Div", &["frame_float", "half_range"], "frame_scaled", vec![]));
    graph.node.push(node("Sub", &["frame_scaled", "one"], "frame_centred", vec![]));
    "frame_centred"
}

/// Adds what makes bytes of the 32-bit probabilities called `input`.
pub(super) fn to_bytes(graph: &mut GraphProto, input: &str) {
    // ONNX rounds halves to even, as libtorch does.
    scalar(graph, "range", 255.0);
    graph.node.push(node("Mul", &[input, "range"], "nerve_scaled", vec![]));
    graph.node.push(node("Round", &["nerve_scaled"], "nerve_rounded", vec![]));
    graph.node.push(node("Cast", &["nerve_rounded"], OUTPUT, vec![int("to", DataType::Uint8 as i64)]));
}

/// The bytes of a model file.
pub(super) fn file(graph: GraphProto, opset: i64, metadata_props: Vec<StringStringEntryProto>) -> Vec<u8> {
    let model = ModelProto {
        ir_version: if opset < 19 { IR_VERSION } else { IR_VERSION + 1 },
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        metadata_props,
    };
    model.encode_to_vec()
}

/// Weight and bias of every batch normalisation as text, so that training can go on from the file.
fn notes(network: &Network, parameters: &Parameters) -> Result<Vec<StringStringEntryProto>, String> {
    let norms = network.layers.iter().filter(|l| matches!(l.op, Op::BatchNorm { .. }));
    let names = norms.flat_map(|l| ["weight", "bias"].map(|part| format!("{}.{part}", l.name)));
    let note = |key: String| {
        let value = BASE64_STANDARD.encode(bytes(parameters.get(&key).ok_or(&key)?));
        Ok(StringStringEntryProto { key, value })
    };
    names.map(note).collect()
}

pub(super) fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: output.into(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        attribute,
    }
}

/// The node of a layer; `inputs` are its input, for a concatenation the other one, weight and bias. Batch
/// normalisation is fused away before.
pub(super) fn layer_node(layer: &Layer, inputs: &[String]) -> Result<NodeProto, String> {
    let (op, attributes) = match &layer.op {
        Op::Conv { kernel, padding, .. } => ("Conv", window(*kernel, 1, *padding)),
        Op::Deconv { kernel, stride, padding, .. } => ("ConvTranspose", window(*kernel, *stride, *padding)),
        Op::Relu => ("Relu", vec![]),
        Op::MaxPool => ("MaxPool", window(2, 2, 0)),
        Op::Concat { .. } => ("Concat", vec![int("axis", 1)]),
        Op::Sigmoid => ("Sigmoid", vec![]),
        Op::BatchNorm { .. } => return Err(format!("{}, fused", layer.name)),
    };
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    Ok(node(op, &inputs, &layer.name, attributes))
}

pub(super) fn window(kernel: usize, stride: usize, padding: usize) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", vec![kernel as i64; 2]),
        ints("strides", vec![stride as i64; 2]),
        ints("pads", vec![padding as i64; 4]),
    ]
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(value), ints: vec![], r#type: AttributeType::Int.into() }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), i: None, ints, r#type: AttributeType::Ints.into() }
}

pub(super) fn scalar(graph: &mut GraphProto, name: &str, value: f32) {
    graph.initializer.push(TensorProto {
        dims: vec![],
        data_type: DataType::Float.into(),
        name: name.into(),
        raw_data: value.to_le_bytes().into(),
    });
}

fn constant(name: &str, parameters: &Parameters) -> Result<TensorProto, String> {
    Ok(initializer(name, parameters.get(name).ok_or(name)?, DataType::Float))
}

/// The values of `tensor`, which `kind` can hold, as a constant.
pub(super) fn initializer(name: &str, tensor: &Tensor, kind: DataType) -> TensorProto {
    let contents = match kind {
        DataType::Float | DataType::Undefined => bytes(tensor),
        DataType::Float16 => raw(&tensor.to_kind(Kind::Half).view_dtype(Kind::Int16), i16::to_le_bytes),
        DataType::Int32 => raw(&tensor.to_kind(Kind::Int), i32::to_le_bytes),
        DataType::Int8 => raw(&tensor.to_kind(Kind::Int8), i8::to_le_bytes),
        DataType::Uint8 => raw(&tensor.to_kind(Kind::Uint8), u8::to_le_bytes),
    };
    TensorProto { dims: tensor.size(), data_type: kind.into(), name: name.into(), raw_data: contents }
}

fn raw<T: tch::kind::Element + Default + Copy, const N: usize>(
    tensor: &Tensor,
    bytes: fn(T) -> [u8; N],
) -> Vec<u8> {
    let flat = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    let mut values = vec![T::default(); flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    values.into_iter().flat_map(bytes).collect()
}

/// A value of shape `[1, C, H, W]`.
fn value(name: &str, element: DataType, [c, h, w]: [usize; 3]) -> ValueInfoProto {
    let size = |n: usize| Dimension { value: Some(DimensionValue::Size(n as i64)) };
    let shape = TensorShapeProto { dim: [1, c, h, w].map(size).into() };
    let tensor_type = TensorTypeProto { elem_type: element.into(), shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
