//! What is wrong with a file, and what to do. No message holds a value of the file's text.

use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used, or a frame of it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct CineError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The system does not give its bytes.
    #[error("cannot be read: {0}. Check the path and who may read it")]
    Io(#[from] io::Error),
    /// The letters DICM are missing.
    #[error("is no DICOM file: DICM is not at byte 128. Export it again as a DICOM Part 10 file")]
    NotDicom,
    /// A DICOMDIR.
    #[error("is a DICOMDIR, the list of a disc's files. Open one of the files that it lists")]
    Directory,
    /// The header does not make sense.
    #[error("is damaged near byte {at}: {what}. Export or copy it again")]
    Damaged {
        /// About where.
        at: u64,
        /// What was found.
        what: &'static str,
    },
    /// It ends where pictures should begin, or holds none.
    #[error(
        "holds no pictures: there is no pixel data in it, or the file was cut off before. Choose a file with images, or \
         copy it again"
    )]
    NoPictures,
    /// Not one whole frame is left of a file that was cut off.
    #[error("is cut off within its first frame. Copy it again")]
    NothingWhole,
    /// An attribute that pictures cannot be read without.
    #[error("does not say its {0}. Export it again")]
    Missing(&'static str),
    /// An attribute with a value that cannot be.
    #[error("says {value} for its {name}, which cannot be. Export it again")]
    Impossible {
        /// What the attribute is called.
        name: &'static str,
        /// Its value.
        value: i64,
    },
    /// A kind of picture that is not decoded here.
    #[error("holds {what}, which is not decoded here. {remedy}")]
    Unsupported {
        /// What it is, with the transfer syntax's UID where that is the matter.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// More than any ultrasound machine makes: rather an attack than a picture.
    #[error("says it has {what} of {found}, at most {most} are opened. Check where the file comes from")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much the file says.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// Fragments that cannot be told apart into frames.
    #[error(
        "has {fragments} fragments for {frames} frames and no table that says which belongs to which. Convert it with \
         `dcmconv` or `gdcmconv`"
    )]
    Fragments {
        /// Parts of the pixel data.
        fragments: usize,
        /// Frames that the header states.
        frames: u32,
    },
    /// A frame that cannot be decoded.
    #[error("frame {} is damaged: {why}. Copy or export the file again", .number + 1)]
    Frame {
        /// From 0.
        number: u32,
        /// What its decoder found.
        why: String,
    },
    /// A frame that is asked for and is not there.
    #[error("has no frame {}; it has {frames}", .number + 1)]
    NoFrame {
        /// From 0.
        number: u32,
        /// Whole frames.
        frames: u32,
    },
    /// Pictures are asked of video, or video of pictures.
    #[error("holds {0}, not single pictures")]
    Video(&'static str),
}

impl Problem {
    /// The error of the file at `path`.
    pub(crate) fn of(self, path: &Path) -> CineError {
        CineError { path: path.into(), problem: self }
    }
}
