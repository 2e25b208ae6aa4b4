//! Hundreds of swaps beside live video: no frame is lost or late, each mask is of one of the two models, and nothing grows.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nervelight_engines::components::shown;
use nervelight_engines::{HEIGHT, WIDTH, plane};
use nervelight_phantom::{HEIGHT as ROWS, Phantom, WIDTH as COLUMNS};
use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::{api, deploy, deployment};
use nervelight_tests::igtl::{AI_ON, Client};
use nervelight_tests::proof::{count, quantile, row};
use nervelight_tests::{footprint, free_port, wait_for};
use serde_json::Value;

use super::{FIRST, Setting, Ward};

/// The other model: what the first marks it does not.
const OTHER: Recipe = Recipe { a: -1.0, b: 255.0, ..FIRST };
/// A frame may be later by so many ms where models are swapped.
const LATER: f64 = 5.0;

/// A mask's digest.
fn digest_of(mask: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    mask.hash(&mut hasher);
    hasher.finish()
}

/// The digests of the masks that were shown, in their order, up to the stop.
fn read_masks(port: u16, stop: Arc<AtomicBool>) -> thread::JoinHandle<Vec<u64>> {
    thread::spawn(move || {
        let mut client = Client::connect(port).unwrap();
        let mut seen = vec![];
        while !stop.load(Ordering::Relaxed) {
            let bundle = client.bundle().unwrap();
            if bundle.code == AI_ON {
                seen.push(digest_of(&bundle.mask));
            }
        }
        seen
    })
}

/// How many of the masks are of the first model, of the other, of either, and of none, by every frame that there was.
fn count_masks(seen: &[u64], frames: u64) -> [u64; 4] {
    let mut phantom = Phantom::new(7);
    let (mut luma, mut truth) = (vec![0; COLUMNS * ROWS], vec![0; COLUMNS * ROWS]);
    let (left, top) = (((COLUMNS - WIDTH) / 2) & !1, ((ROWS - HEIGHT) / 2) & !1);
    let (mut crop, mut known) = (plane(), HashMap::<u64, [bool; 2]>::new());
    for n in 0..frames {
        phantom.frame(n, &mut luma, &mut truth).unwrap();
        for (row, out) in crop.chunks_exact_mut(WIDTH).enumerate() {
            out.copy_from_slice(&luma[(top + row) * COLUMNS + left..][..WIDTH]);
        }
        for (model, recipe) in [FIRST, OTHER].iter().enumerate() {
            let mask = shown(&recipe.map(&crop)[..], WIDTH, Recipe::THRESHOLD, Recipe::MIN_AREA);
            let mut whole = vec![0; COLUMNS * ROWS];
            for (row, from) in mask.chunks_exact(WIDTH).enumerate() {
                whole[(top + row) * COLUMNS + left..][..WIDTH].copy_from_slice(from);
            }
            known.entry(digest_of(&whole)).or_default()[model] = true;
        }
    }
    let mut counts = [0; 4];
    for mask in seen {
        let place = match known.get(mask) {
            Some([true, false]) => 0,
            Some([false, true]) => 1,
            Some(_) => 2,
            None => 3,
        };
        counts[place] += 1;
    }
    counts
}

struct Swapped {
    report: Value,
    /// Frames that gave way to fresher ones before the first swap: the first wait for sinks.
    dropped_before: u64,
    masks: [u64; 4],
    /// Seconds from the command to the model that is shown, each.
    took: Vec<f64>,
    /// Resident memory in MiB after a fifth of the swaps, and at the end.
    memory: (f64, f64),
}

