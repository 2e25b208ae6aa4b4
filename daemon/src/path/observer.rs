//! What can be seen of a frame without understanding it: luma on a grid, what changed since the frame before, and
//! whether the picture is black or one that a capture card draws. Nothing is allocated after the first frame.

use anyhow::{Context as _, Result};
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef};

use crate::frame::{LumaStatistics, Region};

/// A pixel has changed if its luma differs by more: codecs move standing pixels by less.
pub const CHANGE: u8 = 3;
/// Luma above black that still is black.
const DARK: u8 = 10;
/// Part of the pixels that may be brighter in a black picture.
const LIT: f32 = 0.002;
/// Part of the pixels of a card's own picture that has one colour; the rest may be words. A scanner's picture leaves
/// less.
const FLAT: f32 = 0.92;
/// Difference of luma or chroma that is none.
const NOISE: u8 = 2;
/// Least |U - 128| + |V - 128| of a colour: scanners draw on gray.
const COLOURED: u32 = 24;
/// Changes of luma along a row of colour bars, at least.
const BARS: usize = 5;

/// What was seen of one frame.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observation {
    /// Of the whole frame.
    pub luma: LumaStatistics,
    /// Part of the crop's pixels that changed since the frame before; none for the first.
    pub changed: Option<f32>,
    /// What kind of picture it is.
    pub kind: Kind,
}

/// What kind of picture a frame shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// Something.
    #[default]
    Scene,
    /// Nothing.
    Black,
    /// One colour that is not gray, or colour bars, without noise: what capture cards show without input.
    Card,
}

/// The samples of a 4:2:0 picture, to read.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// Rows of `luma_stride` bytes.
    pub luma: &'a [u8],
    /// Bytes from one row to the next.
    pub luma_stride: usize,
    /// U and V at half resolution.
    pub chroma: [&'a [u8]; 2],
    /// Bytes from one row of chroma to the next.
    pub chroma_stride: usize,
    /// Bytes from one sample of U to the next.
    pub chroma_step: usize,
}

impl<'a> Samples<'a> {
    /// Of a mapped I420 or NV12 frame.
    ///
    /// # Errors
    /// When a plane is missing.
    pub fn of(frame: &'a VideoFrameRef<&gst::BufferRef>) -> Result<Self> {
        let stride = |plane: usize| frame.plane_stride()[plane] as usize;
        let plane = |n| frame.plane_data(n).context("a frame lacks luma or chroma");
        let (chroma, chroma_step) = match frame.format() {
            VideoFormat::I420 => ([plane(1)?, plane(2)?], 1),
            _ => ([plane(1)?, plane(1)?.get(1..).unwrap_or_default()], 2),
        };
        let (luma_stride, chroma_stride) = (stride(0), stride(1));
        Ok(Self { luma: plane(0)?, luma_stride, chroma, chroma_stride, chroma_step })
    }
}

/// Luma on a grid of this frame and of the one before it.
pub struct Grid<'a> {
    /// Pixels from one point to the next.
    pub step: usize,
    /// Points in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// Of this frame.
    pub fresh: &'a [u8],
    /// Of the one before.
    pub last: &'a [u8],
}

/// Compares frames of one size and format.
pub struct Observer {
    /// Pixels from one point of the grid to the next.
    step: usize,
    columns: usize,
    rows: usize,
    /// Columns and rows of the grid in the crop.
    crop: [std::ops::Range<usize>; 2],
    black: u8,
    /// The grid's luma of the last frame.
    last: Vec<u8>,
    /// The same of this frame.
    fresh: Vec<u8>,
    has_last: bool,
}

impl Observer {
    /// For frames of `width` x `height` whose black is `black`.
    pub fn new(width: usize, height: usize, black: u8) -> Self {
        let step = if width * height > 1 << 20 { 16 } else { 8 };
        let (columns, rows) = (width.div_ceil(step), height.div_ceil(step));
        let grid = || vec![0; columns * rows];
        let crop = [0..columns, 0..rows];
        Self { step, columns, rows, crop, black, last: grid(), fresh: grid(), has_last: false }
    }

