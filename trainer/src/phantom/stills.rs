//! A data set of synthetic frames in the layout of real ones.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nervelight_phantom::{HEIGHT, Phantom, WIDTH};
use rayon::prelude::*;

use crate::util::{Progress, Rng, write_gray};

/// Writes `frames` stills, spread evenly over the patients.
pub fn write_stills(out: &Path, frames: usize, seeds: &[u64]) -> Result<()> {
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
            write_gray(&train.join(format!("{name}.tif")), WIDTH as u32, HEIGHT as u32, &luma)?;
            write_gray(&train.join(format!("{name}_mask.tif")), WIDTH as u32, HEIGHT as u32, &mask)?;
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
pub fn patient_seed(seed: u64, patient: usize) -> u64 {
    Rng::new(&[seed, patient as u64]).next()
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
