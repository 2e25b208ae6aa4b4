//! The built daemon over clips paced at 30 frames/s: `cargo bench -p nervelight-tests`.
//!
//! Prints a table: frames shown and dropped, latency from capture to output, the engine's time and
//! everything else's. `-- --seconds N` sets the clips' length (60 by default).

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use nervelight_tests::{Cart, run};
use serde_json::Value;

const LOSSY: &str = "encoder = \"x264enc pass=quant quantizer=18 speed-preset=veryfast\"";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().position(|a| a == flag).and_then(|i| arguments.get(i + 1));
    let seconds: u64 = after("--seconds").map_or(Ok(60), |s| s.parse())?;
    let folder = tempfile::tempdir()?;
    let (small, large) = (folder.path().join("580x420.mkv"), folder.path().join("1920x1080.mkv"));
    make_clip(&small, seconds * 30)?;
    enlarge(&small, &large)?;

    println!("{seconds} s at 30 frames/s, {} cores; ms", std::thread::available_parallelism()?);
    println!(
        "{:<11}{:<6}{:<8}{:>6}{:>6}{:>6}{:>6}{:>9}{:>8}{:>8}{:>9}{:>8}{:>8}{:>11}{:>8}{:>8}",
        "clip",
        "model",
        "sync",
        "in",
        "out",
        "drop",
        "badge",
        "lat p50",
        "p99",
        "max",
        "eng p50",
        "p99",
        "max",
        "other p50",
        "p99",
        "max"
    );
    for clip in [&small, &large] {
        for precision in ["fp32", "int8"] {
            for mode in ["latest", "exact"] {
                row(clip, precision, mode, &measure(clip, precision, mode)?);
            }
        }
    }
    Ok(())
}

fn row(clip: &Path, precision: &str, mode: &str, r: &Value) {
    let count = |key: &str| r[key].as_u64().unwrap_or_default();
    let ms = |key: &str, quantile: &str| r[key][quantile].as_f64().unwrap_or(f64::NAN);
    println!(
        "{:<11}{precision:<6}{mode:<8}{:>6}{:>6}{:>6}{:>6}{:>9.2}{:>8.2}{:>8.2}{:>9.2}{:>8.2}{:>8.2}{:>11.2}{:>8.2}{:>8.2}",
        clip.file_stem().unwrap_or_default().to_string_lossy(),
        count("frames_in"),
        count("frames_out"),
        count("dropped"),
        count("frames_badged"),
        ms("latency_ms", "p50"),
        ms("latency_ms", "p99"),
        ms("latency_ms", "max"),
        ms("engine_ms", "p50"),
        ms("engine_ms", "p99"),
        ms("engine_ms", "max"),
        ms("overhead_ms", "p50"),
        ms("overhead_ms", "p99"),
        ms("overhead_ms", "max"),
    );
}

fn measure(clip: &Path, precision: &str, mode: &str) -> Result<Value> {
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "file", path = "{}", paced = true }}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "{precision}" }}
        sync = {{ mode = "{mode}" }}
        http = {{ enabled = false }}
        report = {{ path = "report.json" }}
        sinks = [{{ kind = "null" }}]
        "#,
        clip.display()
    ))?;
    let ended = cart.run("run")?;
    ensure!(ended.success, "{}", ended.stderr);
    cart.report()
}

fn make_clip(path: &Path, frames: u64) -> Result<()> {
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", seed = 7, frames = {frames}, paced = false }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ enabled = false }}
        overlay = {{ enabled = false }}
        [[sinks]]
        kind = "file"
        path = "{}"
        {LOSSY}
        "#,
        path.display()
    ))?;
    let ended = cart.run("run")?;
    ensure!(ended.success, "{}", ended.stderr);
    Ok(())
}

/// The same picture in the middle of a 1920x1080 one, as a scanner's screen has it.
fn enlarge(from: &Path, to: &Path) -> Result<()> {
    let text = format!(
        "filesrc location={} ! decodebin ! videobox autocrop=true ! \
         video/x-raw,format=I420,width=1920,height=1080 ! \
         x264enc pass=quant quantizer=18 speed-preset=veryfast ! matroskamux ! filesink location={}",
        from.display(),
        to.display()
    );
    let ended = run(Command::new("gst-launch-1.0").arg("-q").args(text.split_whitespace()))?;
    ensure!(ended.success, "{}", ended.stderr);
    Ok(())
}
