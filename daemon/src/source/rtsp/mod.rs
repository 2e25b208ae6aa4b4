//! RTSP streams of network encoders, cameras and servers.
//!
//! Over TCP the network's bytes are read by Rust up to whole access units (`tcp.rs`), which GStreamer's parser and a named
//! decoder get from a queue that skips what is stale. UDP, multicast and TLS come through GStreamer's `rtspsrc`, with named
//! depayloaders (`rtspsrc.rs`). Either way a stream that is silent for two seconds has ended, and whoever keeps the source
//! open opens it again.

mod clock;
mod feed;
mod gate;
mod login;
mod queue;
mod rtspsrc;
mod tcp;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;

use crate::config::{Rtsp, Source, Transport};
use crate::pipeline::quoted;
use crate::source::decode::{self, Codec};
use crate::source::failure::SourceError;
use crate::source::gstreamer::Capture;
use crate::source::slot::{FrameCounts, Slot};
use login::Login;

/// A stream that sends no picture for so long has ended: the peer is gone, and nobody said so.
const SILENCE: Duration = Duration::from_secs(2);
/// What connecting, asking and being promised a stream may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The part of the pipeline before frames: for H.264, unless the decoder is for H.265. Only the stream says which it is.
///
/// # Errors
/// When no decoder works here.
pub fn describe(rtsp: &Rtsp) -> Result<String> {
    let codec = match &rtsp.decoder {
        Some(decoder) if decoder.contains("265") => Codec::H265,
        _ => Codec::H264,
    };
    match is_read_by_rust(rtsp) {
        true => tcp::describe(rtsp, codec),
        false => Ok(format!("{} rtsp. ! {}", rtspsrc::describe(rtsp), rtspsrc::chain(rtsp, codec)?)),
    }
}

/// Reads the password, if there is one.
///
/// # Errors
/// When its file cannot be read, or everybody can.
pub fn check(rtsp: &Rtsp) -> Result<()> {
    Login::read(rtsp).map(drop)
}

/// Opens the stream and waits for its first picture. None when the daemon is told to stop meanwhile.
///
/// # Errors
/// Why there is none; failures of later come as the slot's end.
pub fn open(
    rtsp: &Rtsp,
    source: &Source,
    pads: bool,
    counts: &Arc<FrameCounts>,
    stop: &AtomicBool,
) -> Result<Option<(Capture, Slot)>> {
    let login = Login::read(rtsp)?;
    match is_read_by_rust(rtsp) {
        true => tcp::open(rtsp, login, source, pads, counts, stop),
        false => rtspsrc::open(rtsp, login, source, pads, counts, stop),
    }
}

fn is_read_by_rust(rtsp: &Rtsp) -> bool {
    rtsp.transport == Transport::Tcp && !rtsp.is_tls()
}

/// A parser and what decodes.
fn decoder(rtsp: &Rtsp, codec: Codec) -> Result<String> {
    let decoder = match &rtsp.decoder {
        Some(decoder) => decoder.as_str(),
        None => decode::choose(codec)?,
    };
    Ok(format!("{} ! {decoder}", codec.parser()))
}

/// Caps in GStreamer's notation.
fn caps(codec: Codec) -> String {
    quoted(codec.caps())
}

/// It sends nothing.
fn silent(rtsp: &Rtsp, patience: Duration) -> SourceError {
    SourceError::Failed {
        name: Source::Rtsp(rtsp.clone()).to_string(),
        message: format!("{} has sent nothing for {patience:?}", rtsp.server()),
        remedy: "Check the network, and that the server has a picture to send".into(),
    }
}
