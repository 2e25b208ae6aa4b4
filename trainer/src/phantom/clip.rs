//! Synthetic frames as video: raw frames piped into `ffmpeg`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nervelight_phantom::{HEIGHT, Phantom, WIDTH};

use crate::util::Progress;

/// Frames a second.
const RATE: &str = "30";

/// Writes `frames` of a motion clip through each of `patients` in turn to `path`, and the masks
/// to a file with `_mask` behind its stem. Luma is full range; the masks come back to the bit.
pub fn write(path: &Path, frames: usize, patients: &[u64]) -> Result<()> {
    // Constant quantiser 1 is under one grey level; 0 would need a profile that few decoders have.
    let mut video = Encoder::start(path, &["-qp", "1", "-profile:v", "high"])?;
    let mut masks = Encoder::start(&mask_path(path)?, &["-qp", "0"])?;
    let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
    let mut progress = Progress::new("clip", 0, frames);
    for (i, seed) in patients.iter().enumerate() {
        let mut phantom = Phantom::new(*seed);
        let share = frames * (i + 1) / patients.len() - frames * i / patients.len();
        for n in 0..share as u64 {
            phantom.frame(n, &mut luma, &mut mask)?;
            video.push(&luma)?;
            masks.push(&mask)?;
            progress.advance(1);
        }
    }
    progress.finish();
    video.finish()?;
    masks.finish()
}

/// `neck.mp4` to `neck_mask.mp4`.
fn mask_path(path: &Path) -> Result<PathBuf> {
    let stem = path.file_stem().with_context(|| format!("{}: has no file name", path.display()))?;
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !["mp4", "mkv"].contains(&extension.as_str()) {
        bail!("{}: is neither .mp4 nor .mkv; choose one", path.display());
    }
    Ok(path.with_file_name(format!("{}_mask.{extension}", stem.to_string_lossy())))
}

/// An `ffmpeg` that takes gray frames on its standard input.
struct Encoder {
    path: PathBuf,
    child: Child,
}

impl Encoder {
    fn start(path: &Path, quality: &[&str]) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).with_context(|| format!("{}: make", parent.display()))?;
        }
        let size = format!("{WIDTH}x{HEIGHT}");
        let child = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
            .args(["-f", "rawvideo", "-pix_fmt", "gray", "-s", &size, "-r", RATE, "-i", "pipe:0"])
            // Gray becomes the luma plane as it is: the scaler would squeeze it to 16..235.
            .args(["-vf", "scale=in_range=full:out_range=full,format=yuv420p"])
            // Gray is the same in every matrix, but a player guesses by size where none is given.
            .args(["-colorspace", "smpte170m", "-color_primaries", "smpte170m"])
            .args(["-color_trc", "smpte170m", "-color_range", "pc"])
            .args(["-c:v", "libx264", "-preset", "veryfast"])
            .args(quality)
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .context("ffmpeg does not start; install it (Debian: apt install ffmpeg), or leave out --clip")?;
        Ok(Self { path: path.into(), child })
    }

    fn push(&mut self, frame: &[u8]) -> Result<()> {
        let input = self.child.stdin.as_mut().context("ffmpeg takes no input")?;
        input.write_all(frame).with_context(|| {
            format!("{}: ffmpeg stopped; see its message above (a full disk?)", self.path.display())
        })
    }

    fn finish(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{}: ffmpeg failed ({status}); see its message above", self.path.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have_ffmpeg() -> bool {
        Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    /// Luma of every frame of a video.
    fn decode(path: &Path) -> Vec<u8> {
        let output = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-i"])
            .arg(path)
            .args(["-vf", "extractplanes=y", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"])
            .output()
            .unwrap();
        output.stdout
    }

    #[test]
    fn clip_keeps_its_frames_and_masks() {
        if !have_ffmpeg() {
            eprintln!("skipped: no ffmpeg");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neck.mp4");
        write(&path, 5, &[3, 4]).unwrap();
        let (video, masks) = (decode(&path), decode(&directory.path().join("neck_mask.mp4")));
        assert_eq!((video.len(), masks.len()), (5 * WIDTH * HEIGHT, 5 * WIDTH * HEIGHT));
        let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
        // Two frames of the first patient, three of the second.
        for (at, seed, n) in [(1, 3, 1), (4, 4, 2)] {
            Phantom::new(seed).frame(n, &mut luma, &mut mask).unwrap();
            let range = at * WIDTH * HEIGHT..(at + 1) * WIDTH * HEIGHT;
            assert!(masks[range.clone()] == mask[..], "mask {at}");
            let off = video[range].iter().zip(&luma).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off <= 4, "frame {at} is off by {off}");
        }
    }

    #[test]
    fn clip_says_what_its_colours_mean() {
        if !have_ffmpeg() {
            eprintln!("skipped: no ffmpeg");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("neck.mp4");
        write(&path, 1, &[3]).unwrap();
        // The decoder's own words, so that no ffprobe is needed.
        let output = Command::new("ffmpeg").args(["-hide_banner", "-i"]).arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("(pc, smpte170m"), "{told}");
    }

    #[test]
    fn other_containers_are_refused() {
        let error = mask_path(Path::new("neck.avi")).unwrap_err().to_string();
        assert!(error.contains("neither .mp4 nor .mkv"), "{error}");
        assert_eq!(mask_path(Path::new("a/neck.mkv")).unwrap(), Path::new("a/neck_mask.mkv"));
    }
}
