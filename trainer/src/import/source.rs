//! Frames of one file, one after the other.

use anyhow::Result;
use nervelight_cine::{Cine, Content, Facts, Picture};

use super::video::Decoded;

/// Luma of a file's frames.
pub enum Frames {
    /// Decoded here, in any order.
    Pictures(Box<Cine>, Picture),
    /// Decoded by ffmpeg, in their order.
    Video(Decoded),
}

/// What became of a frame.
pub enum Next<'a> {
    /// Its luma, row by row.
    Luma(&'a [u8]),
    /// It is damaged, and why.
    Damaged(String),
    /// The video ended before.
    End,
}

impl Frames {
    /// Opens the frames.
    ///
    /// # Errors
    /// When it is video and ffmpeg does not start.
    pub fn open(cine: Cine) -> Result<Self> {
        match cine.content() {
            Content::Frames => Ok(Self::Pictures(Box::new(cine), Picture::default())),
            Content::Video(_) => {
                let Facts { width, height, .. } = *cine.facts();
                Ok(Self::Video(Decoded::start(cine.into_video()?, width as usize, height as usize)?))
            }
        }
    }

    /// Frame `number`; `number` never falls.
    ///
    /// # Errors
    /// When the file cannot be read, or ffmpeg gives up.
    pub fn get(&mut self, number: u32) -> Result<Next<'_>> {
        match self {
            Self::Pictures(cine, picture) => match cine.read(number, picture) {
                Ok(()) => Ok(Next::Luma(&picture.luma)),
                Err(error) if matches!(error.problem, nervelight_cine::Problem::Io(_)) => Err(error.into()),
                Err(error) => Ok(Next::Damaged(error.problem.to_string())),
            },
            Self::Video(decoded) => Ok(decoded.get(number)?.map_or(Next::End, Next::Luma)),
        }
    }
}
