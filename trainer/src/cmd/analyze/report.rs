//! `analyze report`: the state of a data set as one HTML file.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::analyze::{DEFAULT_LIMIT, DUPLICATES, Findings, Scan, Shown, html, load, scan};

/// Arguments of `analyze report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train analyze report --data data/neck --out neck.html
  nervelight-train analyze report --data data/neck --scan neck.scan --out neck.html
  nervelight-train analyze report --data data/neck --duplicates 30000 --groups 100 --out neck.html

The file needs no network and no other file. Files that cannot be used are listed in it.")]
pub struct Arguments {
    /// Directory with S_N.tif and S_N_mask.tif, or with a folder `train` of them
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Results of `analyze scan` of the same data [default: scan now]
    #[arg(long, value_name = "FILE")]
    pub scan: Option<PathBuf>,
    /// HTML file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Frames with a difference under this form groups
    #[arg(long, value_name = "N", default_value_t = DUPLICATES)]
    pub duplicates: u32,
    /// Number of groups to picture; those that contradict themselves come first
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub groups: usize,
}

/// Writes the report.
pub fn run(arguments: &Arguments) -> Result<()> {
    // Before the frames are read: a wrong file should not cost a minute.
    let read = match &arguments.scan {
        Some(path) => Some((path, Scan::load(path).with_context(|| path.display().to_string())?)),
        None => None,
    };
    let data = load(&arguments.data)?;
    let scan = match read {
        Some((path, scan)) => {
            scan.check(&data).with_context(|| path.display().to_string())?;
            scan
        }
        None => scan(&data, DEFAULT_LIMIT.max(arguments.duplicates), false),
    };
    anyhow::ensure!(
        arguments.duplicates <= scan.limit,
        "--duplicates {} is above {}, the scan's threshold; scan again with --threshold {0}",
        arguments.duplicates,
        scan.limit
    );
    let findings = Findings::of(&data, &scan, arguments.duplicates);
    let title = arguments.data.display().to_string();
    let shown = Shown { title: &title, groups: arguments.groups, duplicates: arguments.duplicates };
    let html = html(&data, &scan, &findings, &shown)?;
    let out = &arguments.out;
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: make", folder.display()))?;
    }
    std::fs::write(out, html).with_context(|| format!("{}: write", out.display()))?;
    outln!("report in {}", out.display());
    Ok(())
}
