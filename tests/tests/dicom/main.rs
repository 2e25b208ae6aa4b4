//! DICOM cines that pydicom, dcmtk and ffmpeg wrote: every pixel as those decode it, and nothing of the patient.
#![allow(clippy::unwrap_used)]

mod daemon;
mod files;
mod import;
mod reader;
