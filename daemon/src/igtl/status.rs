//! STATUS and CAPABILITY.

use crate::igtl::{Header, Name};

/// How the sender is, by the specification's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// Everything is well.
    Ok = 1,
    /// Something came too late.
    TimeOut = 7,
    /// It is starting up, or fails.
    NotReady = 13,
    /// Somebody switched it off.
    Disabled = 15,
    /// There is no such device now.
    NotPresent = 16,
}

/// Appends a STATUS message: code, sub-code 0, `name` in 20 bytes, and `text`, ended by a zero as libopenigtlink does.
pub fn status(out: &mut Vec<u8>, device: Name<20>, timestamp: u64, code: Status, name: &str, text: &str) {
    Header::message(out, "STATUS", device, timestamp, |out| {
        out.extend_from_slice(&(code as u16).to_be_bytes());
        out.extend_from_slice(&0i64.to_be_bytes());
        // The last byte stays zero: C programs read it as a string.
        let mut field = [0; 20];
        field[..19].iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        out.extend_from_slice(&field);
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    });
}

/// Appends a CAPABILITY message: the types of messages that are sent and understood, 12 bytes each.
pub fn capability(out: &mut Vec<u8>, device: Name<20>, timestamp: u64, kinds: &[&str]) {
    Header::message(out, "CAPABILITY", device, timestamp, |out| {
        for kind in kinds {
            let mut field = [0; 12];
            field.iter_mut().zip(kind.bytes()).for_each(|(to, from)| *to = from);
            out.extend_from_slice(&field);
        }
    });
}
