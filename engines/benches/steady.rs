//! What steady maps gain and cost, on clips of phantoms: `cargo bench -p nervelight-engines --bench steady`.
//!
//! *Flicker*: mean |change of the mask's area - change of the truth's| from one frame to the next, in pixels. *Dice*: mean
//! over the frames with a nerve. Two rates of maps: one for every frame, and one for every third.

#![allow(missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nervelight_engines::components::Components;
use nervelight_engines::steady::Steady;
use nervelight_engines::{Bundle, EngineSettings, HEIGHT, Plane, Precision, WIDTH, contract, open, plane};
use nervelight_phantom as phantom;

const SEEDS: [u64; 6] = [1, 2, 3, 4, 5, 6];
const FRAMES: u64 = 300;

/// How masks followed the truth.
#[derive(Default)]
struct Followed {
    flicker: f64,
    changes: u32,
    dice: f64,
    nerves: u32,
    last: Option<(usize, usize)>,
    mask: Components,
}

impl Followed {
    fn add(&mut self, map: &Plane, truth: &Plane, threshold: u8, min_area: u32) {
        self.mask.find(map, WIDTH, threshold);
        let mut shown = plane();
        for (run, _, area) in self.mask.runs() {
            if area >= min_area as usize {
                shown[run.row * WIDTH + run.start..run.row * WIDTH + run.end].fill(1);
            }
        }
        let area = |of: &Plane| of.iter().filter(|&&p| p != 0).count();
        let (seen, true_area) = (area(&shown), area(truth));
        if let Some((before, true_before)) = self.last {
            let change = |now: usize, before: usize| now as f64 - before as f64;
            self.flicker += (change(seen, before) - change(true_area, true_before)).abs();
            self.changes += 1;
        }
        self.last = Some((seen, true_area));
        if true_area > 0 {
            self.dice += contract::dice(&shown[..], &truth[..], 1);
            self.nerves += 1;
        }
    }
}

fn main() -> Result<()> {
    let bundle = Bundle::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo.bundle"))?;
    let (threshold, min_area) = (bundle.manifest.threshold_byte(), bundle.manifest.min_area);
    println!(
        "{:<6}{:>6}{:>6}{:>12}{:>9}{:>9}{:>9}{:>10}{:>8}",
        "model", "every", "seed", "flicker", "steady", "Dice", "steady", "ms median", "p99"
    );
    for precision in [Precision::Fp32, Precision::Int8] {
        let mut engine = open(&bundle, &EngineSettings { precision, threads: 2, ..Default::default() })?;
        for every in [1, 3] {
            for seed in SEEDS {
                let (mut raw, mut steadied, mut times) = (Followed::default(), Followed::default(), vec![]);
                let (mut source, mut steady) = (phantom::Phantom::new(seed), Steady::default());
                let mut luma = vec![0; phantom::WIDTH * phantom::HEIGHT];
                let mut nerve = luma.clone();
                let (mut crop, mut truth, mut map) = (plane(), plane(), plane());
                for n in (0..FRAMES).step_by(every) {
                    source.frame(n, &mut luma, &mut nerve)?;
                    cut(&luma, &mut crop);
                    cut(&nerve, &mut truth);
                    engine.infer(&crop, &mut map)?;
                    raw.add(&map, &truth, threshold, min_area);
                    let begun = Instant::now();
                    steady.apply(&crop, &mut map, every as f32 / 30.0);
                    times.push(begun.elapsed());
                    steadied.add(&map, &truth, threshold, min_area);
                }
                row(precision, every, seed, &raw, &steadied, &mut times).context("no frame")?;
            }
        }
    }
    Ok(())
}

fn row(
    precision: Precision,
    every: usize,
    seed: u64,
    raw: &Followed,
    steady: &Followed,
    times: &mut [Duration],
) -> Option<()> {
    times.sort();
    let ms = |share: f64| Some(times.get((times.len() as f64 * share) as usize)?.as_secs_f64() * 1000.0);
    let flicker = |of: &Followed| of.flicker / f64::from(of.changes);
    let dice = |of: &Followed| of.dice / f64::from(of.nerves);
    println!(
        "{:<6}{every:>6}{seed:>6}{:>12.1}{:>9.1}{:>9.4}{:>9.4}{:>10.2}{:>8.2}",
        precision.to_string(),
        flicker(raw),
        flicker(steady),
        dice(raw),
        dice(steady),
        ms(0.5)?,
        ms(0.99)?
    );
    Some(())
}

/// The phantom's centred crop.
fn cut(frame: &[u8], crop: &mut Plane) {
    let (left, top) = ((phantom::WIDTH - WIDTH) / 2, (phantom::HEIGHT - HEIGHT) / 2);
    for (row, to) in crop.chunks_exact_mut(WIDTH).enumerate() {
        to.copy_from_slice(&frame[(top + row) * phantom::WIDTH + left..][..WIDTH]);
    }
}
