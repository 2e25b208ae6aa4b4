//! `phantom`: a data set of synthetic frames, a clip of them, or both.

use std::path::PathBuf;

use anyhow::Result;

use crate::phantom::{clip, patient_seed, write_stills};

/// Arguments of `phantom`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train phantom --out data/phantom --frames 2400 --patients 60
  nervelight-train phantom --out data/unseen --frames 300 --patients 10 --seed 99
  nervelight-train phantom --frames 300 --patients 1 --clip neck.mp4

--clip writes a moving picture of the same patients, one after the other, and neck_mask.mp4.")]
pub struct Arguments {
    /// Directory to write: train/S_N.tif and train/S_N_mask.tif, S = patient
    #[arg(long, value_name = "DIR", required_unless_present = "clip")]
    out: Option<PathBuf>,
    /// Frames in all
    #[arg(long, value_name = "N", default_value_t = 2400)]
    frames: usize,
    /// Patients to spread them over
    #[arg(long, value_name = "P", default_value_t = 60)]
    patients: usize,
    /// Draws the patients; the same seed gives the same bytes
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Write a video too, .mp4 or .mkv (needs ffmpeg)
    #[arg(long, value_name = "FILE")]
    clip: Option<PathBuf>,
}

/// Writes the data set, the clip or both.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { out, frames, patients, seed, clip } = arguments;
    anyhow::ensure!(*patients > 0 && frames >= patients, "--frames must be at least --patients");
    let seeds: Vec<u64> = (0..*patients).map(|patient| patient_seed(*seed, patient)).collect();
    if let Some(out) = out {
        write_stills(out, *frames, &seeds)?;
    }
    if let Some(clip) = clip {
        clip::write(clip, *frames, &seeds)?;
        outln!("{frames} frames of {patients} patients in {}", clip.display());
    }
    Ok(())
}
