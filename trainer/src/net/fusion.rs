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
