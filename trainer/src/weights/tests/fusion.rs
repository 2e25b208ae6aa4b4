use tch::{Device, Kind, Tensor};

use crate::net::{Module, Network, NumberFormat, Op, fuse, unfuse};
use crate::weights;

/// A network whose statistics are not those it was born with.
fn trained() -> (Module, Tensor) {
    tch::manual_seed(9);
    let network = Network::vgg16_unet(0.0625);
    let mut parameters = weights::random(&network).parameters;
    for (name, tensor) in &mut parameters {
        if name.contains(".bn.") {
            let noise = Tensor::randn_like(tensor) * 0.3;
            *tensor = if name.ends_with("running_var") {
                tensor.shallow_clone() + noise.abs()
            } else {
                &*tensor + noise
            };
        }
    }
    let crops = Tensor::randint(256, [2, 1, 32, 64], (Kind::Uint8, Device::Cpu));
    let module = Module::new(network, parameters, 0, NumberFormat::Fp32, Device::Cpu);
    // So that the running statistics are the data's.
    for _ in 0..60 {
        let _ = tch::no_grad(|| module.train_logits(&crops));
    }
    (module, crops)
}

fn off(a: &Tensor, b: &Tensor) -> f64 {
    ((a - b).abs().max() / b.abs().max()).double_value(&[])
}

#[test]
fn fused_network_computes_the_same() {
    let (module, crops) = trained();
    let (network, parameters) = fuse(&module.network, &module.parameters).unwrap();
    assert!(!network.layers.iter().any(|l| matches!(l.op, Op::BatchNorm { .. })));
    assert!(!parameters.keys().any(|name| name.contains(".bn.")));
    let fused = Module::new(network, parameters, 0, NumberFormat::Fp32, Device::Cpu);
    let (got, wanted) = tch::no_grad(|| (fused.logits(&crops), module.logits(&crops)));
    assert!(off(&got, &wanted) < 1e-4, "{}", off(&got, &wanted));
    assert!(wanted.std(true).double_value(&[]) > 1e-3, "a flat map proves nothing");
}

#[test]
fn unfused_network_computes_the_same_in_training_too() {
    let (module, crops) = trained();
    let (_, mut parameters) = fuse(&module.network, &module.parameters).unwrap();
    for layer in &module.network.layers {
        if let Op::BatchNorm { .. } = layer.op {
            let before = |part: &str| module.parameters[&format!("{}.{part}", layer.name)].detach();
            let parts = unfuse(&before("weight"), &before("bias"));
            parameters.extend(layer.parameters().into_iter().map(|(name, _)| name).zip(parts));
        }
    }
    let unfused = Module::new(module.network.clone(), parameters, 0, NumberFormat::Fp32, Device::Cpu);
    tch::no_grad(|| {
        let (got, wanted) = (unfused.logits(&crops), module.logits(&crops));
        assert!(off(&got, &wanted) < 1e-4, "{}", off(&got, &wanted));
        let (got, wanted) = (unfused.train_logits(&crops), module.train_logits(&crops));
        assert!(off(&got, &wanted) < 0.02, "{}", off(&got, &wanted));
    });
}

#[test]
fn an_absent_parameter_is_named() {
    let (module, _) = trained();
    let mut parameters = module.parameters;
    parameters.remove("dec3_1.bn.running_var");
    assert_eq!(fuse(&module.network, &parameters).unwrap_err(), "dec3_1.bn.running_var");
}
