//! An image's pixels as a frame: full-range luma, no colour.

use std::sync::Arc;

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoColorimetry, VideoFormat, VideoFrameRef, VideoInfo};
use nervelight_engines::{HEIGHT, WIDTH};

use crate::igtl::{ImageHeader, Scalar};

/// More in a direction is no picture of an ultrasound device.
const MOST: u16 = 8192;

/// Makes frames. What belongs to one size is made once, and buffers come from a pool.
pub struct Pictures {
    pads: bool,
    made: Option<Made>,
}

struct Made {
    /// Of the images.
    size: [u16; 3],
    /// Of the frames.
    info: Arc<VideoInfo>,
    pool: gst::BufferPool,
    /// Where the image lies in the frame.
    x: usize,
    y: usize,
}

impl Pictures {
    /// `pads` images that are smaller than the crop with a black border.
    pub fn new(pads: bool) -> Self {
        Self { pads, made: None }
    }

    /// The frame of an image, without a time, and its format.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn make(
        &mut self,
        image: &ImageHeader,
        pixels: &[u8],
    ) -> Result<(gst::Buffer, Arc<VideoInfo>), String> {
        look_at(image)?;
        if self.made.as_ref().is_none_or(|made| made.size != image.size) {
            self.made = Some(Made::new(image.size, self.pads)?);
        }
        let Some(made) = &self.made else { return Err("there is no memory for it".into()) };
        let mut buffer = made.pool.acquire_buffer(None).map_err(|e| format!("no memory for a frame: {e}"))?;
        made.fill(buffer.make_mut(), usize::from(image.components), pixels)?;
        Ok((buffer, made.info.clone()))
    }
}

/// Whether it is a whole picture of bytes.
fn look_at(image: &ImageHeader) -> Result<(), String> {
    let [width, height, depth] = image.size;
    if depth != 1 || width == 1 || height == 1 {
        return Err(format!("it is a volume or a line of {width}x{height}x{depth}, not a picture"));
    }
    if width > MOST || height > MOST {
        return Err(format!("it has {width}x{height} pixels; {MOST} in a direction are the most"));
    }
    if image.scalar != Scalar::UINT8 {
        return Err(format!(
            "its pixels are {}; how bright they are meant, nobody says",
            image.scalar.name()
        ));
    }
    if ![1, 3, 4].contains(&image.components) {
        return Err(format!("its pixels have {} components; gray has 1, RGB 3, RGBA 4", image.components));
    }
    if image.start != [0; 3] || image.part != image.size {
        return Err("it is a part of a picture only".into());
    }
    Ok(())
}

/// Luma of full-range RGB (ITU-R BT.601); gray stays what it is.
fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [0, 1, 2].map(|i| u32::from(rgb[i]));
    ((77 * r + 150 * g + 29 * b + 128) >> 8) as u8
}

