//! The network in 8-bit integers, written with QuantizeLinear and DequantizeLinear around floating-point
//! operators, from which runtimes make integer ones.

use std::collections::{BTreeMap, BTreeSet};

use nervelight_engines::contract::INPUT;
use tch::{Device, Kind, Tensor};

use super::deconv::{Phases, phases};
use super::graph::{OPSET, begin, file, initializer, int, node, normalised, to_bytes, window};
use super::scales::{LEAST, channels, rounded};
use crate::net::Parameters;
use crate::net::{Layer, Network, Op};
use crate::util::onnx_schema::{DataType, GraphProto};

/// The first operator set whose scales may be of half precision; TensorRT 10.3 reads it.
const HALF_OPSET: i64 = 19;

/// What a runtime makes integer operators from.
#[derive(Debug, Clone, PartialEq)]
pub enum Style {
    /// ONNX Runtime on x86: unsigned activations from the bytes of the frame on, 32-bit biases.
    Cpu,
    /// TensorRT: zero points 0, biases not quantised, half precision around, but 32 bits for the layers
    /// named; the first convolution is not quantised. The scale is shared over a concatenation.
    TensorRt {
        /// Layers that half precision cannot hold.
        full: BTreeSet<String>,
    },
}

impl Style {
    /// Levels that the absolute value of an activation has.
    pub fn levels(&self, signed: bool) -> usize {
        if signed || *self != Self::Cpu { 127 } else { 255 }
    }

    /// The same integers with 32 bits around them throughout, which a CPU computes many times as fast as
    /// half precision.
    pub fn on_cpu(&self, network: &Network) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::TensorRt { .. } => {
                Self::TensorRt { full: network.layers.iter().map(|layer| layer.name.clone()).collect() }
            }
        }
    }

    /// Whether the inputs of a concatenation have its scale.
    pub fn shares(&self) -> bool {
        *self != Self::Cpu
    }
}

/// The model file of `network`, which is without batch normalisation. `thresholds` holds for each layer
/// the absolute value at which its output is cut. Returns the name of a parameter or threshold that is
/// absent.
///
/// Weights are symmetric with a scale for each output channel. The logits are not quantised.
pub fn int8(
    network: &Network,
    parameters: &Parameters,
    size: (usize, usize),
    thresholds: &BTreeMap<String, f64>,
    style: &Style,
) -> Result<Vec<u8>, String> {
    let graph = begin(network, size);
    let mut writer = Writer { graph, style, thresholds, values: BTreeMap::new(), made: BTreeSet::new() };
    let mut input = writer.first(size);
    let mut layers = network.layers.iter().peekable();
    while let Some(layer) = layers.next() {
        let next = layers.peek().map(|next| &next.op);
        let get = |part: &str| {
            let name = format!("{}.{part}", layer.name);
            parameters.get(&name).map(|p| p.detach().to_device(Device::Cpu)).ok_or(name)
        };
        match &layer.op {
            Op::Conv { padding, kernel, .. } => {
                let last = next == Some(&Op::Sigmoid);
                let convolution = Convolution {
                    name: &layer.name,
                    weight: get("weight")?,
                    bias: get("bias")?,
                    kernel: *kernel,
                    padding: *padding,
                };
                let sum = writer.convolution(&input, &convolution, last)?;
                // Cut at 0 by the quantisation to unsigned, in the other style by a node of its own.
                let relu = layers.next_if(|next| next.op == Op::Relu);
                input = match relu {
                    _ if last => sum,
                    Some(relu) => writer.relu(&sum, &relu.name)?,
                    None => writer.quantise(&sum, &layer.name, true)?,
                };
            }
            Op::Deconv { stride, padding, .. } => {
                let last = next == Some(&Op::Sigmoid);
                let Phases { weight, bias, kernel } =
                    phases(&get("weight")?, &get("bias")?, *stride, *padding);
                let name = format!("{}.phases", layer.name);
                let convolution = Convolution { name: &name, weight, bias, kernel, padding: kernel / 2 };
                let sum = writer.convolution(&input, &convolution, last)?;
                input = writer.spread(&sum, layer, *stride, last)?;
            }
            Op::MaxPool => input = writer.pool(&input, layer)?,
            Op::Concat { with } => input = writer.concat([&input, with], layer)?,
            Op::Sigmoid => {
                let full = writer.cast(&input, DataType::Float);
                writer.graph.node.push(node("Sigmoid", &[&full], &layer.name, vec![]));
                input.clone_from(&layer.name);
            }
            Op::Relu | Op::BatchNorm { .. } => return Err(format!("convolution before {}", layer.name)),
        }
    }
    to_bytes(&mut writer.graph, &input);
    let opset = if *style == Style::Cpu { OPSET } else { HALF_OPSET };
    Ok(file(writer.graph, opset, vec![]))
}

