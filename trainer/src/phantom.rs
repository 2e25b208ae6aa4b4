//! `phantom`: a data set of synthetic frames in the layout of real ones.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_phantom::{HEIGHT, Phantom, WIDTH};
use rayon::prelude::*;
use tiff::encoder::{Compression, TiffEncoder, colortype::Gray8};

use crate::clip;
use crate::progress::Progress;
use crate::rng::Rng;

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

/// Writes `frames` stills, spread evenly over the patients.
fn write_stills(out: &Path, frames: usize, seeds: &[u64]) -> Result<()> {
    let train = out.join("train");
    let holds_any = |mut entries: std::fs::ReadDir| entries.next().is_some();
    if std::fs::read_dir(&train).is_ok_and(holds_any) {
        bail!(
            "{}: holds frames already, which would mix with these; remove it or choose another --out",
            train.display()
        );
    }
    std::fs::create_dir_all(&train).with_context(|| format!("{}: make", train.display()))?;
    let progress = std::sync::Mutex::new(Progress::new("phantom", 0, frames));
    seeds.par_iter().enumerate().try_for_each(|(patient, seed)| {
        let mut phantom = Phantom::new(*seed);
        let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
        let share = (patient..frames).step_by(seeds.len()).count();
        for n in 0..share as u64 {
            phantom.still(n, &mut luma, &mut mask)?;
            let name = format!("{}_{}", patient + 1, n + 1);
            write_tiff(&train.join(format!("{name}.tif")), &luma)?;
            write_tiff(&train.join(format!("{name}_mask.tif")), &mask)?;
            if let Ok(mut progress) = progress.lock() {
                progress.advance(1);
            }
        }
        anyhow::Ok(())
    })?;
    if let Ok(progress) = progress.into_inner() {
        progress.finish();
    }
    outln!("{frames} frames of {} patients in {}", seeds.len(), train.display());
    Ok(())
}

/// Seed of one patient. Runs with different seeds share no patient.
fn patient_seed(seed: u64, patient: usize) -> u64 {
    Rng::new(&[seed, patient as u64]).next()
}

/// 8-bit gray, LZW, as the original data set.
fn write_tiff(path: &Path, luma: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let mut encoder =
            TiffEncoder::new(BufWriter::new(File::create(path)?))?.with_compression(Compression::Lzw);
        Ok(encoder.write_image::<Gray8>(WIDTH as u32, HEIGHT as u32, luma)?)
    };
    write().with_context(|| format!("{}: write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_data_set_in_one_folder_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        write_stills(directory.path(), 1, &[1]).unwrap();
        let error = write_stills(directory.path(), 1, &[2]).unwrap_err().to_string();
        let train = directory.path().join("train");
        assert!(error.contains(&train.display().to_string()), "{error}");
        assert!(error.contains("choose another --out"), "{error}");
        assert_eq!(std::fs::read_dir(train).unwrap().count(), 2);
    }
}
