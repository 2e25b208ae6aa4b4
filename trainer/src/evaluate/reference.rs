//! What a model file of this trainer says, computed by libtorch node by node in 32 bits: the same scales and the same
//! rounding as in the file, whatever a runtime's kernels make of it. A runtime that differs clearly computes wrong.
//!
//! Operators: <https://onnx.ai/onnx/operators/>.

use std::collections::BTreeMap;

use nervelight_engines::contract::{INPUT, OUTPUT, Plane, SHAPE};
use nervelight_engines::{Engine, EngineError, EngineInfo};
use prost::Message;
use tch::{Kind, Tensor};

use crate::util::onnx_schema::{DataType, ModelProto, NodeProto, TensorProto};

/// A model file, ready to compute. Half precision is kept as such between nodes; sums are of 32 bits.
pub struct Reference {
    nodes: Vec<NodeProto>,
    constants: BTreeMap<String, Tensor>,
    info: EngineInfo,
}

impl Reference {
    /// Of the model file `bytes`; `info` describes it as an [`Engine`].
    ///
    /// # Errors
    /// When it has an operator or a type that this trainer does not write.
    pub fn read(bytes: &[u8], info: EngineInfo) -> Result<Self, String> {
        let model = ModelProto::decode(bytes).map_err(|e| e.to_string())?;
        let graph = model.graph.ok_or("it has no graph")?;
        let constants = graph.initializer.iter().map(|c| Ok((c.name.clone(), constant(c)?)));
        let constants = constants.collect::<Result<_, String>>()?;
        if let Some(strange) = graph.node.iter().find(|node| !OPERATORS.contains(&node.op_type.as_str())) {
            return Err(format!("`{}` is no operator of this trainer", strange.op_type));
        }
        Ok(Self { nodes: graph.node, constants, info })
    }

    fn compute(&self, crop: &Plane) -> Result<Vec<u8>, String> {
        let frame = Tensor::from_slice(&crop[..]).view(SHAPE);
        let mut values = BTreeMap::from([(INPUT.to_owned(), frame)]);
        // The last node that reads each value: a wide network's are not all held at once.
        let last: BTreeMap<&str, usize> =
            (0..).zip(&self.nodes).fold(BTreeMap::new(), |mut last, (i, node)| {
                last.extend(node.input.iter().map(|name| (name.as_str(), i)));
                last
            });
        for (i, node) in self.nodes.iter().enumerate() {
            let output = {
                let inputs = node.input.iter().map(|name| {
                    values.get(name).or_else(|| self.constants.get(name)).ok_or_else(|| name.clone())
                });
                let inputs = inputs.collect::<Result<Vec<&Tensor>, _>>();
                apply(node, &inputs.map_err(|name| format!("nothing gives `{name}`"))?)?
            };
            values.retain(|name, _| last.get(name.as_str()).is_some_and(|last| *last > i));
            values.insert(node.output.first().ok_or("a node without output")?.clone(), output);
        }
        let map = values.get(OUTPUT).ok_or_else(|| format!("nothing gives `{OUTPUT}`"))?;
        Vec::try_from(map.flatten(0, -1)).map_err(|e: tch::TchError| e.to_string())
    }
}

