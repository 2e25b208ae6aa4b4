//! Writes the few ONNX graphs that tests run: protobuf's bytes, by the field numbers of
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

/// Type of an element: 32-bit float.
pub const FLOAT: i64 = 1;
/// 8-bit, unsigned.
pub const UINT8: i64 = 2;
/// 64-bit integer.
pub const INT64: i64 = 7;
/// Truth.
const BOOL: i64 = 9;
/// Shape of crop and map.
const SHAPE: [i64; 4] = [1, 1, nervelight_engines::HEIGHT as i64, nervelight_engines::WIDTH as i64];

/// A graph from `frame` to `nerve`.
#[derive(Default)]
pub struct Model {
    nodes: Vec<Vec<u8>>,
    constants: Vec<Vec<u8>>,
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: i64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value as u64, out);
}

fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend(value);
}

/// An attribute that is a whole number.
pub fn int(name: &str, value: i64) -> Vec<u8> {
    let mut out = vec![];
    bytes(1, name.as_bytes(), &mut out);
    number(3, value, &mut out);
    number(20, 2, &mut out);
    out
}

/// An attribute that is several.
pub fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let mut out = vec![];
    bytes(1, name.as_bytes(), &mut out);
    values.iter().for_each(|value| number(8, *value, &mut out));
    number(20, 7, &mut out);
    out
}

fn tensor(name: &str, kind: i64, dims: &[i64], raw: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    dims.iter().for_each(|dim| number(1, *dim, &mut out));
    number(2, kind, &mut out);
    bytes(8, name.as_bytes(), &mut out);
    bytes(9, raw, &mut out);
    out
}

fn value(name: &str, kind: i64, dims: &[i64]) -> Vec<u8> {
    let (mut shape, mut kind_and_shape, mut of, mut out) = (vec![], vec![], vec![], vec![]);
    for dim in dims {
        let mut size = vec![];
        number(1, *dim, &mut size);
        bytes(1, &size, &mut shape);
    }
    number(1, kind, &mut kind_and_shape);
    bytes(2, &shape, &mut kind_and_shape);
    bytes(1, &kind_and_shape, &mut of);
    bytes(1, name.as_bytes(), &mut out);
    bytes(2, &of, &mut out);
    out
}

fn node(kind: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![];
    inputs.iter().for_each(|input| bytes(1, input.as_bytes(), &mut out));
    outputs.iter().for_each(|output| bytes(2, output.as_bytes(), &mut out));
    bytes(4, kind.as_bytes(), &mut out);
    attributes.iter().for_each(|attribute| bytes(5, attribute, &mut out));
    out
}

fn graph(nodes: &[Vec<u8>], constants: &[Vec<u8>], inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![];
    nodes.iter().for_each(|node| bytes(1, node, &mut out));
    bytes(2, b"graph", &mut out);
    constants.iter().for_each(|constant| bytes(5, constant, &mut out));
    inputs.iter().for_each(|input| bytes(11, input, &mut out));
    outputs.iter().for_each(|output| bytes(12, output, &mut out));
    out
}

impl Model {
    /// An operator with one output.
    pub fn node(&mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) {
        self.nodes.push(node(kind, inputs, &[output], attributes));
    }

    /// A number.
    pub fn constant(&mut self, name: &str, value: f32) {
        self.constants.push(tensor(name, FLOAT, &[], &value.to_le_bytes()));
    }

    /// Several.
    pub fn vector(&mut self, name: &str, values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constants.push(tensor(name, FLOAT, &[values.len() as i64], &raw));
    }

    /// A whole number.
    pub fn whole(&mut self, name: &str, value: i64) {
        self.constants.push(tensor(name, INT64, &[], &value.to_le_bytes()));
    }

    /// A loop that counts up from `first` for so many `times`.
    pub fn counting_loop(&mut self, times: &str, first: &str, output: &str) {
        let nodes = [
            node("Identity", &["going"], &["goes_on"], &[]),
            node("Add", &["counter", "step"], &["counter_after"], &[]),
        ];
        let step = tensor("step", FLOAT, &[], &1f32.to_le_bytes());
        let inputs = [value("round", INT64, &[]), value("going", BOOL, &[]), value("counter", FLOAT, &[])];
        let outputs = [value("goes_on", BOOL, &[]), value("counter_after", FLOAT, &[])];
        let mut body = vec![];
        bytes(1, b"body", &mut body);
        bytes(6, &graph(&nodes, &[step], &inputs, &outputs), &mut body);
        number(20, 5, &mut body);
        self.constants.push(tensor("always", BOOL, &[], &[1]));
        self.nodes.push(node("Loop", &[times, "always", first], &[output], &[body]));
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let (input, output) = (value("frame", UINT8, &SHAPE), value("nerve", UINT8, &SHAPE));
        let graph = graph(&self.nodes, &self.constants, &[input], &[output]);
        let (mut opset, mut out) = (vec![], vec![]);
        number(2, 17, &mut opset);
        number(1, 8, &mut out);
        bytes(2, b"nervelight-tests", &mut out);
        bytes(7, &graph, &mut out);
        bytes(8, &opset, &mut out);
        out
    }
}
