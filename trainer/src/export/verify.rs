//! Verifies that a bundle's fp32 model computes what the trained network does.

use std::path::PathBuf;

use anyhow::{Result, bail};
use nervelight_engines::golden::check;
use nervelight_engines::{Backend, Bundle, Engine, EngineSettings, PIXELS, plane, processor};

use super::difference::Difference;
use crate::data::{Frame, batch};
use crate::evaluate::checked_engine;
use crate::net::Module;

/// Runs the bundle on `frames` through ONNX Runtime and compares every pixel. Where that computes wrong on this
/// processor, the file's own arithmetic proves the file.
pub fn verify(
    bundle: &Bundle,
    module: &Module,
    frames: &[&Frame],
    size: (usize, usize),
    library: Option<PathBuf>,
) -> Result<()> {
    let settings = EngineSettings { library, backend: Backend::Onnx, ..Default::default() };
    let mut engine = nervelight_engines::open(bundle, &settings)?;
    let mut difference = compare_maps(engine.as_mut(), module, frames, size)?;
    if difference.wrong > 0 {
        let Difference { wrong, worst, .. } = difference;
        let mut own = checked_engine::reference(bundle, &settings).map_err(anyhow::Error::msg)?;
        difference = compare_maps(&mut own, module, frames, size)?;
        let (runtime, pixels) = (engine.info().runtime.clone(), frames.len() * PIXELS);
        if difference.wrong > 0 {
            bail!(
                "{runtime} computes other maps than the trained network: {wrong} of {pixels} pixels differ, by up to \
                 {worst}/255. No bundle was written. Compare the layers with `nervelight-train layers`"
            );
        }
        errln!(
            "warning: {runtime} (CPU) on {} computes fp32.onnx wrong: {wrong} of {pixels} pixels differ, by up to \
             {worst}/255, where the file's own arithmetic gives the trained network's maps. The file is right; a cart \
             with this processor and runtime would refuse it",
            processor::name()
        );
        engine = Box::new(own);
    }
    let agreement = check(engine.as_mut(), bundle)?;
    outln!(
        "{}: {} frames equal to the trained network, {} pixels rounded the other way at a tie; \
         golden frames: Dice {:.4}",
        engine.info().runtime,
        frames.len(),
        difference.ties,
        agreement.dice
    );
    Ok(())
}

/// How the maps of `engine` differ from those of the trained network.
fn compare_maps(
    engine: &mut dyn Engine,
    module: &Module,
    frames: &[&Frame],
    size: (usize, usize),
) -> Result<Difference> {
    let (mut crop, mut map) = (plane(), plane());
    let mut difference = Difference::default();
    for frame in frames {
        crop.copy_from_slice(&frame.luma);
        engine.infer(&crop, &mut map)?;
        let probability = module.predict(&batch(&[*frame], size, None, module.device()).crops);
        let probability = Vec::<f32>::try_from(probability.to_device(tch::Device::Cpu).flatten(0, -1))?;
        difference = difference.and(Difference::of(&map[..], &probability));
    }
    Ok(difference)
}

#[cfg(test)]
mod tests {
    use nervelight_engines::EngineError;
    use nervelight_engines::bundle::{Draft, Manifest};

    use super::*;
    use crate::export::golden::golden;
    use crate::export::onnx::{Outputs, model};
    use crate::metrics::{OperatingPoint, predict};
    use crate::net::{Network, NumberFormat};
    use crate::util::Rng;
    use crate::weights;

    /// A network with random weights in ONNX Runtime, against the same in libtorch.
    #[test]
    fn exported_network_computes_the_same_map() {
        exported(Network::vgg16_fcn(0.25));
    }

    #[test]
    fn exported_network_has_its_normalisation_folded_in() {
        exported(Network::vgg16_unet(0.125));
    }

    fn exported(network: Network) {
        tch::manual_seed(1);
        let start = weights::random(&network);
        let module = Module::new(network, start.parameters, 0, NumberFormat::Fp32, tch::Device::Cpu);
        let size = (416, 576);
        let mut rng = Rng::new(&[7]);
        let luma = (0..PIXELS).map(|i| (rng.below(128) + i % 128) as u8).collect();
        let frame = Frame { name: "1_1".into(), patient: 1, luma, nerve: vec![0; PIXELS].into() };
        let manifest = Manifest::new("random", "1");
        let mut draft = Draft::new(manifest);
        let predictions = predict(&module, &[&frame], size, 1).unwrap();
        let point = OperatingPoint { threshold: 0.5, min_area: 1 };
        draft.golden(&golden(&predictions, size.1, point).unwrap()[0]).unwrap();
        draft.file("fp32.onnx", model(&module.network, &module.parameters, size, Outputs::Map).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let bundle = draft.write(&directory.path().join("random.bundle")).unwrap();
        let distinct: std::collections::BTreeSet<u8> = predictions[0].map.iter().copied().collect();
        assert!(distinct.len() > 20, "a flat map proves nothing: {distinct:?}");
        match verify(&bundle, &module, &[&frame], size, None) {
            Err(e) if matches!(e.downcast_ref(), Some(EngineError::LibraryNotFound { .. })) => {
                eprintln!("skipped: {e}");
            }
            result => result.unwrap(),
        }
    }
}