impl Engine for Reference {
    fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError> {
        let found = tch::no_grad(|| self.compute(crop)).map_err(EngineError::Infer)?;
        if found.len() != map.len() {
            return Err(EngineError::Infer(format!("the map has {} pixels", found.len())));
        }
        map.copy_from_slice(&found);
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

const OPERATORS: [&str; 14] = [
    "Cast",
    "Div",
    "Sub",
    "Mul",
    "Round",
    "Conv",
    "ConvTranspose",
    "Relu",
    "MaxPool",
    "Concat",
    "Sigmoid",
    "QuantizeLinear",
    "DequantizeLinear",
    "DepthToSpace",
];

fn constant(constant: &TensorProto) -> Result<Tensor, String> {
    let kind = kind(i64::from(constant.data_type)).ok_or_else(|| format!("`{}`: its type", constant.name))?;
    Tensor::f_from_data_size(&constant.raw_data, &constant.dims, kind)
        .map_err(|e| format!("`{}`: {e}", constant.name))
}

fn kind(data_type: i64) -> Option<Kind> {
    Some(match DataType::try_from(i32::try_from(data_type).ok()?).ok()? {
        DataType::Float => Kind::Float,
        DataType::Float16 => Kind::Half,
        DataType::Int32 => Kind::Int,
        DataType::Int8 => Kind::Int8,
        DataType::Uint8 => Kind::Uint8,
        DataType::Undefined => return None,
    })
}

fn apply(node: &NodeProto, inputs: &[&Tensor]) -> Result<Tensor, String> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let int =
        |name: &str| attribute(name).and_then(|a| a.i).ok_or_else(|| format!("{}: no {name}", node.name));
    let window = |name: &str| attribute(name).and_then(|a| a.ints.first().copied()).unwrap_or(0);
    let (stride, padding) = (window("strides").max(1), window("pads"));
    let [x, rest @ ..] = inputs else { return Err(format!("{} reads nothing", node.name)) };
    let get = |i: usize| rest.get(i).copied().ok_or_else(|| format!("{} lacks an input", node.name));
    // In 32 bits, and back to the type of the input.
    let full = |x: &Tensor| x.to_kind(Kind::Float);
    let back = |y: Tensor| y.to_kind(x.kind());
    Ok(match node.op_type.as_str() {
        "Cast" => {
            let to = kind(int("to")?).ok_or_else(|| format!("{}: its type", node.name))?;
            x.to_kind(to)
        }
        "Div" => *x / get(0)?,
        "Sub" => *x - get(0)?,
        "Mul" => *x * get(0)?,
        "Round" => x.round(),
        "Conv" => back(full(x).conv2d(&full(get(0)?), Some(full(get(1)?)), stride, padding, 1, 1)),
        "ConvTranspose" => {
            back(full(x).conv_transpose2d(&full(get(0)?), Some(full(get(1)?)), stride, padding, 0, 1, 1))
        }
        "Relu" => x.relu(),
        "MaxPool" => back(full(x).max_pool2d(2, stride, padding, 1, false)),
        "Concat" => Tensor::cat(inputs, int("axis")?),
        "Sigmoid" => x.sigmoid(),
        // What is halfway between two integers goes to the even one, as libtorch rounds too.
        "QuantizeLinear" => {
            let zero = get(1)?;
            let (low, high) = if zero.kind() == Kind::Uint8 { (0, 255) } else { (-128, 127) };
            ((full(x) / full(get(0)?)).round() + full(zero)).clamp(low, high).to_kind(zero.kind())
        }
        "DequantizeLinear" => {
            let (scale, zero) = (get(0)?, get(1)?);
            // A scale for each entry of axis 0.
            let shape: Vec<i64> = (0..x.dim()).map(|d| if d == 0 { -1 } else { 1 }).collect();
            let along = |t: &Tensor| if t.numel() > 1 { full(t).view(shape.as_slice()) } else { full(t) };
            // Integers of 32 bits do not fit a float.
            let whole = x.to_kind(Kind::Double) - along(zero).to_kind(Kind::Double);
            (whole * along(scale)).to_kind(scale.kind())
        }
        "DepthToSpace" => {
            let (block, size) = (int("blocksize")?, x.size());
            let [n, c, h, w] = size[..] else { return Err(format!("{}: its input's shape", node.name)) };
            // Mode DCR.
            let channels = c / (block * block);
            x.view([n, block, block, channels, h, w]).permute([0, 3, 4, 1, 5, 2]).reshape([
                n,
                channels,
                h * block,
                w * block,
            ])
        }
        other => return Err(format!("`{other}` is no operator of this trainer")),
    })
}
