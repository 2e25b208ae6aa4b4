//! Bundles are made beside their place and appear there whole, in one step.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A folder beside `out`, so that a bundle that fails never stands there, and the bundle's place in it.
/// It is removed when a signal stops the program, too.
pub fn beside(out: &Path) -> Result<(tempfile::TempDir, PathBuf)> {
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("{}: make", parent.display()))?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let folder = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)
        .with_context(|| format!("{}: make a folder in it", parent.display()))?;
    let unfinished = folder.path().to_owned();
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // What is being written may come between, and make the folder anew.
            for _ in 0..50 {
                let _gone = std::fs::remove_dir_all(&unfinished);
                std::thread::sleep(std::time::Duration::from_millis(20));
                if !unfinished.exists() {
                    break;
                }
            }
            // As if nobody had listened. Without destructors: libtorch's would pull away what its
            // threads still compute with.
            let _never_returns = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    let place = folder.path().join(out.file_name().context("--out has no name")?);
    Ok((folder, place))
}