    /// What was looked at last.
    pub fn grid(&self) -> Grid<'_> {
        let Self { step, columns, rows, fresh, last, .. } = self;
        Grid { step: *step, columns: *columns, rows: *rows, fresh, last }
    }

    /// Changes count in `size` pixels at `region` only; everywhere without one.
    pub fn watch(&mut self, region: Option<Region>, size: (usize, usize)) {
        let part = |at: usize, size: usize, most: usize| {
            at.div_ceil(self.step).min(most)..(at + size).div_ceil(self.step).min(most)
        };
        self.crop = match region {
            Some(Region { x, y }) => [part(x, size.0, self.columns), part(y, size.1, self.rows)],
            None => [0..self.columns, 0..self.rows],
        };
    }

    /// Looks at the next frame.
    pub fn look(&mut self, samples: &Samples<'_>) -> Observation {
        std::mem::swap(&mut self.last, &mut self.fresh);
        for (row, points) in self.fresh.chunks_exact_mut(self.columns).enumerate() {
            let line = &samples.luma[row * self.step * samples.luma_stride..];
            points.iter_mut().zip(line.iter().step_by(self.step)).for_each(|(point, luma)| *point = *luma);
        }
        let changed = std::mem::replace(&mut self.has_last, true).then(|| self.changed());
        Observation { luma: self.luma(), changed, kind: self.kind(samples) }
    }

    fn luma(&self) -> LumaStatistics {
        let (mut sum, mut squares) = (0u64, 0u64);
        for row in self.fresh.chunks_exact(self.columns) {
            sum += u64::from(row.iter().map(|&v| u32::from(v)).sum::<u32>());
            squares += u64::from(row.iter().map(|&v| u32::from(v) * u32::from(v)).sum::<u32>());
        }
        let count = self.fresh.len() as f64;
        let (mean, square) = (sum as f64 / count, squares as f64 / count);
        LumaStatistics { mean: mean as f32, deviation: (square - mean * mean).max(0.0).sqrt() as f32 }
    }

    fn changed(&self) -> f32 {
        let [columns, rows] = self.crop.clone();
        let mut count = 0;
        for row in rows.clone() {
            let part = row * self.columns + columns.start..row * self.columns + columns.end;
            let pairs = self.fresh[part.clone()].iter().zip(&self.last[part]);
            count += pairs.map(|(a, b)| u32::from(a.abs_diff(*b) > CHANGE)).sum::<u32>();
        }
        count as f32 / (columns.len() * rows.len()).max(1) as f32
    }

    fn kind(&self, samples: &Samples<'_>) -> Kind {
        let most = (self.fresh.len() as f32 * LIT) as u32;
        let limit = self.black + DARK;
        if self.fresh.iter().map(|&v| u32::from(v > limit)).sum::<u32>() <= most {
            return Kind::Black;
        }
        if self.is_flat(samples) || self.has_bars(samples) { Kind::Card } else { Kind::Scene }
    }

    /// Whether most of the picture has one colour that is not gray.
    fn is_flat(&self, samples: &Samples<'_>) -> bool {
        let least = (self.fresh.len() as f32 * FLAT) as usize;
        // With so many of one value, one of these points has it.
        let middle = self.fresh.len() / 2 + self.columns / 2;
        let tried = [0, self.columns + 1, middle, self.fresh.len() - 1];
        let like = |value: u8| self.fresh.iter().filter(|v| v.abs_diff(value) <= NOISE).count();
        let Some(&at) = tried.iter().find(|&&at| self.fresh.get(at).is_some_and(|&v| like(v) >= least))
        else {
            return false;
        };
        let (value, colour) = (self.fresh[at], self.chroma(samples, at));
        let is_like = |other: [u8; 2]| (0..2).all(|i| other[i].abs_diff(colour[i]) <= NOISE);
        let is_same =
            |&at: &usize| self.fresh[at].abs_diff(value) <= NOISE && is_like(self.chroma(samples, at));
        saturation(colour) >= COLOURED && (0..self.fresh.len()).filter(is_same).count() >= least
    }

    /// Whether the upper half has colour bars: every column of one colour, many colours in a row.
    fn has_bars(&self, samples: &Samples<'_>) -> bool {
        let upper = &self.fresh[..self.rows / 2 * self.columns];
        let Some(first) = upper.get(..self.columns) else { return false };
        let changes = first.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 3 * NOISE).count();
        if !(BARS..=4 * BARS).contains(&changes) {
            return false;
        }
        let lines = upper.chunks_exact(self.columns);
        let count =
            lines.map(|line| line.iter().zip(first).filter(|(a, b)| a.abs_diff(**b) <= NOISE).count());
        let is_striped = count.sum::<usize>() as f32 >= 0.97 * upper.len() as f32;
        let saturated = |at: &usize| saturation(self.chroma(samples, *at)) >= 2 * COLOURED;
        is_striped && (0..self.columns).filter(saturated).count() * 2 >= self.columns
    }

    /// U and V at a point of the grid.
    fn chroma(&self, samples: &Samples<'_>, at: usize) -> [u8; 2] {
        let (x, y) = (at % self.columns * self.step / 2, at / self.columns * self.step / 2);
        let i = y * samples.chroma_stride + x * samples.chroma_step;
        samples.chroma.map(|plane| plane.get(i).copied().unwrap_or(128))
    }
}

