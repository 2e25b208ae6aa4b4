//! A file that is open: what is known of it, and its frames.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;

use crate::attributes::Attributes;
use crate::colour::{Colour, Order, Picture};
use crate::error::{CineError, Problem};
use crate::grey::Depth;
use crate::header::{self, Header};
use crate::layout::{Layout, Span};
use crate::region::{self, UltrasoundRegion};
use crate::subject::Subject;
use crate::syntax::{Codec, Coding};
use crate::times::FrameTimes;
use crate::video::Video;
use crate::{jpeg, rle};

/// Most pixels of a frame: 8K video.
const PIXELS: u64 = 7680 * 4320;
/// Most frames: nine hours at 30 a second.
const FRAMES: u64 = 1_000_000;
/// Most bytes of one compressed frame, above what it takes uncompressed.
const OVERHEAD: u64 = 1 << 20;

/// What is known of a cine. None of it is about the patient.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whole frames in the file; of video the stated ones.
    pub frames: u32,
    /// Frames that it says it has.
    pub stated_frames: u32,
    /// The file ends before its pixel data does.
    pub is_cut: bool,
    /// How the pictures are coded.
    pub coding: &'static str,
    /// When frames were made.
    pub times: FrameTimes,
    /// Two-dimensional ultrasound images in the frames, the largest first.
    pub regions: Vec<UltrasoundRegion>,
    /// Width and height of a pixel in mm.
    pub spacing: Option<[f32; 2]>,
    /// Width to height of a pixel, where no spacing says it: numerator and denominator.
    pub pixel_aspect: (u32, u32),
    /// Whether it says that text which identifies the patient is in its pictures.
    pub has_burned_in_text: Option<bool>,
    /// Whom it shows, as an opaque mark that compares with other files'.
    pub subject: Option<Subject>,
}

/// What a cine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Frames to [`Cine::read`].
    Frames,
    /// Video to take with [`Cine::into_video`].
    Video(Codec),
}

/// A DICOM file that is open.
pub struct Cine {
    path: PathBuf,
    file: File,
    facts: Facts,
    coding: Coding,
    /// None of video.
    pixels: Option<Pixels>,
    layout: Layout,
    /// A frame as it lies in the file, and its samples.
    coded: Vec<u8>,
    samples: Vec<u8>,
}

/// What the bytes of a frame mean.
struct Pixels {
    colour: Colour,
    depth: Depth,
    order: Order,
}

/// Whether the file at `path` is a DICOM file; false where it cannot be read.
pub fn is_dicom(path: &Path) -> bool {
    path.is_file() && File::open(path).is_ok_and(header::has_magic)
}

impl Cine {
    /// Opens a file: reads its attributes and finds its frames.
    ///
    /// # Errors
    /// When it is no DICOM file, is damaged before its pixel data, holds no pictures, or pictures of a kind that is not
    /// read here.
    pub fn open(path: &Path) -> Result<Self, CineError> {
        Self::open_file(path).map_err(|problem| problem.of(path))
    }

