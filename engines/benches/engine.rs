//! Time of each engine for one frame of the demo model: `cargo bench -p nervelight-engines`.

#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nervelight_engines::{Backend, Bundle, EngineSettings, Precision, open, plane};

fn engines(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo.bundle");
    let bundle = match Bundle::open(path) {
        Ok(bundle) => bundle,
        Err(error) => return eprintln!("no engine is measured: {error}"),
    };
    let crop = match bundle.golden().map(|mut golden| golden.pop()) {
        Ok(Some(golden)) => golden.crop,
        _ => plane(),
    };
    let mut map = plane();
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(50);
    let exported = |precision: &Precision| bundle.manifest.files.contains_key(precision.onnx_file());
    for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8].into_iter().filter(exported) {
        for (backend, threads) in
            [Backend::Onnx, Backend::Openvino].into_iter().flat_map(|backend| [(backend, 1), (backend, 2)])
        {
            let settings = EngineSettings { precision, backend, threads, ..Default::default() };
            match open(&bundle, &settings) {
                Ok(mut engine) => {
                    let on = format!("{}, {threads} threads", engine.info().runtime);
                    let id = BenchmarkId::new(precision.to_string(), on);
                    group.bench_function(id, |b| b.iter(|| engine.infer(black_box(&crop), &mut map)));
                }
                Err(error) => eprintln!("{backend:?} {precision} is not measured: {error}"),
            }
        }
    }
    group.finish();
}

criterion_group!(benches, engines);
criterion_main!(benches);
