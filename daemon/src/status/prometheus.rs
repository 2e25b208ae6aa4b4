//! The figures in Prometheus' text format.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::frame::OverlayState;
use crate::status::snapshot::{SinkFigures, Snapshot};

/// Upper bounds of the histograms in seconds. Finest where a frame's budget lies, 33 ms at 30 frames/s.
const BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.002, 0.005, 0.010, 0.020, 0.033, 0.050, 0.100, 0.200, 0.500, 1.0];

/// Makes this process count for Prometheus; the handle renders the text.
///
/// # Errors
/// When it does so already.
pub fn install() -> Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    builder.install_recorder().context("metrics cannot be installed")
}

/// Brings the counters up to date.
pub fn publish(snapshot: &Snapshot) {
    metrics::counter!("nervelight_frames_in_total").absolute(snapshot.frames_in);
    metrics::counter!("nervelight_frames_out_total").absolute(snapshot.frames_out);
    metrics::counter!("nervelight_frames_dropped_total").absolute(snapshot.dropped);
    metrics::counter!("nervelight_frames_masked_total").absolute(snapshot.frames_masked);
    metrics::counter!("nervelight_frames_badged_total").absolute(snapshot.frames_badged);
    metrics::counter!("nervelight_frames_inserted_total").absolute(snapshot.frames_inserted);
    metrics::counter!("nervelight_crops_skipped_total").absolute(snapshot.crops_skipped);
    metrics::counter!("nervelight_engine_errors_total").absolute(snapshot.engine_errors);
    metrics::counter!("nervelight_source_reconnects_total").absolute(snapshot.run.source_reconnects);
    metrics::gauge!("nervelight_ai_on").set(f64::from(u8::from(snapshot.ai == OverlayState::On)));
    for SinkFigures { output: sink, failures } in &snapshot.sinks {
        let name = sink.name.clone();
        metrics::counter!("nervelight_sink_frames_total", "sink" => name.clone()).absolute(sink.frames);
        metrics::counter!("nervelight_sink_dropped_total", "sink" => name.clone()).absolute(sink.dropped);
        metrics::counter!("nervelight_sink_failures_total", "sink" => name.clone()).absolute(*failures);
        metrics::gauge!("nervelight_sink_failed", "sink" => name)
            .set(f64::from(u8::from(sink.failed.is_some())));
    }
}