/// Runs for `seconds`, or for so many swaps and ways back.
fn run(swaps: u64, seconds: u64) -> Swapped {
    let igtl = free_port().unwrap();
    let sinks = format!("{{ kind = \"igtl\", listen = \"127.0.0.1:{igtl}\" }}");
    let sync = "{ mode = \"latest\", max_mask_age_ms = 1000, engine_timeout_ms = 5000 }";
    // Both models see different nerves: what is tested is the way back that an operator asks for.
    let deploy_long = "{ probation_s = 600, min_dice = 0.0, max_flips = 1.0, max_area_factor = 1000.0, \
                       max_latency_factor = 1000.0 }";
    let setting = Setting { sinks: &sinks, sync, deploy: deploy_long, ..Setting::default() };
    let ward = Ward::new(setting).settled();
    let port = ward.port;
    let dropped_before = nervelight_tests::web::status(port).unwrap()["dropped"].as_u64().unwrap();
    let other = ward.bundle("2", OTHER);
    let stop = Arc::new(AtomicBool::new(false));
    let masks = read_masks(igtl, stop.clone());
    let pid = ward.running.as_ref().unwrap().pid();
    let resident = || footprint(pid).unwrap().resident as f64 / 1024.0;
    let version = |wanted: &str| {
        wait_for("the model", || {
            let s = nervelight_tests::web::status(port)?;
            (s["model"]["version"] == wanted && s["ai"] == "on").then_some(())
        })
        .unwrap();
    };
    let first = nervelight_tests::web::status(port).unwrap()["model"]["digest"].as_str().unwrap().to_owned();
    let digest = nervelight_engines::Bundle::open(&other).unwrap().digest;
    let (mut took, mut early) = (vec![], None);
    let ask = |path: &str| {
        // What is over is let go within a few frames.
        wait_for("room", || (api(port, "POST", path).unwrap().0 == 200).then_some(())).unwrap();
    };
    if swaps == 0 {
        thread::sleep(Duration::from_secs(seconds));
    }
    while (took.len() as u64) < swaps {
        let begun = Instant::now();
        match took.len() % 4 {
            // A deployment, and the way back at once.
            0 => {
                let deployed =
                    wait_for("room", || deploy(port, &other).ok().filter(|answer| answer.0 == 202));
                deployed.unwrap();
                wait_for("probation", || deployment(port).filter(|d| d["state"] == "probation")).unwrap();
                version("2");
            }
            1 => {
                ask("/api/v1/models/rollback");
                version("1");
            }
            // An operator's choices.
            2 => {
                ask(&format!("/api/v1/models/{digest}/use"));
                version("2");
            }
            _ => {
                ask(&format!("/api/v1/models/{first}/use"));
                version("1");
            }
        }
        took.push(begun.elapsed().as_secs_f64());
        if early.is_none() && took.len() as u64 >= swaps / 5 {
            early = Some(resident());
        }
    }
    let memory = (early.unwrap_or_else(resident), resident());
    stop.store(true, Ordering::Relaxed);
    let seen = masks.join().unwrap();
    let report = ward.stop();
    let masks = count_masks(&seen, report["frames_in"].as_u64().unwrap());
    Swapped { report, dropped_before, masks, took, memory }
}

#[test]
fn proof_swaps_beside_live_video() {
    let swaps = count(20, 500);
    let number = |report: &Value, key: &str| report[key].as_u64().unwrap();
    let latency = |report: &Value, at: &str| report["latency_ms"][at].as_f64().unwrap();
    // A machine that is busy with something else may disturb either run.
    let mut later = f64::INFINITY;
    let mut swapped = None;
    for _ in 0..3 {
        let calm = run(0, count(4, 60));
        let this = swapped.insert(run(swaps, 0));
        let [of_first, of_other, _, of_none] = this.masks;
        assert!(of_none == 0 && of_first > 20 && of_other > 20, "{:?}", this.masks);
        assert_eq!(number(&this.report, "dropped"), this.dropped_before, "{:#}", this.report);
        // Those before the first mask.
        let badged = |report: &Value| number(report, "frames_badged");
        assert!(
            badged(&this.report) <= badged(&calm.report).max(5),
            "AI was off at a swap: {:#}",
            this.report
        );
        later = latency(&this.report, "p99") - latency(&calm.report, "p99");
        println!(
            "latency undisturbed {}, with swaps {}",
            calm.report["latency_ms"], this.report["latency_ms"]
        );
        if later <= LATER {
            break;
        }
    }
    let Swapped { report, masks, took, memory, .. } = swapped.unwrap();
    let frames = number(&report, "frames_out");
    row("swaps and ways back beside live 30 frames/s", format!("{}", took.len()), &format!("{swaps}"))
        .unwrap();
    row("frames lost", format!("0 of {frames}"), "0").unwrap();
    row("masks that neither model gives", format!("{} of {}", masks[3], masks.iter().sum::<u64>()), "0")
        .unwrap();
    row("99th percentile of latency over a run without swaps", format!("{later:.1} ms"), "5 ms").unwrap();
    assert!(later <= LATER, "the video is {later:.1} ms later");
    // Each kind with its own; the first and the last tenth.
    let of_kind = |part: &[f64], kind: usize| {
        quantile(&part.iter().skip(kind).step_by(4).copied().collect::<Vec<_>>(), 0.5)
    };
    let tenth = (took.len() / 40).max(1) * 4;
    let (first, last) = (&took[..tenth], &took[took.len() - tenth..]);
    for (kind, name) in [(0, "deployment"), (1, "way back"), (2, "choice")] {
        let (early, late) = (of_kind(first, kind), of_kind(last, kind));
        row(&format!("{name}, first and last tenth"), format!("{early:.2} s, {late:.2} s"), "no slower")
            .unwrap();
        assert!(late < 2.0 * early + 0.5, "{name}: {early} s at first, {late} s at last");
    }
    let growth = memory.1 - memory.0;
    row(
        "memory after a fifth and at the end",
        format!("{:.0} and {:.0} MiB", memory.0, memory.1),
        "+ 20 MiB",
    )
    .unwrap();
    assert!(growth < 20.0, "{memory:?}");
}
