//! Exponential moving average of the parameters (Polyak and Juditsky 1992): steadier than the last step.

use tch::Kind;

use crate::net::{Module, Parameters};

/// Prefix of the averages in a checkpoint.
pub const PREFIX: &str = "average.";

/// Averages of every parameter, 32-bit.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    parameters: Parameters,
}

impl Ema {
    /// Starts at `parameters`; each step keeps `decay` of the average, fewer in the first steps.
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        let copies = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy()));
        Self { decay, parameters: copies.collect() }
    }

    /// Takes in `parameters` after step `step`, from 1.
    pub fn step(&mut self, parameters: &Parameters, step: i64) {
        let step = step as f64;
        let new = 1.0 - self.decay.min((1.0 + step) / (10.0 + step));
        tch::no_grad(|| {
            for (name, average) in &mut self.parameters {
                if let Some(parameter) = parameters.get(name) {
                    let _ = average.lerp_(&parameter.detach(), new);
                }
            }
        });
    }

    /// Puts the averages into `module` and what was there here; the second time restores both.
    pub fn swap(&mut self, module: &mut Module) {
        std::mem::swap(&mut self.parameters, &mut module.parameters);
    }

    /// The averages.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Adds the averages to `tensors` as `average.NAME`.
    pub fn save(&self, tensors: &mut Parameters) {
        for (name, tensor) in &self.parameters {
            tensors.insert(format!("{PREFIX}{name}"), tensor.shallow_clone());
        }
    }

    /// Takes the averages out of a checkpoint. Returns the name of one that is absent.
    pub fn load(&mut self, tensors: &Parameters) -> Result<(), String> {
        for (name, average) in &mut self.parameters {
            let key = format!("{PREFIX}{name}");
            let saved = tensors.get(&key).ok_or(key)?;
            *average = saved.to_kind(Kind::Float).to_device(average.device());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    #[test]
    fn follows_slowly_and_reads_back() {
        let of = |value: f32| Parameters::from([("p".to_owned(), Tensor::from_slice(&[value]))]);
        let mut average = Ema::new(0.9, &of(0.0));
        // The first steps keep (1 + t) / (10 + t) only.
        average.step(&of(11.0), 1);
        assert!((average.parameters()["p"].double_value(&[0]) - 9.0).abs() < 1e-5);
        for step in 100..200 {
            average.step(&of(5.0), step);
        }
        assert!((average.parameters()["p"].double_value(&[0]) - 5.0).abs() < 1e-3);
        let mut saved = Parameters::new();
        average.save(&mut saved);
        let mut other = Ema::new(0.9, &of(0.0));
        other.load(&saved).unwrap();
        assert_eq!(other.parameters()["p"], average.parameters()["p"]);
        assert_eq!(other.load(&of(1.0)).unwrap_err(), "average.p");
    }
}
