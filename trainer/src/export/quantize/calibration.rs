//! Calibration: the ranges of each layer on training frames.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use nervelight_engines::PIXELS;
use tch::{Kind, Tensor};

use super::histogram::{BINS, Histogram, Method};
use crate::data::{Frame, batch};
use crate::export::onnx::Style;
use crate::net::Module;
use crate::net::{Network, Op};
use crate::util::Progress;

/// Values of every layer, by name.
#[derive(Debug)]
pub struct Calibration {
    /// Largest absolute value of each layer's output.
    pub largest: BTreeMap<String, f64>,
    /// Of the layers whose output is quantised as it comes.
    histograms: BTreeMap<String, Histogram>,
}

impl Calibration {
    /// Runs `frames` of `size` through `module`, whose batch normalisation is fused away.
    pub fn of(module: &Module, frames: &[&Frame], size: (usize, usize)) -> Result<Self> {
        let network = &module.network;
        let mut largest = BTreeMap::<String, f64>::new();
        let outputs = |frame: &Frame| {
            anyhow::ensure!(frame.luma.len() == PIXELS, "{}: is no crop of the contract's size", frame.name);
            Ok(module.layer_outputs(&batch(&[frame], size, None, module.device()).crops))
        };
        let mut progress = Progress::new("calibrate", 0, 2 * frames.len());
        for frame in frames {
            for (name, output) in outputs(frame)? {
                let (least, most) = output.aminmax(None, false);
                let found = least.abs().maximum(&most.abs()).double_value(&[]);
                let most = largest.entry(name).or_default();
                // NaN stays.
                *most = if found > *most || found.is_nan() { found } else { *most };
            }
            progress.advance(1);
        }
        if let Some((name, _)) = largest.iter().find(|(_, value)| !value.is_finite()) {
            anyhow::bail!(
                "layer {name} gives values that are no numbers on the calibration frames; the network is broken"
            );
        }
        let mut histograms: BTreeMap<String, Histogram> = measured(network)
            .filter_map(|name| Some((name.to_owned(), *largest.get(name)?)))
            .map(|(name, largest)| (name, Histogram { largest, counts: vec![0; BINS] }))
            .collect();
        for frame in frames {
            for (name, output) in outputs(frame)? {
                let Some(histogram) = histograms.get_mut(&name) else { continue };
                add(histogram, &output).with_context(|| format!("layer {name}"))?;
            }
            progress.advance(1);
        }
        progress.finish();
        Ok(Self { largest, histograms })
    }

    /// Where `method` cuts the output of each layer that a graph of `style` quantises.
    pub fn thresholds(&self, network: &Network, method: Method, style: &Style) -> BTreeMap<String, f64> {
        let signed =
            |name: &str| !network.layers.iter().any(|layer| layer.name == name && layer.op == Op::Relu);
        let threshold = |(name, histogram): (&String, &Histogram)| {
            (name.clone(), histogram.threshold(method, style.levels(signed(name))))
        };
        let mut found: BTreeMap<String, f64> = self.histograms.iter().map(threshold).collect();
        // Pools and concatenations have what they are made of; where the scale is shared, that again has
        // theirs, through however many of them.
        loop {
            let before = found.clone();
            let mut input = "";
            for layer in &network.layers {
                let group = match &layer.op {
                    Op::MaxPool => vec![input, &layer.name],
                    Op::Concat { with } => vec![input, with, &layer.name],
                    _ => vec![],
                };
                let most = group.iter().filter_map(|name| found.get(*name)).copied().reduce(f64::max);
                if let Some(most) = most {
                    let taking = if style.shares() { &group[..] } else { &group[group.len() - 1..] };
                    found.extend(taking.iter().map(|name| ((*name).to_owned(), most)));
                }
                input = &layer.name;
            }
            if found == before {
                return found;
            }
        }
    }
}

/// Layers whose output is quantised as it comes: neither what ReLU cuts first, nor the logits.
fn measured(network: &Network) -> impl Iterator<Item = &str> {
    let pairs = network.layers.iter().zip(network.layers.iter().skip(1));
    let quantised = pairs.filter(|(layer, next)| {
        matches!(layer.op, Op::Relu | Op::Deconv { .. } | Op::Conv { .. })
            && !matches!(next.op, Op::Relu | Op::Sigmoid)
    });
    quantised.map(|(layer, _)| layer.name.as_str())
}

fn add(histogram: &mut Histogram, output: &Tensor) -> Result<()> {
    if histogram.largest <= 0.0 {
        histogram.counts[0] += output.numel() as u64;
        return Ok(());
    }
    let values =
        Vec::<f32>::try_from(output.to_kind(Kind::Float).to_device(tch::Device::Cpu).flatten(0, -1))?;
    let bins = BINS as f64 / histogram.largest;
    for value in values {
        let bin = (f64::from(value.abs()) * bins) as usize;
        histogram.counts[bin.min(BINS - 1)] += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NumberFormat;
    use crate::util::Rng;
    use crate::weights::random;

    fn frames(of: &[(u32, usize)]) -> Vec<Frame> {
        let names = of.iter().flat_map(|(patient, count)| (0..*count).map(move |i| (*patient, i)));
        let frame = |(patient, i): (u32, usize)| {
            let mut rng = Rng::new(&[patient.into(), i as u64]);
            let luma: Vec<u8> = (0..PIXELS).map(|_| rng.below(256) as u8).collect();
            Frame {
                name: format!("{patient}_{i}"),
                patient,
                luma: luma.into(),
                nerve: vec![0; PIXELS].into(),
            }
        };
        names.map(frame).collect()
    }

    #[test]
    fn scales_are_shared_where_the_style_asks() {
        tch::manual_seed(1);
        let network = Network::vgg16_fcn(0.0625);
        let module = Module::new(
            network,
            random(&Network::vgg16_fcn(0.0625)).parameters,
            0,
            NumberFormat::Fp32,
            tch::Device::Cpu,
        );
        let frames = frames(&[(1, 2)]);
        let calibration = Calibration::of(&module, &frames.iter().collect::<Vec<_>>(), (416, 576)).unwrap();
        let largest = |name: &str| calibration.largest[name];
        assert!(largest("relu4_3") == largest("pool4") && largest("conv1_1") > 0.0);
        let cpu = calibration.thresholds(&module.network, Method::Max, &Style::Cpu);
        assert_eq!(cpu["pool4"], largest("relu4_3"));
        assert_eq!(cpu["up5"], largest("up5"));
        assert_eq!(cpu["skip4"], largest("up5").max(largest("pool4")));
        let full = std::collections::BTreeSet::new();
        let shared = calibration.thresholds(&module.network, Method::Max, &Style::TensorRt { full });
        for name in ["up5", "pool4", "relu4_3"] {
            assert_eq!(shared[name], shared["skip4"], "{name}");
        }
        assert_eq!(shared["up4"], shared["relu3_3"]);
        assert_eq!(shared["relu3_3"], shared["pool3"]);
        let again = Calibration::of(&module, &frames.iter().collect::<Vec<_>>(), (416, 576)).unwrap();
        assert_eq!(again.histograms, calibration.histograms);
    }
}
