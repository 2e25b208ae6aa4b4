//! TensorRT for RTX on the GPU that is there.

use std::time::Instant;

use super::demo;
use crate::contract::plane;
use crate::engine::{
    Backend, BuildMonitor, EngineError, EngineSettings, Precision, TensorrtError, TensorrtSettings,
};
use crate::tensorrt;
use crate::tensorrt::rtx_tests::folder;

/// Frames that an engine is timed on.
const TIMED: usize = 300;

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn engines_of_every_precision_are_built_proven_timed_and_found_again() {
    let bundle = demo();
    let store = tempfile::tempdir().unwrap();
    for precision in Precision::ALL {
        let settings = EngineSettings {
            backend: Backend::TensorrtRtx,
            precision,
            tensorrt: TensorrtSettings {
                library: Some(folder()),
                store: Some(store.path().into()),
                ..Default::default()
            },
            ..Default::default()
        };
        for opening in ["built", "from the store"] {
            let begun = Instant::now();
            let opened = tensorrt::open(&bundle, &settings, false, &BuildMonitor::default());
            let (mut engine, agreement) = match opened {
                Ok(proven) => proven,
                // A data centre's GPU: neither the plan of its kind nor any other kind's is loaded there.
                Err(EngineError::Tensorrt(error @ TensorrtError::Target { .. })) => {
                    println!("not run: {error}");
                    return;
                }
                Err(error) => panic!("{precision}: {error}"),
            };
            let open = begun.elapsed();
            let crop = &bundle.golden().unwrap()[0].crop;
            let mut map = plane();
            let mut times: Vec<_> = (0..TIMED)
                .map(|_| {
                    let begun = Instant::now();
                    engine.infer(crop, &mut map).unwrap();
                    begun.elapsed()
                })
                .collect();
            times.sort_unstable();
            println!(
                "{precision}, {opening} in {open:?}: {agreement:?}, median {:?}, p99 {:?}, device {:?}, {} MB used",
                times[TIMED / 2],
                times[TIMED * 99 / 100],
                engine.device_time().unwrap(),
                engine.device_memory().unwrap_or(0) / 1_000_000,
            );
        }
    }
}