impl Made {
    fn new(size: [u16; 3], pads: bool) -> Result<Self, String> {
        let border = |pixels: u16, needed: usize| match pads {
            // Even, for chroma has half the resolution.
            true => (usize::from(pixels).max(needed), (needed.saturating_sub(usize::from(pixels)) / 2) & !1),
            false => (usize::from(pixels), 0),
        };
        let ((width, x), (height, y)) = (border(size[0], WIDTH), border(size[1], HEIGHT));
        let no_format = |e: &dyn std::fmt::Display| format!("there is no such video: {e}");
        let colorimetry: VideoColorimetry = "1:4:0:0".parse().map_err(|e| no_format(&e))?;
        let info = VideoInfo::builder(VideoFormat::I420, width as u32, height as u32)
            .colorimetry(&colorimetry)
            .build()
            .map_err(|e| no_format(&e))?;
        let caps = info.to_caps().map_err(|e| no_format(&e))?;
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), info.size() as u32, 0, 0);
        pool.set_config(config).and_then(|()| pool.set_active(true)).map_err(|e| no_format(&e))?;
        Ok(Self { size, info: Arc::new(info), pool, x, y })
    }

    fn fill(&self, buffer: &mut gst::BufferRef, components: usize, pixels: &[u8]) -> Result<(), String> {
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &self.info)
            .map_err(|e| format!("a frame's memory cannot be written: {e}"))?;
        let stride = frame.plane_stride()[0] as usize;
        let width = usize::from(self.size[0]);
        let is_padded =
            (self.info.width() as usize, self.info.height() as usize) != (width, usize::from(self.size[1]));
        let [y, u, v, _] = frame.planes_data_mut();
        if is_padded {
            y.fill(0);
        }
        for (out, row) in y.chunks_mut(stride).skip(self.y).zip(pixels.chunks_exact(width * components)) {
            let out = &mut out[self.x..self.x + width];
            match components {
                1 => out.copy_from_slice(row),
                _ => out.iter_mut().zip(row.chunks_exact(components)).for_each(|(out, rgb)| *out = luma(rgb)),
            }
        }
        // The overlay's colour is in what the pool gives again.
        u.fill(128);
        v.fill(128);
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // It gives its memory back once the last frame is gone.
        let _ = self.pool.set_active(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luma_of(buffer: &gst::Buffer, info: &VideoInfo, x: usize, y: usize) -> u8 {
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
        frame.plane_data(0).unwrap()[y * frame.plane_stride()[0] as usize + x]
    }

    #[test]
    fn gray_and_rgb_are_the_same_gray() {
        gst::init().unwrap();
        let mut pictures = Pictures::new(false);
        for components in [1, 3, 4] {
            let image = ImageHeader { components, ..ImageHeader::gray(583, 421, None) };
            let pixels: Vec<u8> =
                (0..583 * 421).flat_map(|i| vec![(i % 251) as u8; components.into()]).collect();
            let (buffer, info) = pictures.make(&image, &pixels).unwrap();
            assert_eq!((info.width(), info.height()), (583, 421));
            assert!(!crate::frame::is_limited(&info));
            for (x, y) in [(0, 0), (582, 0), (0, 420), (582, 420), (100, 200)] {
                assert_eq!(
                    luma_of(&buffer, &info, x, y),
                    ((y * 583 + x) % 251) as u8,
                    "{components}: {x},{y}"
                );
            }
        }
        assert_eq!([[255, 0, 0], [0, 255, 0], [0, 0, 255]].map(|rgb| luma(&rgb)), [77, 149, 29]);
    }

    #[test]
    fn a_small_image_gets_a_border_and_another_size_another_format() {
        gst::init().unwrap();
        let mut pictures = Pictures::new(true);
        let (buffer, info) = pictures.make(&ImageHeader::gray(512, 512, None), &[200; 512 * 512]).unwrap();
        assert_eq!((info.width(), info.height()), (576, 512));
        let at = |x| luma_of(&buffer, &info, x, 300);
        assert_eq!([at(0), at(31), at(32), at(543), at(544), at(575)], [0, 0, 200, 200, 0, 0]);
        let (_, same) = pictures.make(&ImageHeader::gray(512, 512, None), &[9; 512 * 512]).unwrap();
        assert!(Arc::ptr_eq(&info, &same));
        let (buffer, info) = pictures.make(&ImageHeader::gray(20, 10, None), &[200; 200]).unwrap();
        assert_eq!((info.width(), info.height()), (576, 416));
        assert_eq!(
            [(277, 202), (278, 202), (278, 201)].map(|(x, y)| luma_of(&buffer, &info, x, y)),
            [0, 200, 0]
        );
    }

    #[test]
    fn what_is_no_picture_of_bytes_is_refused_in_words() {
        let good = ImageHeader::gray(64, 48, None);
        let refused = |image: ImageHeader, words: &str| {
            let said = look_at(&image).unwrap_err();
            assert!(said.contains(words), "{said}");
        };
        refused(ImageHeader { size: [64, 48, 9], ..good }, "64x48x9");
        refused(ImageHeader { part: [64, 24, 1], ..good }, "a part");
        refused(ImageHeader { components: 2, ..good }, "2 components");
        refused(ImageHeader { size: [9000, 48, 1], part: [9000, 48, 1], ..good }, "9000x48");
        assert!(look_at(&good).is_ok());
    }
}
