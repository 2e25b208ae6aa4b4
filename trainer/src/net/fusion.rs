//! Batch-norm fusion: batch normalisation becomes part of the convolution before it.

use tch::Tensor;

use super::network::{Network, Op};
use super::parameters::Parameters;

/// Added to the variance, as PyTorch does.
pub const EPSILON: f64 = 1e-5;

/// The same function without batch normalisation. Returns the name of a parameter that is absent.
///
/// `g (conv(x) - mean) / s + b` with `s = sqrt(var + EPSILON)` is the convolution with kernel `w g / s`
/// and bias `(bias - mean) g / s + b`.
pub fn fuse(network: &Network, parameters: &Parameters) -> Result<(Network, Parameters), String> {
    let mut fused = Network { layers: vec![], ..network.clone() };
    let mut kept = Parameters::new();
    let get = |name: &str| parameters.get(name).map(Tensor::detach).ok_or_else(|| name.to_owned());
    for layer in &network.layers {
        match (&layer.op, fused.layers.last()) {
            (Op::BatchNorm { .. }, Some(before)) => {
                let part = |part: &str| get(&format!("{}.{part}", layer.name));
                let factor = part("weight")? / (part("running_var")? + EPSILON).sqrt();
                let weight = format!("{}.weight", before.name);
                let bias = format!("{}.bias", before.name);
                let shift = (get(&bias)? - part("running_mean")?) * &factor + part("bias")?;
                kept.insert(weight.clone(), get(&weight)? * factor.view([-1, 1, 1, 1]));
                kept.insert(bias, shift);
            }
            _ => {
                for (name, _) in layer.parameters() {
                    kept.insert(name.clone(), get(&name)?);
                }
                fused.layers.push(layer.clone());
            }
        }
    }
    Ok((fused, kept))
}

/// Batch normalisation that changes nothing behind a convolution whose own was fused in, in training
/// neither: its output has mean `bias` and deviation |`weight`|, as before the fusion.
///
/// Returns weight, bias, running mean and running variance.
pub fn unfuse(weight: &Tensor, bias: &Tensor) -> [Tensor; 4] {
    let variance = (weight.square() - EPSILON).clamp_min(0.0);
    [(&variance + EPSILON).sqrt(), bias.copy(), bias.copy(), variance]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Module, NumberFormat};
    use crate::weights;
    use tch::{Device, Kind};

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
}
