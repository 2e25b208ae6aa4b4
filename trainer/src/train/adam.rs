//! Adam (Kingma and Ba 2015) with a state that can be saved.
//!
//! libtorch's own optimizer, as bound, neither saves nor loads its moments, so a resumed run would
//! differ from an uninterrupted one. The arithmetic follows PyTorch's step by step.

use tch::{Kind, Tensor};

use crate::net::Parameters;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// First and second moments of every trained parameter.
#[derive(Debug)]
pub struct Adam {
    steps: i64,
    moments: Vec<Moments>,
}

#[derive(Debug)]
struct Moments {
    name: String,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// Zero moments for the parameters that require gradients.
    pub fn new(parameters: &Parameters) -> Self {
        let moments = parameters
            .iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(name, tensor)| Moments {
                name: name.clone(),
                mean: tensor.detach().zeros_like(),
                square: tensor.detach().zeros_like(),
            })
            .collect();
        Self { steps: 0, moments }
    }

    /// Moves `parameters` against the gradients that `backward` gathered in them, then clears those.
    pub fn step(&mut self, parameters: &mut Parameters, rate: f64) {
        tch::no_grad(|| self.update(parameters, rate));
        for tensor in parameters.values_mut() {
            tensor.zero_grad();
        }
    }

    fn update(&mut self, parameters: &mut Parameters, rate: f64) {
        self.steps += 1;
        let step = self.steps as f64;
        let rate = rate / (1.0 - BETA1.powf(step));
        let correction = (1.0 - BETA2.powf(step)).sqrt();
        for Moments { name, mean, square } in &mut self.moments {
            let Some(parameter) = parameters.get_mut(name) else {
                continue;
            };
            let gradient = parameter.grad();
            if !gradient.defined() {
                continue;
            }
            let _ = mean.lerp_(&gradient, 1.0 - BETA1);
            *square *= BETA2;
            *square += gradient.square() * (1.0 - BETA2);
            // As few passes and new tensors as the bound operators allow.
            let mut denominator = square.sqrt();
            denominator /= correction;
            denominator += EPSILON;
            *parameter -= (&*mean * rate).divide_(&denominator);
        }
    }

    /// Adds the moments to `tensors` as `adam.mean.NAME` and `adam.square.NAME`.
    pub fn save(&self, tensors: &mut Parameters) {
        for Moments { name, mean, square } in &self.moments {
            tensors.insert(format!("adam.mean.{name}"), mean.shallow_clone());
            tensors.insert(format!("adam.square.{name}"), square.shallow_clone());
        }
    }

    /// Takes the moments back, after `step` steps. Returns the name of one that is absent.
    pub fn load(&mut self, tensors: &Parameters, step: i64) -> Result<(), String> {
        for Moments { name, mean, square } in &mut self.moments {
            for (kind, moment) in [("mean", mean), ("square", square)] {
                let key = format!("adam.{kind}.{name}");
                let saved = tensors.get(&key).ok_or(key)?;
                *moment = saved.to_kind(Kind::Float).to_device(moment.device());
            }
        }
        self.steps = step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(parameters: &Parameters, scale: f64) -> Tensor {
        let target = Tensor::from_slice(&[0.0f32, 1.0, 0.5, -1.0]);
        let weight = Tensor::from_slice(&[1.0f32, 0.5, 2.0, 1e-3]);
        ((&parameters["p"] - target).square() * weight).sum(Kind::Float) * scale
    }

    fn start() -> Parameters {
        let p = Tensor::from_slice(&[1.0f32, -2.0, 0.5, 3.0]).set_requires_grad(true);
        Parameters::from([("p".to_owned(), p)])
    }

    #[test]
    fn equals_pytorch() {
        // torch 2.11: Adam([p], lr=0.1), the loss above times 1, 2, 3, 4, 5.
        let expected = [
            [0.900000036, -1.89999998, 0.5, 2.9000001],
            [0.802414656, -1.80312562, 0.5, 2.80321503],
            [0.704841435, -1.70674801, 0.5, 2.70698357],
            [0.606505632, -1.60996485, 0.5, 2.61038971],
            [0.507169187, -1.51237524, 0.5, 2.51302195],
        ];
        let mut parameters = start();
        let mut adam = Adam::new(&parameters);
        for (k, expected) in expected.iter().enumerate() {
            loss(&parameters, (k + 1) as f64).backward();
            adam.step(&mut parameters, 0.1);
            for (i, expected) in expected.iter().enumerate() {
                let got = parameters["p"].double_value(&[i as i64]);
                assert!((got - expected).abs() < 3e-7, "step {k}, {i}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn continues_from_saved_moments() {
        let mut straight = start();
        let mut adam = Adam::new(&straight);
        let mut saved = Parameters::new();
        for k in 0..4 {
            if k == 2 {
                adam.save(&mut saved);
                saved = saved.iter().map(|(n, t)| (n.clone(), t.copy())).collect();
                saved.insert("p".into(), straight["p"].detach().copy());
            }
            loss(&straight, 1.0).backward();
            adam.step(&mut straight, 0.1);
        }
        let mut resumed = start();
        resumed.insert("p".into(), saved["p"].copy().set_requires_grad(true));
        let mut adam = Adam::new(&resumed);
        adam.load(&saved, 2).unwrap();
        for _ in 0..2 {
            loss(&resumed, 1.0).backward();
            adam.step(&mut resumed, 0.1);
        }
        assert_eq!(resumed["p"], straight["p"]);
        assert_eq!(adam.steps, 4);
    }
}
