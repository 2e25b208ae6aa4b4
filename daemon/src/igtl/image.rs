//! IMAGE: a header of 72 bytes, big-endian, and pixels.

use crate::igtl::{Header, IgtlError, Name};

/// Bytes of an image's header.
const IMAGE_HEADER: usize = 72;
/// Its version.
const VERSION: u16 = 1;
/// Pixels are little-endian; for bytes that says nothing.
const LITTLE: u8 = 2;
/// Coordinates are right, anterior, superior: what libopenigtlink writes, and 3D Slicer takes every image for.
const RAS: u8 = 1;
/// Millimetres of a pixel whose size is not known, in each direction.
const UNKNOWN: f32 = 1.0;
/// Pixels of ultrasound are smaller; so are none.
const SPACING: std::ops::RangeInclusive<f32> = 0.001..=5.0;

/// What a component is, by the specification's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalar(u8);

impl Scalar {
    /// Unsigned bytes.
    pub const UINT8: Self = Self(3);

    /// Bytes of one; none if there is no such code.
    fn size(self) -> Option<u64> {
        match self.0 {
            2 | 3 => Some(1),
            4 | 5 => Some(2),
            6 | 7 | 10 => Some(4),
            11 => Some(8),
            _ => None,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self.0 {
            2 => "int8",
            3 => "uint8",
            4 => "int16",
            5 => "uint16",
            6 => "int32",
            7 => "uint32",
            10 => "float32",
            11 => "float64",
            _ => "unknown",
        }
    }
}

/// What an image's header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageHeader {
    /// Components of a pixel, interleaved.
    pub components: u8,
    /// Type of a component.
    pub scalar: Scalar,
    /// Pixels in the directions i (along a row), j and k.
    pub size: [u16; 3],
    /// Directions of i, j and k, as long as a pixel in mm, and the image's centre.
    pub matrix: [[f32; 3]; 4],
    /// First pixel of the part that is sent.
    pub start: [u16; 3],
    /// Pixels of that part.
    pub part: [u16; 3],
}

impl ImageHeader {
    /// Of a whole gray picture. `spacing` is a pixel's width and height in mm; the first pixel's centre is at 0, 0, 0,
    /// as in the pictures of PLUS.
    pub fn gray(width: u16, height: u16, spacing: Option<[f32; 2]>) -> Self {
        let [x, y] = spacing.unwrap_or([UNKNOWN; 2]);
        let centre = |pixels: u16, spacing: f32| f32::from(pixels.saturating_sub(1)) / 2.0 * spacing;
        let size = [width, height, 1];
        Self {
            components: 1,
            scalar: Scalar::UINT8,
            size,
            matrix: [
                [x, 0.0, 0.0],
                [0.0, y, 0.0],
                [0.0, 0.0, UNKNOWN],
                [centre(width, x), centre(height, y), 0.0],
            ],
            start: [0; 3],
            part: size,
        }
    }

    /// Reads the content of an IMAGE message: its header, and the pixels of the part that is sent.
    ///
    /// # Errors
    /// When codes are unknown, or the pixels are more or fewer than the header says.
    pub fn read(content: &[u8]) -> Result<(Self, &[u8]), IgtlError> {
        let malformed = |why| IgtlError::Malformed { kind: "IMAGE", why };
        let Some((bytes, pixels)) = content.split_first_chunk::<IMAGE_HEADER>() else {
            return Err(malformed("it is shorter than its header"));
        };
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let shorts = |at: usize| std::array::from_fn(|i| short(at + 2 * i));
        let float = |at: usize| f32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        if short(0) != VERSION {
            return Err(malformed("its image header has an unknown version"));
        }
        let header = Self {
            components: bytes[2],
            scalar: Scalar(bytes[3]),
            size: shorts(6),
            matrix: std::array::from_fn(|row| std::array::from_fn(|i| float(12 + 12 * row + 4 * i))),
            start: shorts(60),
            part: shorts(66),
        };
        let Some(scalar) = header.scalar.size() else { return Err(malformed("its scalar type is unknown")) };
        if !(1..=2).contains(&bytes[4]) {
            return Err(malformed("its byte order is unknown"));
        }
        let is_inside = |i: usize| {
            let (size, start, part) = (header.size[i], header.start[i], header.part[i]);
            part > 0 && u32::from(start) + u32::from(part) <= u32::from(size)
        };
        if !(0..3).all(is_inside) || header.components == 0 {
            return Err(malformed("its part is empty, or not inside of the image"));
        }
        // 2^48 pixels of 255 components of 8 bytes do not overflow.
        let count: u64 = header.part.iter().map(|&n| u64::from(n)).product();
        if count * u64::from(header.components) * scalar != pixels.len() as u64 {
            return Err(malformed("its pixels are more or fewer than its size says"));
        }
        Ok((header, pixels))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[self.components, self.scalar.0, LITTLE, RAS]);
        let shorts = |out: &mut Vec<u8>, values: &[u16; 3]| {
            values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        };
        shorts(out, &self.size);
        self.matrix.as_flattened().iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes()));
        shorts(out, &self.start);
        shorts(out, &self.part);
    }

    /// A pixel's width and height in mm. None when they make no sense, and when both are exactly 1: so writes who does
    /// not know them.
    pub fn spacing(&self) -> Option<[f32; 2]> {
        let length = |[x, y, z]: [f32; 3]| (x * x + y * y + z * z).sqrt();
        let spacing = [length(self.matrix[0]), length(self.matrix[1])];
        (spacing.iter().all(|mm| SPACING.contains(mm)) && spacing != [UNKNOWN; 2]).then_some(spacing)
    }
}

/// Appends an IMAGE message, whose pixels `write` appends.
pub fn image(
    out: &mut Vec<u8>,
    device: Name<20>,
    timestamp: u64,
    header: &ImageHeader,
    write: impl FnOnce(&mut Vec<u8>),
) {
    Header::message(out, "IMAGE", device, timestamp, |out| {
        header.write(out);
        write(out);
    });
}