/// A convolution with stride 1.
struct Convolution<'a> {
    name: &'a str,
    weight: Tensor,
    bias: Tensor,
    kernel: usize,
    padding: usize,
}

/// How integers stand for numbers: `scale (q - zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Code {
    scale: f64,
    zero: i64,
}

/// What a named value is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    /// Numbers of this type.
    Float(DataType),
    /// 8-bit integers.
    Integer(Code),
}

struct Writer<'a> {
    graph: GraphProto,
    style: &'a Style,
    thresholds: &'a BTreeMap<String, f64>,
    values: BTreeMap<String, Value>,
    /// Names of casts and dequantised values.
    made: BTreeSet<String>,
}

impl Writer<'_> {
    /// The input of the first convolution.
    fn first(&mut self, (height, width): (usize, usize)) -> String {
        if *self.style != Style::Cpu {
            let name = normalised(&mut self.graph).to_owned();
            self.values.insert(name.clone(), Value::Float(DataType::Float));
            return name;
        }
        // Byte 127.5 is 0, and no zero point is 127.5. So 127 is taken for 0, and a second channel shows,
        // by its 1 in the frame and 0 in the border around it, where half a byte is too much.
        let shape = [1, 1, height as i64, width as i64];
        let inside = Tensor::full(shape, 128, (Kind::Uint8, Device::Cpu));
        self.graph.initializer.push(initializer("frame.inside", &inside, DataType::Uint8));
        let both = node("Concat", &[INPUT, "frame.inside"], "frame.both", vec![int("axis", 1)]);
        self.graph.node.push(both);
        let code = Code { scale: 1.0 / 127.5, zero: 127 };
        self.values.insert("frame.both".into(), Value::Integer(code));
        "frame.both".into()
    }

    /// The type that layer `name` computes in around its integers.
    fn kind(&self, name: &str) -> DataType {
        match self.style {
            Style::TensorRt { full } if !full.contains(name.trim_end_matches(".phases")) => DataType::Float16,
            _ => DataType::Float,
        }
    }

    fn constant(&mut self, name: &str, tensor: &Tensor, kind: DataType) {
        self.graph.initializer.push(initializer(name, tensor, kind));
    }

    /// Adds the convolution of `input` and returns the name of its sums, numbers. The weights of the
    /// `last` one are not quantised on a CPU, where it is next to no work.
    fn convolution(&mut self, input: &str, convolution: &Convolution, last: bool) -> Result<String, String> {
        let Convolution { name, weight, bias, kernel, padding } = convolution;
        let kind = self.kind(name);
        let value = *self.values.get(input).ok_or(input)?;
        let x = self.number(input, kind)?;
        let (w, b) = (format!("{name}.weight"), format!("{name}.bias"));
        match (value, self.style) {
            (Value::Integer(code), Style::Cpu) if !last => {
                // A bias must fit 31 bits, beside no weights to speak of too.
                let least = bias.to_kind(Kind::Double).abs() / (code.scale * f64::from(1 << 30));
                let (mut integers, scales) = channels(weight, DataType::Float, &least);
                let unit = &scales * code.scale;
                let mut bias = bias.to_kind(Kind::Double) / &unit;
                if input == "frame.both" {
                    let over = |t: &Tensor| t.sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Double);
                    let half = (&integers * -0.5).round();
                    // What rounding the half away changes is the same everywhere in the frame.
                    bias = bias - over(&integers) * 0.5 - over(&half);
                    integers = Tensor::cat(&[integers, half], 1);
                }
                self.dequantised(&w, &integers, DataType::Int8, &scales, kind);
                self.dequantised(&b, &bias.round(), DataType::Int32, &unit, kind);
            }
            (Value::Integer(_), Style::TensorRt { .. }) => {
                let (integers, scales) = channels(weight, kind, &bias.zeros_like());
                self.dequantised(&w, &integers, DataType::Int8, &scales, kind);
                self.constant(&b, bias, kind);
            }
            _ => {
                self.constant(&w, weight, kind);
                self.constant(&b, bias, kind);
            }
        }
        let sum = format!("{name}.sum");
        let attributes = window(*kernel, 1, *padding);
        self.graph.node.push(node("Conv", &[&x, &w, &b], &sum, attributes));
        self.values.insert(sum.clone(), Value::Float(kind));
        Ok(sum)
    }

    /// Constant integers, and their numbers under `name`; one scale for each entry of axis 0.
    fn dequantised(
        &mut self,
        name: &str,
        integers: &Tensor,
        stored: DataType,
        scales: &Tensor,
        kind: DataType,
    ) {
        let [q, s, z] = ["integers", "scale", "zero"].map(|part| format!("{name}.{part}"));
        self.constant(&q, integers, stored);
        self.constant(&s, scales, kind);
        self.constant(&z, &scales.zeros_like(), stored);
        self.graph.node.push(node("DequantizeLinear", &[&q, &s, &z], name, vec![int("axis", 0)]));
    }

    fn relu(&mut self, sum: &str, name: &str) -> Result<String, String> {
        if *self.style == Style::Cpu {
            return self.quantise(sum, name, false);
        }
        let positive = format!("{name}.float");
        self.graph.node.push(node("Relu", &[sum], &positive, vec![]));
        let value = *self.values.get(sum).ok_or(sum)?;
        self.values.insert(positive.clone(), value);
        self.quantise(&positive, name, false)
    }

    /// Makes integers called `name` of the numbers `from`, cut at the threshold of layer `name`.
    fn quantise(&mut self, from: &str, name: &str, signed: bool) -> Result<String, String> {
        let threshold = *self.thresholds.get(name).ok_or(name)?;
        let Some(Value::Float(kind)) = self.values.get(from).copied() else { return Err(from.into()) };
        // A layer that is 0 throughout needs a scale too.
        let scale = (threshold / self.style.levels(signed) as f64).max(LEAST);
        // The same in half precision as in 32 bits.
        let kind_of_scale = if *self.style == Style::Cpu { DataType::Float } else { DataType::Float16 };
        let zero = if signed && *self.style == Style::Cpu { 128 } else { 0 };
        let code = Code { scale: rounded(scale, kind_of_scale), zero };
        let [s, z] = self.code(code, kind);
        self.graph.node.push(node("QuantizeLinear", &[from, &s, &z], name, vec![]));
        self.values.insert(name.into(), Value::Integer(code));
        Ok(name.into())
    }

    /// Names of a scale of type `kind` and a zero point.
    fn code(&mut self, Code { scale, zero }: Code, kind: DataType) -> [String; 2] {
        let stored = if *self.style == Style::Cpu { DataType::Uint8 } else { DataType::Int8 };
        let size = if kind == DataType::Float16 { "half" } else { "float" };
        let names = [format!("scale.{scale:e}.{size}"), format!("zero.{zero}")];
        let contents = [(Tensor::from(scale), kind), (Tensor::from(zero), stored)];
        for (name, (tensor, kind)) in names.iter().zip(contents) {
            if self.made.insert(name.clone()) {
                self.constant(name, &tensor, kind);
            }
        }
        names
    }

    /// The name of `value` as numbers of type `kind`.
    fn number(&mut self, value: &str, kind: DataType) -> Result<String, String> {
        let code = match self.values.get(value).ok_or(value)? {
            Value::Float(_) => return Ok(self.cast(value, kind)),
            Value::Integer(code) => *code,
        };
        let size = if kind == DataType::Float16 { "half" } else { "float" };
        let name = format!("{value}.as_{size}");
        if self.made.insert(name.clone()) {
            let [s, z] = self.code(code, kind);
            self.graph.node.push(node("DequantizeLinear", &[value, &s, &z], &name, vec![]));
            self.values.insert(name.clone(), Value::Float(kind));
        }
        Ok(name)
    }

    /// The name of the numbers `value` in type `kind`.
    fn cast(&mut self, value: &str, kind: DataType) -> String {
        if self.values.get(value) == Some(&Value::Float(kind)) {
            return value.to_owned();
        }
        let name = format!("{value}.cast");
        if self.made.insert(name.clone()) {
            self.graph.node.push(node("Cast", &[value], &name, vec![int("to", kind as i64)]));
            self.values.insert(name.clone(), Value::Float(kind));
        }
        name
    }

    /// Phases side by side. The cart's CPU moves integers; TensorRT chooses by itself.
    fn spread(&mut self, sum: &str, layer: &Layer, stride: usize, last: bool) -> Result<String, String> {
        let blocks = vec![int("blocksize", stride as i64)];
        let name = &layer.name;
        if *self.style == Style::Cpu && !last {
            let near = format!("{name}.near");
            self.quantise_as(sum, &near, name)?;
            self.graph.node.push(node("DepthToSpace", &[&near], name, blocks));
            let value = *self.values.get(&near).ok_or(&near)?;
            self.values.insert(name.clone(), value);
            return Ok(name.clone());
        }
        let wide = format!("{name}.wide");
        self.graph.node.push(node("DepthToSpace", &[sum], &wide, blocks));
        let value = *self.values.get(sum).ok_or(sum)?;
        self.values.insert(wide.clone(), value);
        if last { Ok(wide) } else { self.quantise(&wide, name, true) }
    }

    /// Signed integers called `to` with the threshold of layer `name`.
    fn quantise_as(&mut self, from: &str, to: &str, name: &str) -> Result<(), String> {
        self.quantise(from, name, true)?;
        // The node's output under the other name.
        if let Some(node) = self.graph.node.last_mut() {
            (node.output, node.name) = (vec![to.into()], to.into());
        }
        if let Some(value) = self.values.remove(name) {
            self.values.insert(to.into(), value);
        }
        Ok(())
    }

    /// The largest of integers is the integer of the largest.
    fn pool(&mut self, input: &str, layer: &Layer) -> Result<String, String> {
        let name = &layer.name;
        if *self.style == Style::Cpu {
            self.graph.node.push(node("MaxPool", &[input], name, window(2, 2, 0)));
            let value = *self.values.get(input).ok_or(input)?;
            self.values.insert(name.clone(), value);
            return Ok(name.clone());
        }
        let kind = self.kind(name);
        let x = self.number(input, kind)?;
        let pooled = format!("{name}.float");
        self.graph.node.push(node("MaxPool", &[&x], &pooled, window(2, 2, 0)));
        self.values.insert(pooled.clone(), Value::Float(kind));
        self.quantise(&pooled, name, false)
    }

    fn concat(&mut self, inputs: [&str; 2], layer: &Layer) -> Result<String, String> {
        let kind = self.kind(&layer.name);
        let [a, b] = [self.number(inputs[0], kind)?, self.number(inputs[1], kind)?];
        let both = format!("{}.float", layer.name);
        self.graph.node.push(node("Concat", &[&a, &b], &both, vec![int("axis", 1)]));
        self.values.insert(both.clone(), Value::Float(kind));
        self.quantise(&both, &layer.name, true)
    }
}
