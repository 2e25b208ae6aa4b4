//! The bytes of a video inside of a DICOM file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::layout::Span;
use crate::syntax::Codec;

/// A video stream: elementary, or a container such as MP4.
pub struct Video {
    /// How it is coded.
    pub codec: Codec,
    file: File,
    spans: Vec<Span>,
    length: u64,
    at: u64,
}

impl Video {
    pub(crate) fn new(codec: Codec, file: File, spans: Vec<Span>) -> Self {
        let length = spans.iter().map(|span| span.length).sum();
        Self { codec, file, spans, length, at: 0 }
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether it is an elementary stream, without a container: it begins with a start code.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_elementary(&mut self) -> io::Result<bool> {
        let (at, mut head) = (self.at, [0; 4]);
        self.at = 0;
        let read = self.read(&mut head)?;
        self.at = at;
        Ok(head[..read].starts_with(&[0, 0, 1]) || head[..read] == [0, 0, 0, 1])
    }
}

impl Read for Video {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut begin = 0;
        for span in &self.spans {
            if self.at < begin + span.length {
                let within = self.at - begin;
                let most = usize::try_from(span.length - within).unwrap_or(usize::MAX).min(out.len());
                self.file.seek(SeekFrom::Start(span.at + within))?;
                let read = self.file.read(&mut out[..most])?;
                self.at += read as u64;
                return Ok(read);
            }
            begin += span.length;
        }
        Ok(0)
    }
}

impl Seek for Video {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn fragments_are_one_stream() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"..\0\0\0\x01....abcdef..").unwrap();
        let spans = vec![Span { at: 2, length: 4 }, Span { at: 6, length: 0 }, Span { at: 10, length: 6 }];
        let mut video = Video::new(Codec::H264, file, spans);
        assert!(video.is_elementary().unwrap());
        let mut bytes = vec![];
        video.read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes.as_slice(), video.length()), (&b"\0\0\0\x01abcdef"[..], 10));
        video.seek(SeekFrom::End(-2)).unwrap();
        bytes.clear();
        video.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"ef");
    }
}
