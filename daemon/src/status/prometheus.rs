//! The figures in Prometheus' text format.

use std::sync::Mutex;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::frame::{OverlayState, SignalState};
use crate::harvest::HarvestFigures;
use crate::lock::lock;
use crate::sink::RecordedFiles;
use crate::status::deployment::{ModelFigures, State};
use crate::status::follow::{FollowFigures, FollowState};
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
    let has_failed = snapshot.models.store_failed.is_some();
    metrics::gauge!("nervelight_store_failed").set(f64::from(u8::from(has_failed)));
    models(snapshot);
    if let Some(figures) = &snapshot.follow {
        follow(figures);
    }
    let signal = &snapshot.signal.figures;
    for state in SignalState::ALL {
        let name = state.name();
        let seconds = signal.seconds.get(name).copied().unwrap_or_default();
        metrics::gauge!("nervelight_signal_state", "state" => name)
            .set(f64::from(u8::from(signal.state == state)));
        metrics::counter!("nervelight_signal_transitions_total", "state" => name)
            .absolute(signal.entered.get(name).copied().unwrap_or_default());
        metrics::counter!("nervelight_signal_seconds_total", "state" => name).absolute(seconds as u64);
    }
    if let Some(harvest) = &snapshot.harvest {
        publish_harvest(harvest);
    }
    for SinkFigures { output: sink, failures } in &snapshot.sinks {
        let name = sink.name.clone();
        metrics::counter!("nervelight_sink_frames_total", "sink" => name.clone()).absolute(sink.frames);
        metrics::counter!("nervelight_sink_dropped_total", "sink" => name.clone()).absolute(sink.dropped);
        metrics::counter!("nervelight_sink_failures_total", "sink" => name.clone()).absolute(*failures);
        if let Some(RecordedFiles { files, deleted, .. }) = sink.recorded {
            metrics::counter!("nervelight_recording_files_total", "sink" => name.clone()).absolute(files);
            metrics::counter!("nervelight_recording_deleted_total", "sink" => name.clone()).absolute(deleted);
        }
        if let Some(viewers) = sink.viewers {
            let labels = [("sink", name.clone())];
            metrics::gauge!("nervelight_sink_viewers", &labels).set(viewers.watching as f64);
            metrics::counter!("nervelight_sink_viewers_joined_total", &labels).absolute(viewers.joined);
            metrics::counter!("nervelight_sink_viewers_refused_total", &labels).absolute(viewers.refused);
            metrics::counter!("nervelight_sink_viewer_frames_total", &labels).absolute(viewers.frames);
            metrics::counter!("nervelight_sink_viewer_dropped_total", &labels).absolute(viewers.dropped);
        }
        metrics::gauge!("nervelight_sink_failed", "sink" => name)
            .set(f64::from(u8::from(sink.failed.is_some())));
    }
}

/// The model that runs, deployments, and the model that is not shown.
fn models(snapshot: &Snapshot) {
    let ModelFigures { digest, name, version, serial, signer } = &snapshot.run.model;
    let labels = [
        ("digest", digest.clone()),
        ("name", name.clone()),
        ("version", version.clone()),
        ("serial", serial.map_or(String::new(), |serial| serial.to_string())),
        ("signer", signer.clone().unwrap_or_default()),
    ];
    // A model that ran before is there with 0: what was 1 once must say that it is so no more.
    let mut known = lock(&SHOWN);
    if known.last() != Some(&labels) {
        known.retain(|other| *other != labels);
        known.iter().for_each(|other| metrics::gauge!("nervelight_model_info", other).set(0.0));
        known.push(labels.clone());
    }
    metrics::gauge!("nervelight_model_info", &labels).set(1.0);
    for state in State::ALL {
        let name = state.name();
        let is_now = snapshot.models.deployment.as_ref().is_some_and(|now| now.state == state);
        metrics::gauge!("nervelight_deployment_state", "state" => name).set(f64::from(u8::from(is_now)));
        if state.is_over() {
            let count = snapshot.models.deployments.get(name).copied().unwrap_or_default();
            metrics::counter!("nervelight_deployments_total", "result" => name).absolute(count);
        }
    }
    let shadow = snapshot.models.shadow.as_ref();
    metrics::gauge!("nervelight_shadow_running").set(f64::from(u8::from(shadow.is_some())));
    if let Some(shadow) = shadow {
        metrics::gauge!("nervelight_shadow_frames").set(shadow.frames as f64);
        metrics::gauge!("nervelight_shadow_dice").set(shadow.mean_dice.unwrap_or(f64::NAN));
        metrics::gauge!("nervelight_shadow_flips").set(shadow.flips.unwrap_or(f64::NAN));
    }
}

/// How the cart stands to the tag that it follows.
fn follow(figures: &FollowFigures) {
    for state in FollowState::ALL {
        let is_now = f64::from(u8::from(figures.state == state));
        metrics::gauge!("nervelight_follow_state", "state" => state.name()).set(is_now);
    }
    metrics::gauge!("nervelight_follow_reachable").set(f64::from(u8::from(figures.reachable)));
    metrics::counter!("nervelight_follow_failures_total").absolute(figures.failures);
}

/// Labels of the models that ran.
static SHOWN: Mutex<Vec<[(&str, String); 5]>> = Mutex::new(vec![]);

fn publish_harvest(harvest: &HarvestFigures) {
    for (why, kept) in &harvest.kept {
        metrics::counter!("nervelight_harvest_kept_total", "why" => *why).absolute(*kept);
    }
    metrics::counter!("nervelight_harvest_lost_total").absolute(harvest.lost);
    metrics::counter!("nervelight_harvest_unseen_total").absolute(harvest.unseen);
    metrics::counter!("nervelight_harvest_deleted_total").absolute(harvest.deleted);
    metrics::gauge!("nervelight_harvest_items").set(harvest.items as f64);
    metrics::gauge!("nervelight_harvest_bytes").set(harvest.bytes as f64);
    metrics::gauge!("nervelight_harvest_failed").set(f64::from(u8::from(harvest.failed.is_some())));
}
