//! A clock in the picture: each frame carries the time at which it was made, in blocks that survive H.264 and a scale by
//! two. Who decodes a frame reads from it how old it is.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

/// Bits in a row of the code, and its rows; a block is a 20th of the width and a 15th of the height.
const COLUMNS: usize = 20;
const ROWS: usize = 4;
/// Of the picture's 15 rows of blocks, the code's are the last, where no badge is.
const GRID: usize = 15;
/// Bits of the time in us, and of its checksum.
const TIME: u32 = 52;
const CHECK: u32 = 12;
/// Luma of a 0 and of a 1.
const LEVELS: [u8; 2] = [40, 216];

/// Now, in us since 1970: what other programs on this machine know too.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}

fn code(time: u64) -> u128 {
    let time = u128::from(time) & ((1 << TIME) - 1);
    // Any mixing does that changes with each bit.
    let check = (time.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) & ((1 << CHECK) - 1);
    time << CHECK | check
}

/// Centre, width and height of a bit's block.
fn block(bit: usize, width: usize, height: usize) -> (usize, usize, usize, usize) {
    let (w, h) = (width / COLUMNS, height / GRID);
    (bit % COLUMNS * w, (GRID - ROWS + bit / COLUMNS) * h, w, h)
}

/// Writes `time` into the lowest quarter of a picture's luma.
pub fn draw(luma: &mut [u8], stride: usize, width: usize, height: usize, time: u64) {
    let code = code(time);
    for bit in 0..(TIME + CHECK) as usize {
        let (x, y, w, h) = block(bit, width, height);
        let level = LEVELS[(code >> bit & 1) as usize];
        for row in luma.chunks_mut(stride).skip(y).take(h) {
            row[x..x + w].fill(level);
        }
    }
}

/// The time in a picture's luma, in us; none if there is no code, or it is damaged.
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<u64> {
    let mut found = 0u128;
    for bit in 0..(TIME + CHECK) as usize {
        let (x, y, w, h) = block(bit, width, height);
        let (mut sum, mut count) = (0u32, 0u32);
        // Its inner half.
        for row in luma.chunks(stride).skip(y + h / 4).take(h / 2) {
            for sample in row.get(x + w / 4..x + w / 4 + w / 2)? {
                (sum, count) = (sum + u32::from(*sample), count + 1);
            }
        }
        let mean = sum.checked_div(count)?;
        // A block that was overwritten is neither.
        if mean.abs_diff(128) < 30 {
            return None;
        }
        found |= u128::from(mean > 128) << bit;
    }
    let time = (found >> CHECK) as u64;
    (time > 0 && code(time) == found).then_some(time)
}

/// A camera that films a clock: writes raw I420 frames at its own pace into a FIFO.
pub struct Camera {
    fifo: PathBuf,
    size: (usize, usize),
    fps: u32,
    stop: Arc<AtomicBool>,
}

impl Camera {
    /// Begins once somebody reads the FIFO, which is made in `folder`.
    ///
    /// # Errors
    /// When no FIFO can be made.
    pub fn start(folder: &Path, width: usize, height: usize, fps: u32) -> Result<Self> {
        ensure!(width.is_multiple_of(40) && height.is_multiple_of(30), "blocks must have even sizes");
        let fifo = folder.join("camera.i420");
        ensure!(Command::new("mkfifo").arg(&fifo).status()?.success(), "mkfifo {}", fifo.display());
        let stop = Arc::<AtomicBool>::default();
        let (path, stopped) = (fifo.clone(), stop.clone());
        thread::spawn(move || film(&path, (width, height), fps, &stopped));
        Ok(Self { fifo, size: (width, height), fps, stop })
    }

    /// What the daemon reads it with: the `pipeline` of a live source.
    pub fn pipeline(&self) -> String {
        let (width, height) = self.size;
        format!(
            "filesrc location={} blocksize={} ! rawvideoparse use-sink-caps=false format=i420 width={width} \
             height={height} framerate={}/1",
            self.fifo.display(),
            width * height * 3 / 2,
            self.fps
        )
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn film(fifo: &Path, (width, height): (usize, usize), fps: u32, stop: &AtomicBool) {
    // It waits for a reader.
    let Ok(mut fifo) = OpenOptions::new().write(true).open(fifo) else { return };
    let mut frame = vec![128; width * height * 3 / 2];
    let begun = Instant::now();
    for n in 0.. {
        let due = begun + Duration::from_secs(1) * n / fps;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let luma = &mut frame[..width * height];
        // Something that moves, for the encoder.
        for (y, row) in luma.chunks_mut(width).enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                *sample = 60 + (((x + 3 * n as usize) / 8 * 37 + y / 8 * 91) % 97) as u8;
            }
        }
        draw(luma, width, width, height, now());
        if stop.load(Ordering::Relaxed) || fifo.write_all(&frame).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_drawn_and_damage_is_noticed() {
        let (width, height) = (640, 480);
        for time in [1, 123_456_789, now()] {
            let mut luma = vec![70; width * height];
            assert_eq!(read(&luma, width, width, height), None);
            draw(&mut luma, width, width, height, time);
            assert_eq!(read(&luma, width, width, height), Some(time));
            // What an encoder does to edges, and limited range to levels.
            let soft: Vec<u8> =
                luma.iter().map(|sample| 16 + (u32::from(*sample) * 219 / 255) as u8).collect();
            assert_eq!(read(&soft, width, width, height), Some(time));
            let (x, y, w, h) = block(17, width, height);
            for row in luma.chunks_mut(width).skip(y).take(h) {
                row[x..x + w].iter_mut().for_each(|sample| *sample = 255 - *sample);
            }
            assert_eq!(read(&luma, width, width, height), None);
        }
    }
}
