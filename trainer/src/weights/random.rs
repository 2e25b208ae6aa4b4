//! Random parameters to begin with.

use tch::{Kind, Tensor};

use crate::net::{Network, Op, Parameters};

/// Parameters and how many leading convolutions keep them.
#[derive(Debug)]
pub struct Start {
    /// One tensor for every weight and bias of the network, 32-bit, on the CPU.
    pub parameters: Parameters,
    /// Convolutions to freeze.
    pub frozen: usize,
    /// Layers of batch normalisation behind convolutions that never had any, for [`Module::unnormalise`].
    ///
    /// [`Module::unnormalise`]: crate::net::Module::unnormalise
    pub unnormalised: Vec<String>,
}

/// Logits to begin with where nothing else says so, a probability of 5 %: most pixels are no nerve, and the first steps
/// need not learn that (Lin et al. 2017).
const RARE: f64 = -3.0;

/// Random parameters from the generator seeded with [`tch::manual_seed`].
///
/// Convolutions: He et al. 2015, so that 13 of them with ReLU and no normalisation keep the
/// signal's scale. Transposed convolutions: PyTorch's default, as in the published project.
pub fn random(network: &Network) -> Start {
    let options = (Kind::Float, tch::Device::Cpu);
    let mut parameters = Parameters::new();
    // Before the sigmoid.
    let logits = network.layers.iter().rev().nth(1).map(|layer| &layer.name);
    for layer in &network.layers {
        for (name, shape) in layer.parameters() {
            let fan: i64 = layer.kernel_shape().map_or(1, |[_, b, h, w]| (b * h * w) as i64);
            let tensor = match (&layer.op, shape.len()) {
                (Op::Conv { .. }, 4) => Tensor::randn(&shape, options) * (2.0 / fan as f64).sqrt(),
                (Op::Conv { .. }, _) if Some(&layer.name) == logits => Tensor::full(&shape, RARE, options),
                (Op::Deconv { .. }, _) => {
                    let bound = 1.0 / (fan as f64).sqrt();
                    Tensor::rand(&shape, options) * (2.0 * bound) - bound
                }
                (Op::BatchNorm { .. }, _) if name.ends_with(".weight") || name.ends_with(".running_var") => {
                    Tensor::ones(&shape, options)
                }
                _ => Tensor::zeros(&shape, options),
            };
            parameters.insert(name, tensor);
        }
    }
    Start { parameters, frozen: 0, unnormalised: vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Module, NumberFormat};

    #[test]
    fn a_unet_begins_with_little_nerve() {
        tch::manual_seed(2);
        let network = Network::vgg16_unet(0.125);
        let parameters = random(&network).parameters;
        let module = Module::new(network, parameters, 0, NumberFormat::Fp32, tch::Device::Cpu);
        let crops = Tensor::randint(256, [2, 1, 64, 64], (Kind::Uint8, tch::Device::Cpu));
        let mean = module.predict(&crops).mean(Kind::Float).double_value(&[]);
        assert!((0.005..0.15).contains(&mean), "{mean}");
    }
}
