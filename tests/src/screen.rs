//! The screen of an ultrasound machine, drawn frame by frame, and clips of it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nervelight_phantom::{HEIGHT, Phantom, WIDTH};

/// A picture in I420, full range.
pub struct Screen {
    /// Pixels in a row, even.
    pub width: usize,
    /// Rows, even.
    pub height: usize,
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    phantom: Phantom,
    scan: Vec<u8>,
    mask: Vec<u8>,
    /// Corner and magnification of the scan.
    place: ([usize; 2], f64),
}

impl Screen {
    /// A black one beside the patient `seed`.
    pub fn new(width: usize, height: usize, seed: u64) -> Self {
        let chroma = || vec![128; width * height / 4];
        Self {
            width,
            height,
            luma: vec![0; width * height],
            chroma: [chroma(), chroma()],
            phantom: Phantom::new(seed),
            scan: vec![0; WIDTH * HEIGHT],
            mask: vec![0; WIDTH * HEIGHT],
            place: ([0, 0], 1.0),
        }
    }

    /// Fills a rectangle with one colour: Y, U, V.
    pub fn fill(&mut self, [x, y, width, height]: [usize; 4], colour: [u8; 3]) {
        for row in y..(y + height).min(self.height) {
            self.luma[row * self.width + x..][..width.min(self.width - x)].fill(colour[0]);
        }
        let half = self.width / 2;
        for (plane, value) in self.chroma.iter_mut().zip(&colour[1..]) {
            for row in y / 2..((y + height) / 2).min(self.height / 2) {
                plane[row * half + x / 2..][..(width / 2).min(half - x / 2)].fill(*value);
            }
        }
    }

    /// All of it in one colour.
    pub fn clear(&mut self, colour: [u8; 3]) {
        self.fill([0, 0, self.width, self.height], colour);
    }

    /// What stands around the scan: a bar with words, a gray scale, a clock that shows `n`, a cursor that wanders.
    pub fn interface(&mut self, n: u64) {
        let (width, height) = (self.width, self.height);
        self.fill([0, 0, width, 40], [50, 132, 124]);
        for word in 0..width / 90 {
            self.fill([20 + 90 * word, 14, 30 + word * 7 % 40, 12], [200, 128, 128]);
        }
        for step in 0..16 {
            self.fill([12, 80 + 12 * step, 16, 12], [(step * 16) as u8, 128, 128]);
        }
        for digit in 0..6 {
            let shape = n / 30 / 10_u64.pow(digit) % 10 * 23;
            self.fill([width - 40 - 20 * digit as usize, 8, 14, 24], [40 + shape as u8, 128, 128]);
        }
        let cursor = [60 + (n as usize * 11) % (width / 2), height - 50, 12, 18];
        self.fill([0, height - 60, width, 60], [20, 128, 128]);
        self.fill(cursor, [235, 128, 128]);
    }

    /// Frame `n` of the scan with its corner at `x`, `y`, magnified by `scale`.
    ///
    /// # Errors
    /// When the phantom cannot be drawn.
    pub fn scan(&mut self, n: u64, [x, y]: [usize; 2], scale: f64) -> Result<()> {
        self.phantom.frame(n, &mut self.scan, &mut self.mask)?;
        self.place = ([x, y], scale);
        let (width, height) = ((WIDTH as f64 * scale) as usize, (HEIGHT as f64 * scale) as usize);
        for row in 0..height {
            let from = &self.scan[(row as f64 / scale) as usize * WIDTH..][..WIDTH];
            let to = &mut self.luma[(y + row) * self.width + x..][..width];
            to.iter_mut().enumerate().for_each(|(col, luma)| *luma = from[(col as f64 / scale) as usize]);
        }
        Ok(())
    }

    /// Whether the nerve of the last scan lies under a pixel.
    pub fn is_nerve(&self, x: usize, y: usize) -> bool {
        let ([left, top], scale) = self.place;
        let inside = |at: usize, corner: usize, most: usize| {
            let at = (at.checked_sub(corner)? as f64 / scale) as usize;
            (at < most).then_some(at)
        };
        let found = inside(x, left, WIDTH).zip(inside(y, top, HEIGHT));
        found.is_some_and(|(x, y)| self.mask[y * WIDTH + x] != 0)
    }

    /// SMPTE's colour bars over a black ground.
    pub fn bars(&mut self) {
        const BARS: [[u8; 3]; 7] = [
            [191, 128, 128],
            [169, 33, 144],
            [134, 159, 32],
            [113, 64, 48],
            [79, 192, 208],
            [57, 97, 224],
            [22, 223, 112],
        ];
        self.clear([0, 128, 128]);
        for (n, colour) in BARS.into_iter().enumerate() {
            self.fill([self.width * n / 7 / 2 * 2, 0, self.width / 7 + 3, self.height * 2 / 3], colour);
        }
    }
}

/// A clip that is being written, without loss.
pub struct Clip {
    ffmpeg: Child,
}

impl Clip {
    /// Begins a clip of `width` x `height` at `fps`.
    ///
    /// # Errors
    /// When ffmpeg cannot be started.
    pub fn new(path: &Path, width: usize, height: usize, fps: u32) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        let (size, fps) = (format!("{width}x{height}"), fps.to_string());
        command
            .args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuvj420p", "-s", &size, "-r", &fps]);
        command.args(["-i", "-", "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-g", "30"]);
        command.args(["-color_range", "pc"]).arg(path);
        Ok(Self { ffmpeg: command.stdin(Stdio::piped()).spawn().context("ffmpeg")? })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When ffmpeg has ended.
    pub fn push(&mut self, screen: &Screen) -> Result<()> {
        let stdin = self.ffmpeg.stdin.as_mut().context("ffmpeg")?;
        stdin.write_all(&screen.luma)?;
        Ok(screen.chroma.iter().try_for_each(|plane| stdin.write_all(plane))?)
    }

    /// Ends the clip.
    ///
    /// # Errors
    /// When ffmpeg failed.
    pub fn finish(mut self) -> Result<()> {
        drop(self.ffmpeg.stdin.take());
        ensure!(self.ffmpeg.wait()?.success(), "ffmpeg failed");
        Ok(())
    }
}
