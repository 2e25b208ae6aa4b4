//! Weights out of bundles and ONNX files that were written here.

use std::path::Path;

use nervelight_engines::bundle::{Draft, Manifest};
use prost::Message;

use super::{Outputs, model};
use crate::net::{Network, Parameters};
use crate::util::onnx_schema::ModelProto;
use crate::weights::exported::parameters_of;
use crate::weights::{from_file, random};

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
