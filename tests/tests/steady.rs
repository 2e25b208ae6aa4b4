//! `overlay.steady` on clips of phantoms, whose nerve is known.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use nervelight_engines::components::Components;
use nervelight_engines::steady::Steady;
use nervelight_engines::{Bundle, EngineSettings, Plane, Precision, WIDTH, contract, open, plane};
use nervelight_phantom as phantom;
use nervelight_tests::{demo_bundle, proof};

/// How masks followed the truth.
#[derive(Default)]
struct Followed {
    /// Sum of |change of the mask's area - change of the truth's| between frames that have a nerve.
    flicker: f64,
    changes: u32,
    dice: f64,
    nerves: u32,
    last: (usize, usize),
    components: Components,
}

impl Followed {
    fn add(&mut self, map: &Plane, truth: &Plane, (threshold, min_area): (u8, u32)) {
        self.components.find(map, WIDTH, threshold);
        let mut mask = plane();
        for (run, _, area) in self.components.runs() {
            if area >= min_area as usize {
                mask[run.row * WIDTH + run.start..run.row * WIDTH + run.end].fill(1);
            }
        }
        let area = |of: &Plane| of.iter().filter(|&&p| p != 0).count();
        let (now, before) = ((area(&mask), area(truth)), self.last);
        if before.1 > 0 && now.1 > 0 {
            let change = (now.0 as f64 - before.0 as f64) - (now.1 as f64 - before.1 as f64);
            self.flicker += change.abs();
            self.changes += 1;
        }
        if now.1 > 0 {
            self.dice += contract::dice(&mask[..], &truth[..], 1);
            self.nerves += 1;
        }
        self.last = now;
    }

    fn flicker(&self) -> f64 {
        self.flicker / f64::from(self.changes)
    }

    fn dice(&self) -> f64 {
        self.dice / f64::from(self.nerves)
    }
}

/// The phantom's centred crop.
fn cut(frame: &[u8], crop: &mut Plane) {
    let (left, top) = ((phantom::WIDTH - WIDTH) / 2, (phantom::HEIGHT - contract::HEIGHT) / 2);
    for (row, to) in crop.chunks_exact_mut(WIDTH).enumerate() {
        to.copy_from_slice(&frame[(top + row) * phantom::WIDTH + left..][..WIDTH]);
    }
}

#[test]
fn proof_steady_maps_flicker_half_as_much_and_are_no_worse() {
    let bundle = Bundle::open(demo_bundle()).unwrap();
    let cut_at = (bundle.manifest.threshold_byte(), bundle.manifest.min_area);
    let settings = EngineSettings { precision: Precision::Int8, threads: 2, ..Default::default() };
    let mut engine = open(&bundle, &settings).unwrap();
    // A third of the maps covers a whole clip in a third of the time.
    let rates: &[usize] = if proof::is_full() { &[1, 3] } else { &[3] };
    for &every in rates {
        let (mut before, mut after) = ((0.0, 0.0), (0.0, 0.0));
        let mut times: Vec<Duration> = vec![];
        let (clips, frames) = (proof::count(2, 6), 300);
        for seed in 1..=clips {
            let (mut raw, mut steadied) = (Followed::default(), Followed::default());
            let (mut source, mut steady) = (phantom::Phantom::new(seed), Steady::default());
            let mut luma = vec![0; phantom::WIDTH * phantom::HEIGHT];
            let mut nerve = luma.clone();
            let (mut crop, mut truth, mut map) = (plane(), plane(), plane());
            for n in (0..frames).step_by(every) {
                source.frame(n, &mut luma, &mut nerve).unwrap();
                cut(&luma, &mut crop);
                cut(&nerve, &mut truth);
                engine.infer(&crop, &mut map).unwrap();
                raw.add(&map, &truth, cut_at);
                let begun = Instant::now();
                steady.apply(&crop, &mut map, every as f32 / 30.0);
                times.push(begun.elapsed());
                steadied.add(&map, &truth, cut_at);
            }
            before = (before.0 + raw.flicker(), before.1 + raw.dice() / clips as f64);
            after = (after.0 + steadied.flicker(), after.1 + steadied.dice() / clips as f64);
        }
        let (share, gain) = (after.0 / before.0, after.1 - before.1);
        times.sort();
        let ms = times[times.len() / 2].as_secs_f64() * 1000.0;
        let what = format!("steady maps, {clips} clips of {frames} frames, int8, a map every {every} frames");
        // Maps that are further apart have less in common.
        let most = if every == 1 { 0.5 } else { 0.6 };
        proof::row(
            &format!("{what}: flicker, steady / as computed"),
            format!("{share:.3}"),
            &format!("{most}"),
        )
        .unwrap();
        let dice = format!("{:.4} / {:.4}", after.1, before.1);
        proof::row(&format!("{what}: Dice, steady / as computed"), dice, "no lower").unwrap();
        proof::row(&format!("{what}: median time"), format!("{ms:.2} ms"), "1 ms").unwrap();
        // Of few frames the figures scatter.
        let (more, less) = if proof::is_full() { (0.0, 0.0) } else { (0.25, 0.01) };
        assert!(share < most + more, "flicker {share} of what it was");
        assert!(gain > -less, "Dice {} instead of {}", after.1, before.1);
        assert!(!proof::is_full() || ms < 1.0, "{ms} ms");
    }
}
