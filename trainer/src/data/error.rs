//! Why a directory is no data set.

use std::path::PathBuf;

use nervelight_engines::settings::Problems;

/// At most this many bad files are listed.
const LISTED: usize = 20;

/// Why a directory is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{0}: no such directory; set `data` to the folder that holds S_N.tif and S_N_mask.tif")]
    Missing(PathBuf),
    #[error(
        "{0}: no frames here; wanted pairs like 1_1.tif and 1_1_mask.tif (TIFF or PNG), here or in \
         its folder `train`. To try without data: nervelight-train phantom --out {0}"
    )]
    Empty(PathBuf),
    #[error("{directory}: {}", list(problems))]
    Bad { directory: PathBuf, problems: Vec<String> },
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    #[error(transparent)]
    Corrections(#[from] Problems),
    #[error("{0}: every frame is dropped; decide otherwise with `nervelight-train analyze resolve`")]
    Dropped(PathBuf),
}

fn list(problems: &[String]) -> String {
    let mut text = format!("{} of its files cannot be used:", problems.len());
    for problem in problems.iter().take(LISTED) {
        text += &format!("\n  {problem}");
    }
    if problems.len() > LISTED {
        text += &format!("\n  and {} more", problems.len() - LISTED);
    }
    text
}
