//! Reads what the OpenIGTLink sink sends: frames, masks and status, in the order of their coming.

use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Bytes of the header of every message.
const HEADER: usize = 58;
/// The status' code while a mask is shown.
pub const AI_ON: usize = 1;
/// Bytes of the header of an image.
const IMAGE: usize = 72;

/// What was sent of one frame.
#[derive(Debug, Default)]
pub struct Bundle {
    /// When the frame arrived, as 32.32 fixed point seconds.
    pub time: u64,
    /// Columns and rows.
    pub size: (usize, usize),
    /// Luma.
    pub frame: Vec<u8>,
    /// 1 in the nerve.
    pub mask: Vec<u8>,
    /// The status' code.
    pub code: usize,
    /// The status' words.
    pub status: String,
}

/// A client.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to the sink at `port`.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self(BufReader::with_capacity(1 << 20, stream)))
    }

    /// The next frame's frame, mask and status.
    ///
    /// # Errors
    /// When the connection ends, or something else comes.
    pub fn bundle(&mut self) -> Result<Bundle> {
        let mut bundle = Bundle::default();
        loop {
            let mut header = [0; HEADER];
            self.0.read_exact(&mut header)?;
            let text = |range: std::ops::Range<usize>| {
                String::from_utf8_lossy(&header[range]).trim_end_matches('\0').to_owned()
            };
            let number = |at: usize| {
                let bytes = header[at..at + 8].try_into().unwrap_or_default();
                u64::from_be_bytes(bytes)
            };
            let (kind, device, time, length) = (text(2..14), text(14..34), number(34), number(42));
            let mut body = vec![0; length as usize];
            self.0.read_exact(&mut body)?;
            let content = content(&body, number16(&header, 0))?;
            if kind == "CAPABILITY" {
                continue;
            }
            if bundle.time != 0 && bundle.time != time {
                bail!("{kind} {device} is of another frame");
            }
            bundle.time = time;
            match (kind.as_str(), device.as_str()) {
                ("IMAGE", "NervelightImage") => (bundle.size, bundle.frame) = image(content)?,
                ("IMAGE", "NervelightMask") => bundle.mask = image(content)?.1,
                ("STATUS", _) => {
                    bundle.code = number16(content, 0);
                    bundle.status = String::from_utf8_lossy(content).into();
                    return Ok(bundle);
                }
                _ => bail!("{kind} {device} is unknown"),
            }
        }
    }
}

fn number16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

/// What is between the extended header of version 2 and the metadata.
fn content(body: &[u8], version: usize) -> Result<&[u8]> {
    if version < 2 {
        return Ok(body);
    }
    let extended = number16(body, 0);
    let number32 = |at: usize| number16(body, at) << 16 | number16(body, at + 2);
    let metadata = number16(body, 2) + number32(4);
    body.get(extended..body.len() - metadata).context("a message that is too short")
}

fn image(content: &[u8]) -> Result<((usize, usize), Vec<u8>)> {
    let pixels = content.get(IMAGE..).context("an image without pixels")?;
    let size = (number16(content, 6), number16(content, 8));
    if pixels.len() != size.0 * size.1 {
        bail!("{size:?} with {} bytes", pixels.len());
    }
    Ok((size, pixels.to_vec()))
}
