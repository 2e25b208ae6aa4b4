//! What was measured, as lines and a table.

use std::fmt::Write;

use nervelight_engines::Backend;
use serde_json::Value;

use crate::cmd::bench::measure::{FPS, Row};

impl Row {
    fn name(&self) -> String {
        let backend = match self.backend {
            Backend::Auto | Backend::Onnx => "onnx",
            Backend::Openvino => "openvino",
            Backend::Tensorrt => "tensorrt",
            Backend::TensorrtRtx => "tensorrt-rtx",
        };
        let asked = format!("{backend} {}", self.precision);
        let Some(engine) = &self.engine else { return asked };
        let provider = match self.backend {
            Backend::Tensorrt | Backend::TensorrtRtx => String::new(),
            _ => format!(" {}", engine.provider),
        };
        match engine.precision == self.precision {
            true => asked + &provider,
            false => format!("{asked} (as {}){provider}", engine.precision),
        }
    }

    /// One line while the others are still measured.
    pub fn line(&self) -> String {
        match (&self.failed, &self.engine) {
            (None, Some(engine)) => format!("{}: {:.2} ms ({})", self.name(), engine.ms.p50, engine.runtime),
            (failed, _) => format!("{}: {}", self.name(), failed.as_deref().unwrap_or("not measured")),
        }
    }
}

/// All rows, aligned.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let columns = ["p50", "p95", "p99", "max", "frames/s", "open s", "MB", "GPU MB", "mJ/frame", "GPU mJ"];
    let head = columns.iter().fold(String::new(), |line, name| format!("{line}{name:>10}"));
    let _ = writeln!(text, "{:<30}{head}", "engine alone, ms");
    let optional = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
    for row in rows {
        let Some(e) = &row.engine else { continue };
        let _ = writeln!(
            text,
            "{:<30}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.1}{:>10.2}{:>10.0}{:>10}{:>10}{:>10}",
            row.name(),
            e.ms.p50,
            e.ms.p95,
            e.ms.p99,
            e.ms.max,
            e.frames_per_s,
            e.open_s,
            e.memory_mb,
            optional(e.device_memory_mb),
            optional(e.joules_per_frame.map(|j| j * 1000.0)),
            optional(e.gpu_joules_per_frame.map(|j| j * 1000.0)),
        );
    }
    if rows.iter().any(|row| row.pipeline.is_some()) {
        let columns =
            ["in", "out", "masked", "lat p50", "lat p99", "lat max", "eng p50", "eng p99", "age p99"];
        let head = columns.iter().fold(String::new(), |line, name| format!("{line}{name:>10}"));
        let _ = writeln!(text, "{:<30}{head}", format!("pipeline at {FPS}/s, ms"));
        for row in rows {
            let Some(p) = &row.pipeline else { continue };
            let ms = |quantiles: &Value, q: &str| quantiles[q].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                text,
                "{:<30}{:>10}{:>10}{:>10}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
                row.name(),
                p.frames_in.to_string(),
                p.frames_out.to_string(),
                p.frames_masked.to_string(),
                ms(&p.latency_ms, "p50"),
                ms(&p.latency_ms, "p99"),
                ms(&p.latency_ms, "max"),
                ms(&p.engine_ms, "p50"),
                ms(&p.engine_ms, "p99"),
                ms(&p.mask_age_ms, "p99"),
            );
        }
    }
    for row in rows {
        if let Some(why) = &row.failed {
            let _ = writeln!(text, "not measured: {}: {why}", row.name());
        }
    }
    text
}
