//! ONNX files that refer to other files: a tensor's data may lie anywhere on the disk, in no digest.
//!
//! Just the messages in which a tensor can be, with the field numbers of
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

use prost::Message;

/// Refuses a model file with external data.
///
/// # Errors
/// What is wrong with it.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let model = Model::decode(bytes).map_err(|e| format!("is no ONNX file: {e}"))?;
    let mut graphs: Vec<Graph> = model.graph.into_iter().collect();
    for training in model.training {
        graphs.extend(training.initialization.into_iter().chain(training.algorithm));
    }
    for Function { mut node, attribute } in model.function {
        // Defaults of a function's attributes hold tensors as a node's attributes do.
        node.push(Node { attribute });
        graphs.push(Graph { node, ..Graph::default() });
    }
    while let Some(graph) = graphs.pop() {
        let mut tensors = graph.initializer;
        let mut sparse = graph.sparse_initializer;
        for attribute in graph.node.into_iter().flat_map(|node| node.attribute) {
            tensors.extend(attribute.t.into_iter().chain(attribute.tensors));
            graphs.extend(attribute.g.into_iter().chain(attribute.graphs));
            sparse.extend(attribute.sparse_tensor.into_iter().chain(attribute.sparse_tensors));
        }
        tensors.extend(sparse.into_iter().flat_map(|s| s.values.into_iter().chain(s.indices)));
        if tensors.iter().any(|tensor| tensor.data_location == EXTERNAL || !tensor.external_data.is_empty()) {
            return Err("keeps weights in another file, which no digest covers".into());
        }
    }
    Ok(())
}

/// `TensorProto.DataLocation.EXTERNAL`
const EXTERNAL: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "20")]
    training: Vec<Training>,
    #[prost(message, repeated, tag = "25")]
    function: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Training {
    #[prost(message, optional, tag = "1")]
    initialization: Option<Graph>,
    #[prost(message, optional, tag = "2")]
    algorithm: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    g: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<Sparse>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Sparse {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(bytes = "vec", repeated, tag = "13")]
    external_data: Vec<Vec<u8>>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_in_another_file_is_found_wherever_the_tensor_is() {
        let outside = || Tensor { external_data: vec![b"location".to_vec()], data_location: EXTERNAL };
        let with = |attribute| Graph { node: vec![Node { attribute: vec![attribute] }], ..Graph::default() };
        let inner = || Graph { initializer: vec![outside()], ..Graph::default() };
        let sparse = || Sparse { values: None, indices: Some(outside()) };
        let graphs = [
            inner(),
            Graph { sparse_initializer: vec![sparse()], ..Graph::default() },
            with(Attribute { t: Some(outside()), ..Attribute::default() }),
            with(Attribute { tensors: vec![Tensor::default(), outside()], ..Attribute::default() }),
            with(Attribute { g: Some(inner()), ..Attribute::default() }),
            with(Attribute { graphs: vec![inner()], ..Attribute::default() }),
            with(Attribute { sparse_tensors: vec![sparse()], ..Attribute::default() }),
        ];
        for graph in graphs {
            let node = graph.node.clone();
            let models = [
                Model { graph: Some(graph.clone()), ..Model::default() },
                Model { function: vec![Function { node, attribute: vec![] }], ..Model::default() },
                Model {
                    training: vec![Training { initialization: None, algorithm: Some(graph.clone()) }],
                    ..Model::default()
                },
            ];
            let found = models.map(|model| check(&model.encode_to_vec()).is_err());
            assert!(found[0] && found[2] && (found[1] || graph.node.is_empty()), "{graph:?}");
        }
        let attribute = vec![Attribute { t: Some(outside()), ..Attribute::default() }];
        let default = Model { function: vec![Function { node: vec![], attribute }], ..Model::default() };
        assert!(check(&default.encode_to_vec()).is_err());
        let whole = Model {
            graph: Some(Graph { initializer: vec![Tensor::default()], ..Graph::default() }),
            ..Model::default()
        };
        assert_eq!(check(&whole.encode_to_vec()), Ok(()));
        assert!(check(b"no model").unwrap_err().contains("no ONNX file"));
    }
}
