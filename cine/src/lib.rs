//! DICOM ultrasound cines: one reader for the cart and for the workstation.
//!
//! [`Cine::open`] reads a file's header and finds its frames; [`Cine::read`] decodes one of them. Memory holds one frame,
//! however long the cine is. Video inside of DICOM (H.264, HEVC, MPEG-2) is handed on as the bytes that it is.
//!
//! Invariant: nothing about the patient, the study or the people comes out. Of the header only the attributes that
//! `attributes.rs` lists are read; all others are skipped unread.

mod attributes;
mod cine;
mod colour;
mod error;
mod grey;
mod header;
mod jpeg;
mod layout;
mod luma;
mod palette;
mod region;
mod rle;
mod subject;
mod syntax;
mod times;
mod video;

pub use cine::{Cine, Content, Facts, is_dicom};
pub use colour::Picture;
pub use error::{CineError, Problem};
pub use region::UltrasoundRegion;
pub use subject::Subject;
pub use syntax::Codec;
pub use times::FrameTimes;
pub use video::Video;
