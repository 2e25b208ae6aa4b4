//! From a whole frame to the 580x420 pixels of a data set.

use image::GrayImage;
use image::imageops::{self, FilterType};
use nervelight_cine::Facts;
use serde::{Deserialize, Serialize};

use crate::data::{FRAME_HEIGHT, FRAME_WIDTH};

const WIDTH: u32 = FRAME_WIDTH as u32;
const HEIGHT: u32 = FRAME_HEIGHT as u32;

/// A part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rectangle {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Which part of a cine's frames is taken, and how it becomes a frame of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// What is taken.
    pub taken: Rectangle,
    /// Pixels of the data set for one of the cine's.
    pub scale: f64,
    /// Width and height of a pixel of the data set in mm.
    pub spacing: Option<[f32; 2]>,
}

impl Place {
    /// The largest ultrasound region, or the whole frame for `whole`: its middle, or all of it where it is scaled.
    ///
    /// # Errors
    /// What is in the way, and which option mends it.
    pub fn find(facts: &Facts, whole: bool, scaled: bool) -> Result<Self, String> {
        let region = match facts.regions.first() {
            Some(region) if !whole => {
                Rectangle { x: region.x, y: region.y, width: region.width, height: region.height }
            }
            None if !whole => {
                return Err(
                    "does not say where the ultrasound is in its frames. Look at them for names and dates: \
                            --whole takes all that is in them"
                        .into(),
                );
            }
            _ => Rectangle { x: 0, y: 0, width: facts.width, height: facts.height },
        };
        let spacing = match facts.regions.first() {
            Some(region) if !whole => region.spacing.or(facts.spacing),
            _ => facts.spacing,
        };
        if scaled {
            let scale = (f64::from(WIDTH) / f64::from(region.width))
                .min(f64::from(HEIGHT) / f64::from(region.height));
            let spacing = spacing.map(|spacing| spacing.map(|mm| (f64::from(mm) / scale) as f32));
            return Ok(Self { taken: region, scale, spacing });
        }
        let Rectangle { x, y, width, height } = region;
        if width < WIDTH || height < HEIGHT {
            return Err(format!(
                "shows ultrasound on {width}x{height} pixels, fewer than the {WIDTH}x{HEIGHT} of a data set. --scale \
                 makes them as many"
            ));
        }
        // As the daemon places its crop.
        let middle = |room: u32| (room / 2) & !1;
        let taken = Rectangle {
            x: x + middle(width - WIDTH),
            y: y + middle(height - HEIGHT),
            width: WIDTH,
            height: HEIGHT,
        };
        Ok(Self { taken, scale: 1.0, spacing })
    }

    /// A frame of the data set out of the luma of one that is `width` pixels wide. What is scaled and has another shape
    /// gets a black border.
    pub fn cut(&self, luma: &[u8], width: usize) -> Vec<u8> {
        let Rectangle { x, y, width: across, height: down } = self.taken;
        let rows = luma.chunks_exact(width).skip(y as usize).take(down as usize);
        let cut: Vec<u8> = rows.flat_map(|row| &row[x as usize..][..across as usize]).copied().collect();
        if (across, down) == (WIDTH, HEIGHT) {
            return cut;
        }
        let fitted = |size: u32, most: u32| ((f64::from(size) * self.scale).round() as u32).clamp(1, most);
        let (fit_width, fit_height) = (fitted(across, WIDTH), fitted(down, HEIGHT));
        let Some(image) = GrayImage::from_raw(across, down, cut) else {
            return vec![0; FRAME_WIDTH * FRAME_HEIGHT];
        };
        let small = imageops::resize(&image, fit_width, fit_height, FilterType::CatmullRom);
        let mut out = GrayImage::new(WIDTH, HEIGHT);
        let (left, top) = ((WIDTH - fit_width) / 2, (HEIGHT - fit_height) / 2);
        imageops::replace(&mut out, &small, left.into(), top.into());
        out.into_raw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(x: u32, y: u32, width: u32, height: u32, scale: f64) -> Place {
        Place { taken: Rectangle { x, y, width, height }, scale, spacing: None }
    }

    #[test]
    fn what_has_the_right_size_is_cut_to_the_bit() {
        let luma: Vec<u8> = (0..800 * 600).map(|i| (i % 800 + i / 800) as u8).collect();
        let cut = place(100, 50, WIDTH, HEIGHT, 1.0).cut(&luma, 800);
        assert!(cut.iter().enumerate().all(|(i, v)| *v == (i % 580 + 100 + i / 580 + 50) as u8));
    }

    #[test]
    fn another_shape_gets_a_border() {
        let cut = place(0, 0, 840, 840, 0.5).cut(&vec![200; 840 * 840], 840);
        assert_eq!(cut.len(), FRAME_WIDTH * FRAME_HEIGHT);
        let row = &cut[200 * FRAME_WIDTH..][..FRAME_WIDTH];
        assert_eq!((row[79], row[80], row[499], row[500]), (0, 200, 200, 0));
    }
}
