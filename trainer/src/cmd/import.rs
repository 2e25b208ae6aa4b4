//! `import`: frames of DICOM cines, or what carts kept for retraining, as a data set.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::import::{Settings, Taken, harvest, import};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train import cines/ --to data/carts --every 10
  nervelight-train import one.dcm two.dcm --to data/carts --patient 12
  nervelight-train import --harvest /media/usb/cart7 --to data/carts

Of each frame the 580x420 pixels in the middle of its ultrasound region are taken, as a cart takes its crop. Patients
become numbers, the same for files with the same patient ID; files without one are one patient's per argument. A later
import does not know the patients of an earlier one: give it --patient. import.json says which frame came from which
file (by digest), and when; nothing else of the files is kept. Names that are drawn into the picture itself stay there,
so look at the frames.

A frame needs a mask, S_N_mask.tif, before it can be trained on.

--harvest takes what `nervelightd harvest export` wrote into the folder drafts, with the masks that the cart's model drew.
Each case becomes a patient. Nothing of it is trained on before `analyze review`.")]
pub struct Arguments {
    /// DICOM files, or folders of them
    #[arg(required_unless_present = "harvest", value_name = "FILE|FOLDER")]
    from: Vec<PathBuf>,
    /// A folder that `nervelightd harvest export` wrote; may be repeated
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "patient", "every", "whole", "scale", "without_nerve"])]
    harvest: Vec<PathBuf>,
    /// Data set to write: train/S_N.tif and import.json. What is there is kept
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// All of them are patient N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    patient: Option<u32>,
    /// Take every Nth frame
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Take whole frames, with all that the machine writes around the ultrasound
    #[arg(long)]
    whole: bool,
    /// Scale the region to 580x420, with a black border where its shape is another
    #[arg(long)]
    scale: bool,
    /// No frame shows a nerve: write black masks
    #[arg(long)]
    without_nerve: bool,
}

/// Imports what is whole.
///
/// # Errors
/// When nothing could be imported; and, after the rest was, when frames are missing.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { from, harvest, to, patient, every, whole, scale, without_nerve } = arguments;
    if !harvest.is_empty() {
        return run_harvest(harvest, to);
    }
    let imported = import(&Settings {
        from,
        to,
        patient: *patient,
        every: *every,
        whole: *whole,
        scale: *scale,
        without_nerve: *without_nerve,
    })?;
    let (frames, files, folder) = (imported.frames, imported.files, imported.folder.display());
    let patients = match imported.patients {
        (first, last) if first == last => format!("patient {first}"),
        (first, last) => format!("patients {first} to {last}"),
    };
    outln!("{frames} frames of {files} files in {folder}: {patients}");
    if !without_nerve {
        outln!("draw the nerve of each S_N.tif into S_N_mask.tif, white on black, before training");
    }
    if !imported.missing.is_empty() {
        bail!("all but these frames was imported:\n  {}", imported.missing.join("\n  "));
    }
    Ok(())
}

fn run_harvest(from: &[PathBuf], to: &Path) -> Result<()> {
    let Taken { frames, cases, known, folder, left_out } = harvest(from, to)?;
    outln!("{frames} drafts of {cases} cases in {}, {known} were there", folder.display());
    outln!("review them with `nervelight-train analyze review --data {} --reviewer NAME`", to.display());
    if !left_out.is_empty() {
        bail!("all but these items was imported:\n  {}", left_out.join("\n  "));
    }
    Ok(())
}