    fn open_file(path: &Path) -> Result<Self, Problem> {
        let file = File::open(path)?;
        let Header { syntax, top, regions, at, length } = header::read(&file)?;
        let size = |tag, name| match top.needed(tag, name)? {
            0 => Err(Problem::Impossible { name, value: 0 }),
            size => Ok(size),
        };
        let (width, height) = (size(tags::COLUMNS, "columns")?, size(tags::ROWS, "rows")?);
        let pixels = u64::from(width) * u64::from(height);
        at_most("pixels a frame", pixels, PIXELS)?;
        let stated_frames = match top.0.contains_key(&tags::NUMBER_OF_FRAMES) {
            true => top.needed(tags::NUMBER_OF_FRAMES, "number of frames")?.max(1),
            false => 1,
        };
        at_most("frames", stated_frames.into(), FRAMES)?;
        let (layout, decoded) = match syntax.coding {
            Coding::Video(_) => (Layout::stream(&file, at)?, None),
            coding => {
                let depth = Depth::of(&top)?;
                let colour = Colour::of(&top, depth)?;
                let order = match top.int(tags::PLANAR_CONFIGURATION) {
                    Some(1) if coding == Coding::Native => Order::Planar,
                    _ => Order::Interleaved,
                };
                if matches!(colour, Colour::Ybr422) && !width.is_multiple_of(2) {
                    return Err(Problem::Impossible { name: "columns", value: width.into() });
                }
                let offsets = || top.offsets(tags::EXTENDED_OFFSET_TABLE).filter(|table| !table.is_empty());
                let layout = match (coding, length) {
                    (Coding::Native, Some(length)) => {
                        let frame = colour.native_bytes(pixels as usize, depth) as u64;
                        let end = file.metadata()?.len();
                        let layout = Layout::native(at, frame, stated_frames, end.min(at + length));
                        if layout.is_cut && at + length <= end {
                            return Err(Problem::Damaged {
                                at,
                                what: "it has less pixel data than its frames need",
                            });
                        }
                        layout
                    }
                    (Coding::Native, None) => {
                        return Err(Problem::Damaged { at, what: "its pixel data has no length" });
                    }
                    (_, Some(_)) => {
                        return Err(Problem::Damaged { at, what: "its pixel data is not in fragments" });
                    }
                    (_, None) => {
                        let is_jpeg = coding == Coding::Jpeg;
                        Layout::encapsulated(&file, at, stated_frames, offsets(), is_jpeg)?
                    }
                };
                (layout, Some(Pixels { colour, depth, order }))
            }
        };
        if layout.frames() == 0 {
            return Err(Problem::NothingWhole);
        }
        let regions = region::find(&regions, width, height);
        let spacing = region::spacing(&regions, &top);
        let facts = Facts {
            width,
            height,
            frames: if decoded.is_some() { layout.frames() } else { stated_frames },
            stated_frames,
            is_cut: layout.is_cut,
            coding: syntax.name,
            times: FrameTimes::of(&top, stated_frames),
            pixel_aspect: pixel_aspect(&top).filter(|_| spacing.is_none()).unwrap_or((1, 1)),
            regions,
            spacing,
            has_burned_in_text: match top.text(tags::BURNED_IN_ANNOTATION).as_str() {
                "YES" => Some(true),
                "NO" => Some(false),
                _ => None,
            },
            subject: Subject::of(&top),
        };
        let (path, coding) = (path.to_owned(), syntax.coding);
        Ok(Self { path, file, facts, coding, pixels: decoded, layout, coded: vec![], samples: vec![] })
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What it holds.
    pub fn content(&self) -> Content {
        match self.coding {
            Coding::Video(codec) => Content::Video(codec),
            Coding::Native | Coding::Rle | Coding::Jpeg => Content::Frames,
        }
    }

    /// Its video.
    ///
    /// # Errors
    /// When it holds frames.
    pub fn into_video(self) -> Result<Video, CineError> {
        match self.coding {
            Coding::Video(codec) => Ok(Video::new(codec, self.file, self.layout.into_spans())),
            _ => Err(Problem::Video("pictures").of(&self.path)),
        }
    }

    /// Decodes frame `number`, from 0, into `picture`.
    ///
    /// # Errors
    /// When there is no such frame, it is damaged, or the file cannot be read. Other frames may be whole.
    pub fn read(&mut self, number: u32, picture: &mut Picture) -> Result<(), CineError> {
        self.decode(number, picture).map_err(|problem| problem.of(&self.path))
    }

    fn decode(&mut self, number: u32, picture: &mut Picture) -> Result<(), Problem> {
        let Some(Pixels { colour, depth, order }) = &self.pixels else {
            return Err(Problem::Video(self.facts.coding));
        };
        if number >= self.layout.frames() {
            return Err(Problem::NoFrame { number, frames: self.layout.frames() });
        }
        let damaged = |why: String| Problem::Frame { number, why };
        (picture.width, picture.height) = (self.facts.width as usize, self.facts.height as usize);
        let pixels = picture.width * picture.height;
        let native = colour.native_bytes(pixels, *depth).max(pixels * colour.samples() * depth.bytes());
        load(&self.file, self.layout.frame(number), native as u64 * 2 + OVERHEAD, &mut self.coded)?;
        match self.coding {
            Coding::Native => colour.convert(&self.coded, *order, *depth, picture),
            Coding::Rle => {
                let (samples, bytes) = (colour.samples(), depth.bytes());
                rle::decode(&self.coded, samples, bytes, pixels, &mut self.samples)
                    .map_err(|why| damaged(why.into()))?;
                colour.convert(&self.samples, Order::Planar, *depth, picture);
            }
            Coding::Jpeg => {
                let decoded = jpeg::decode(&self.coded, picture.width, picture.height).map_err(damaged)?;
                if decoded.count != colour.samples() {
                    return Err(damaged(format!(
                        "it has {} components, not {}",
                        decoded.count,
                        colour.samples()
                    )));
                }
                // Of lossless JPEG, what is 8 bits deep may come in 16 allocated ones.
                let depth = Depth { allocated: decoded.bytes as u32 * 8, ..*depth };
                if depth.high >= depth.allocated {
                    return Err(damaged("it has fewer bits than its pixels".into()));
                }
                let by_bitstream = match decoded.is_ybr {
                    Some(true) => &Colour::Ybr,
                    Some(false) => &Colour::Rgb,
                    // Chroma has its full resolution again.
                    None if matches!(colour, Colour::Ybr422) => &Colour::Ybr,
                    None => colour,
                };
                let colour = if decoded.count == 3 { by_bitstream } else { colour };
                colour.convert(&decoded.samples, Order::Interleaved, depth, picture);
            }
            Coding::Video(_) => return Err(Problem::Video(self.facts.coding)),
        }
        Ok(())
    }
}

/// Reads a frame's bytes, at most `most`.
fn load(mut file: &File, spans: &[Span], most: u64, out: &mut Vec<u8>) -> Result<(), Problem> {
    at_most("bytes in a frame", spans.iter().map(|span| span.length).sum(), most)?;
    out.clear();
    for span in spans {
        let begin = out.len();
        out.resize(begin + span.length as usize, 0);
        file.seek(SeekFrom::Start(span.at))?;
        file.read_exact(&mut out[begin..])?;
    }
    Ok(())
}

fn at_most(what: &'static str, found: u64, most: u64) -> Result<(), Problem> {
    if found > most { Err(Problem::TooLarge { what, found, most }) } else { Ok(()) }
}

/// Width to height of a pixel.
fn pixel_aspect(top: &Attributes) -> Option<(u32, u32)> {
    let [vertical, horizontal] = top.reals(tags::PIXEL_ASPECT_RATIO)?[..] else { return None };
    let is_sane = |part: f64| (1.0..=10_000.0).contains(&part) && part.fract() == 0.0;
    (is_sane(vertical) && is_sane(horizontal)).then_some((horizontal as u32, vertical as u32))
}
