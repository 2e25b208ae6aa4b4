use tch::{Device, Kind, Tensor};

use crate::net::{Module, Network, NumberFormat};
use crate::weights::{self, checkpoint};

fn unet(precision: NumberFormat) -> (Module, Tensor) {
    tch::manual_seed(5);
    let network = Network::vgg16_unet(0.0625);
    let parameters = weights::random(&network).parameters;
    let crops = Tensor::randint(256, [2, 1, 64, 64], (Kind::Uint8, Device::Cpu));
    (Module::new(network, parameters, 0, precision, Device::Cpu), crops)
}

#[test]
fn only_training_moves_the_running_statistics() {
    for precision in [NumberFormat::Fp32, NumberFormat::Bf16] {
        let (module, crops) = unet(precision);
        let mean = || module.parameters["conv1_2.bn.running_mean"].copy();
        let before = mean();
        assert!(!before.requires_grad() && module.parameters["conv1_2.bn.weight"].requires_grad());
        let first = module.predict(&crops);
        assert_eq!(mean(), before);
        module.train_logits(&crops).sum(Kind::Float).backward();
        assert_ne!(mean(), before);
        assert_eq!(mean().kind(), Kind::Float);
        assert!(module.parameters["conv1_2.bn.weight"].grad().defined());
        assert_ne!(module.predict(&crops), first);
    }
}

#[test]
fn weights_from_a_network_without_normalisation_keep_their_features() {
    tch::manual_seed(6);
    let fcn = Network::vgg16_fcn(0.0625);
    let module =
        |network: Network, parameters| Module::new(network, parameters, 0, NumberFormat::Fp32, Device::Cpu);
    let plain = module(fcn.clone(), weights::random(&fcn).parameters);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fcn.safetensors");
    let tensors = plain.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect();
    checkpoint::write(&path, &checkpoint::Checkpoint { tensors, ..Default::default() }).unwrap();

    let unet = Network::vgg16_unet(0.0625);
    let start = weights::from_file(&unet, &path).unwrap();
    assert_eq!(start.unnormalised.len(), 13);
    let mut module = module(unet, start.parameters);
    let crops = Tensor::randint(256, [4, 1, 64, 64], (Kind::Uint8, Device::Cpu));
    module.unnormalise(&start.unnormalised, crops.split(1, 0).into_iter());
    let output =
        |of: &[(String, Tensor)]| of.iter().find(|(name, _)| name == "relu5_3").unwrap().1.shallow_clone();
    let wanted = output(&plain.layer_outputs(&crops));
    assert!(wanted.std(false).double_value(&[]) > 0.0);
    let off = |found: Tensor| ((found - &wanted).abs().max() / wanted.abs().max()).double_value(&[]);
    assert!(off(output(&module.layer_outputs(&crops))) < 1e-3);
    // In training neither, where the batch's own statistics count.
    assert!(off(output(&module.training_outputs(&crops))) < 1e-3);
}

#[test]
fn outputs_of_layers_are_those_before_the_relu_in_place() {
    let (module, crops) = unet(NumberFormat::Fp32);
    let outputs = module.layer_outputs(&crops);
    let output = |name: &str| &outputs.iter().find(|(n, _)| n == name).unwrap().1;
    assert!(output("conv1_1.bn").min().double_value(&[]) < 0.0);
    assert_eq!(output("conv1_1.bn").relu(), *output("relu1_1"));
}
