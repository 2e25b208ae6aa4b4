//! What has come from a peer and is not read yet: messages are found in it wherever they begin and end.

use std::io;
use std::ops::Range;

use crate::igtl::{HEADER, Header, IgtlError, LONGEST};

/// Room for what comes next, at least.
const ROOM: usize = 256 << 10;
/// The memory never grows beyond this: the longest message.
const MOST: usize = HEADER + LONGEST as usize;

/// Bytes that have come. The memory grows with what really comes, not with what a header announces, and is kept.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Whether it holds as much as it ever will: messages have to be taken out first.
    pub fn is_full(&self) -> bool {
        self.end - self.start == MOST
    }

    /// Lets `read` put more bytes behind the others, and returns how many it put. Ranges of bodies are void afterwards.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.start > 0 && self.bytes.len() - self.end < ROOM {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.end < ROOM {
            let length = (self.bytes.len() * 2).clamp(2 * ROOM, MOST);
            self.bytes.resize(length, 0);
        }
        let count = read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// The next message, if all of it has come: its header, and where its body lies.
    ///
    /// # Errors
    /// When what comes next is no message that can be taken.
    pub fn next(&mut self) -> Result<Option<(Header, Range<usize>)>, IgtlError> {
        let Some(header) = self.bytes[self.start..self.end].first_chunk() else { return Ok(None) };
        let header = Header::read(header)?;
        let body = self.start + HEADER;
        let end = body + header.body as usize;
        if end > self.end {
            return Ok(None);
        }
        self.start = end;
        Ok(Some((header, body..end)))
    }

    /// A body that was found.
    pub fn body(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}
