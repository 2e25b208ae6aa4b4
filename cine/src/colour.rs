//! From a decoded frame to full-range luma and chroma (BT.601, as JPEG has it).

use dicom_dictionary_std::tags;

use crate::attributes::Attributes;
use crate::error::Problem;
use crate::grey::{Depth, GreyMap};
use crate::luma::from_rgb;
use crate::palette::Palette;

/// A frame: luma, and chroma where it has colour. Its memory is used again by the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Full-range luma, row by row.
    pub luma: Vec<u8>,
    /// Blue and red difference at full resolution; empty for a grey frame.
    pub chroma: [Vec<u8>; 2],
}

/// What the samples of a pixel mean.
pub enum Colour {
    /// One sample of grey.
    Grey(GreyMap),
    /// One sample that is a colour's number.
    Palette(Palette),
    /// Red, green, blue.
    Rgb,
    /// Luma and chroma.
    Ybr,
    /// Two lumas and their common chroma.
    Ybr422,
}

/// How the samples of three components lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Pixel after pixel.
    Interleaved,
    /// Component after component.
    Planar,
}

impl Colour {
    /// As the attributes say.
    pub fn of(top: &Attributes, depth: Depth) -> Result<Self, Problem> {
        let photometric = top.text(tags::PHOTOMETRIC_INTERPRETATION);
        let samples = top.needed(tags::SAMPLES_PER_PIXEL, "samples per pixel")?;
        let colour = match photometric.as_str() {
            "MONOCHROME1" => Self::Grey(GreyMap::of(top, depth, true)),
            "MONOCHROME2" => Self::Grey(GreyMap::of(top, depth, false)),
            "PALETTE COLOR" => Self::Palette(Palette::of(top)?),
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::Ybr,
            "YBR_FULL_422" => Self::Ybr422,
            // Only of known terms it is sure that they are no free text.
            "YBR_PARTIAL_420" | "YBR_PARTIAL_422" | "YBR_ICT" | "YBR_RCT" | "HSV" | "CMYK" | "ARGB" => {
                return Err(unsupported(&photometric));
            }
            "" => return Err(Problem::Missing("photometric interpretation")),
            _ => return Err(unsupported("of an unknown kind")),
        };
        let expected = if matches!(colour, Self::Grey(_) | Self::Palette(_)) { 1 } else { 3 };
        if samples != expected {
            return Err(Problem::Impossible { name: "samples per pixel", value: samples.into() });
        }
        if expected == 3 && (depth.allocated, depth.stored) != (8, 8) {
            return Err(unsupported("of more or less than 8 bits a component"));
        }
        Ok(colour)
    }

    /// Samples of a pixel.
    pub fn samples(&self) -> usize {
        if matches!(self, Self::Grey(_) | Self::Palette(_)) { 1 } else { 3 }
    }

    /// Bytes of a frame that is not compressed.
    pub fn native_bytes(&self, pixels: usize, depth: Depth) -> usize {
        match self {
            Self::Ybr422 => pixels * 2,
            _ => pixels * self.samples() * depth.bytes(),
        }
    }

    /// Puts the samples of a frame, whose number is right, into `picture`, whose size is.
    pub fn convert(&self, samples: &[u8], order: Order, depth: Depth, picture: &mut Picture) {
        let pixels = picture.width * picture.height;
        picture.luma.resize(pixels, 0);
        let chroma = if matches!(self, Self::Grey(_)) { 0 } else { pixels };
        picture.chroma.iter_mut().for_each(|plane| plane.resize(chroma, 0));
        let [blue, red] = &mut picture.chroma;
        let mut put = |at: usize, [y, b, r]: [u8; 3]| {
            (picture.luma[at], blue[at], red[at]) = (y, b, r);
        };
        match self {
            Self::Grey(map) => {
                for (luma, pixel) in picture.luma.iter_mut().zip(values(samples, depth)) {
                    *luma = map.grey(pixel);
                }
            }
            Self::Palette(palette) => {
                values(samples, depth)
                    .take(pixels)
                    .enumerate()
                    .for_each(|(at, v)| put(at, palette.colour(v)));
            }
            Self::Ybr422 if order == Order::Interleaved => {
                for (at, group) in samples.chunks_exact(4).take(pixels / 2).enumerate() {
                    put(2 * at, [group[0], group[2], group[3]]);
                    put(2 * at + 1, [group[1], group[2], group[3]]);
                }
            }
            Self::Rgb => each(samples, order, pixels, |at, rgb| put(at, from_rgb(rgb))),
            Self::Ybr | Self::Ybr422 => each(samples, order, pixels, put),
        }
    }
}

/// One-sample pixels, in their order.
fn values(samples: &[u8], depth: Depth) -> impl Iterator<Item = u16> {
    let bytes = depth.bytes();
    samples.chunks_exact(bytes).map(|sample| match *sample {
        [low, high] => u16::from_le_bytes([low, high]),
        [value, ..] => value.into(),
        [] => 0,
    })
}

/// Three-sample pixels with their numbers.
fn each(samples: &[u8], order: Order, pixels: usize, mut take: impl FnMut(usize, [u8; 3])) {
    match order {
        Order::Interleaved => {
            let pixel = samples.chunks_exact(3).take(pixels).enumerate();
            pixel.for_each(|(at, pixel)| take(at, [pixel[0], pixel[1], pixel[2]]));
        }
        Order::Planar => {
            let (first, rest) = samples.split_at(pixels);
            let (second, third) = rest.split_at(pixels);
            let planes = first.iter().zip(second).zip(third).enumerate();
            planes.for_each(|(at, ((first, second), third))| take(at, [*first, *second, *third]));
        }
    }
}

fn unsupported(kind: &str) -> Problem {
    Problem::Unsupported {
        what: format!("colours {kind}"),
        remedy: "Convert it to RGB with 8 bits, such as with `gdcmconv --photometric-interpretation RGB`"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: Depth = Depth { allocated: 8, stored: 8, high: 7, is_signed: false };

    fn converted(colour: Colour, samples: &[u8], order: Order) -> Picture {
        let mut picture = Picture { width: 2, height: 1, ..Picture::default() };
        colour.convert(samples, order, DEPTH, &mut picture);
        picture
    }

    #[test]
    fn every_order_of_samples_gives_the_same_picture() {
        let planar = converted(Colour::Ybr, &[1, 2, 3, 4, 5, 6], Order::Planar);
        assert_eq!((planar.luma.as_slice(), &planar.chroma), (&[1, 2][..], &[vec![3, 4], vec![5, 6]]));
        assert_eq!(converted(Colour::Ybr, &[1, 3, 5, 2, 4, 6], Order::Interleaved), planar);
        let halved = converted(Colour::Ybr422, &[1, 2, 3, 5], Order::Interleaved);
        assert_eq!(halved.chroma, [vec![3, 3], vec![5, 5]]);
    }
}