fn saturation(colour: [u8; 2]) -> u32 {
    colour.iter().map(|c| u32::from(c.abs_diff(128))).sum()
}

#[cfg(test)]
pub mod tests {
    use nervelight_engines::{HEIGHT as CROP_HEIGHT, WIDTH as CROP_WIDTH};
    use nervelight_phantom::Phantom;

    use super::*;

    /// A picture in I420, one value a pixel.
    pub struct Made {
        pub width: usize,
        pub luma: Vec<u8>,
        pub chroma: [Vec<u8>; 2],
    }

    impl Made {
        pub fn new(width: usize, height: usize, of: impl Fn(usize, usize) -> [u8; 3]) -> Self {
            let luma = (0..width * height).map(|i| of(i % width, i / width)[0]).collect();
            let half = width / 2;
            let plane =
                |n: usize| (0..half * height / 2).map(|i| of(i % half * 2, i / half * 2)[n]).collect();
            Self { width, luma, chroma: [plane(1), plane(2)] }
        }

        pub fn samples(&self) -> Samples<'_> {
            let chroma = [&self.chroma[0][..], &self.chroma[1][..]];
            let (luma_stride, chroma_stride) = (self.width, self.width / 2);
            Samples { luma: &self.luma, luma_stride, chroma, chroma_stride, chroma_step: 1 }
        }
    }

    const BLUE: [u8; 3] = [41, 240, 110];
    /// What counts as motion in `signal.rs`.
    const MINIMUM: f32 = 0.02;

    fn kind(of: impl Fn(usize, usize) -> [u8; 3]) -> Kind {
        let made = Made::new(1280, 720, of);
        Observer::new(1280, 720, 16).look(&made.samples()).kind
    }

    #[test]
    fn luma_is_measured_on_a_grid() {
        let luma = |of: fn(usize) -> u8| {
            let made = Made::new(64, 64, |x, _| [of(x), 128, 128]);
            let luma = Observer::new(64, 64, 0).look(&made.samples()).luma;
            (luma.mean, luma.deviation)
        };
        assert_eq!(luma(|_| 40), (40.0, 0.0));
        assert_eq!(luma(|x| if x < 32 { 0 } else { 200 }), (100.0, 100.0));
    }

    #[test]
    fn black_is_black_with_noise_and_not_with_words() {
        assert_eq!(kind(|x, y| [16 + (x * y % 5) as u8, 128, 128]), Kind::Black);
        let words = |x: usize, y: usize| (100..300).contains(&x) && (40..70).contains(&y);
        assert_eq!(kind(|x, y| [if words(x, y) { 180 } else { 16 }, 128, 128]), Kind::Scene);
    }

    #[test]
    fn what_cards_draw_is_known() {
        assert_eq!(kind(|_, _| BLUE), Kind::Card);
        let words = |x: usize, y: usize| (400..900).contains(&x) && (300..400).contains(&y);
        assert_eq!(
            kind(|x, y| if words(x, y) { [200, 128, 128] } else { BLUE }),
            Kind::Card,
            "blue with words"
        );
        let bars = [
            [180, 128, 128],
            [162, 44, 142],
            [131, 156, 44],
            [112, 72, 58],
            [84, 184, 198],
            [65, 100, 212],
            [35, 212, 114],
        ];
        let smpte =
            |x: usize, y: usize| if y < 480 { bars[x * 7 / 1280] } else { [16 + (x % 200) as u8, 128, 128] };
        assert_eq!(kind(smpte), Kind::Card);
    }

    #[test]
    fn what_scanners_draw_is_not_a_cards() {
        assert_eq!(kind(|_, _| [90, 128, 128]), Kind::Scene, "a gray screen");
        let gray_bars = |x: usize, _: usize| [(x * 8 / 1280 * 30) as u8 + 20, 128, 128];
        assert_eq!(kind(gray_bars), Kind::Scene, "a gray scale");
        let sector = |x: usize, y: usize| (350..930).contains(&x) && (150..570).contains(&y);
        let on_blue = |x: usize, y: usize| {
            if sector(x, y) { [(x * 7 + y * 13) as u8, 128, 128] } else { BLUE }
        };
        assert_eq!(kind(on_blue), Kind::Scene, "a picture on a blue screen");
        let noisy = |x: usize, y: usize| [41 + (x * 31 + y * 17) as u8 % 9, 240, 110];
        assert_eq!(kind(noisy), Kind::Scene, "blue with noise comes through a cable");
    }

    #[test]
    fn only_changes_in_the_crop_count() {
        let (width, height) = (1280, 720);
        let still = Made::new(width, height, |x, y| [(x + y) as u8 / 2, 128, 128]);
        let clock =
            Made::new(
                width,
                height,
                |x, y| if x < 200 { [250, 128, 128] } else { [(x + y) as u8 / 2, 128, 128] },
            );
        let mut observer = Observer::new(width, height, 16);
        observer.watch(Some(Region { x: 352, y: 152 }), (CROP_WIDTH, CROP_HEIGHT));
        assert_eq!(observer.look(&still.samples()).changed, None);
        assert_eq!(observer.look(&still.samples()).changed, Some(0.0));
        assert_eq!(observer.look(&clock.samples()).changed, Some(0.0));
        observer.watch(None, (0, 0));
        assert!(observer.look(&still.samples()).changed > Some(0.1));
    }

    #[test]
    fn a_living_picture_always_moves() {
        use nervelight_phantom::{HEIGHT, WIDTH};
        let mut least = f32::MAX;
        for seed in 0..2 {
            let mut phantom = Phantom::new(seed);
            let mut observer = Observer::new(WIDTH, HEIGHT, 0);
            let (mut made, mut mask) =
                (Made::new(WIDTH, HEIGHT, |_, _| [0, 128, 128]), vec![0; WIDTH * HEIGHT]);
            for n in 0..30 {
                phantom.frame(n, &mut made.luma, &mut mask).unwrap();
                let seen = observer.look(&made.samples());
                assert_eq!(seen.kind, Kind::Scene);
                least = seen.changed.map_or(least, |changed| changed.min(least));
            }
        }

        assert!(least > MINIMUM, "{least}");
    }
}
