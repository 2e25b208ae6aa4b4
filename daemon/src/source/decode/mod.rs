//! Which decoder for what comes from a network: the best that is installed and works. A factory alone says little: it may
//! have no hardware behind it. None is chosen by the bytes that come, as `decodebin` would.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, bail};
use gst::prelude::*;
use gst_app::AppSrc;

use crate::lock::lock;
use crate::pipeline;

/// What decoding one picture may take; opening hardware is most of it.
const TRIAL: Duration = Duration::from_secs(5);

/// How video is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// Decoders in order of preference: the cart's hardware, then libav. One that works has no picture waiting for later ones
/// that need not: it is told that the pipeline is live.
const H264: [(&str, &str); 5] = [
    ("nvv4l2decoder", NVIDIA),
    ("vah264dec", "vah264dec"),
    ("nvh264dec", "nvh264dec"),
    ("avdec_h264", "avdec_h264 thread-type=slice output-corrupt=false"),
    ("openh264dec", "openh264dec"),
];
const H265: [(&str, &str); 5] = [
    ("nvv4l2decoder", NVIDIA),
    ("vah265dec", "vah265dec"),
    ("nvh265dec", "nvh265dec"),
    ("avdec_h265", "avdec_h265 thread-type=slice output-corrupt=false"),
    ("libde265dec", "libde265dec"),
];
/// Its frames are in the GPU's memory. Without the property it keeps some back for reordering.
const NVIDIA: &str = "nvv4l2decoder disable-dpb=true ! nvvidconv ! video/x-raw,format=I420";

/// A gray picture of 320x240 in a byte stream of each codec, to try a decoder with:
/// `ffmpeg -f lavfi -i color=gray:s=320x240 -frames:v 1 -pix_fmt yuv420p -c:v libx264 -profile:v baseline
/// -bsf:v filter_units=remove_types=6 gray.h264`, and with `libx265` and `remove_types=39` the other.
const GRAY_H264: &[u8] = include_bytes!("gray.h264");
const GRAY_H265: &[u8] = include_bytes!("gray.h265");

/// What was chosen: trying hardware takes a while, and it does not change.
static CHOSEN: Mutex<[Option<&str>; 2]> = Mutex::new([None; 2]);

impl Codec {
    /// The codec by its name in SDP.
    pub fn named(encoding: &str) -> Option<Self> {
        match encoding.to_ascii_lowercase().as_str() {
            "h264" => Some(Self::H264),
            "h265" => Some(Self::H265),
            _ => None,
        }
    }

    /// Caps of whole access units as a byte stream.
    pub fn caps(self) -> &'static str {
        match self {
            Self::H264 => "video/x-h264,stream-format=byte-stream,alignment=au",
            Self::H265 => "video/x-h265,stream-format=byte-stream,alignment=au",
        }
    }

    /// The element that looks into them.
    pub fn parser(self) -> &'static str {
        match self {
            Self::H264 => "h264parse",
            Self::H265 => "h265parse",
        }
    }

    /// The element that joins them from packets.
    pub fn depayloader(self) -> &'static str {
        match self {
            Self::H264 => "rtph264depay",
            Self::H265 => "rtph265depay",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        })
    }
}

/// The best decoder that decodes a picture here, in GStreamer's notation.
///
/// # Errors
/// When none is installed, or none works.
pub fn choose(codec: Codec) -> Result<&'static str> {
    let known = || lock(&CHOSEN);
    if let Some(chosen) = known()[codec as usize] {
        return Ok(chosen);
    }
    let decoders = match codec {
        Codec::H264 => H264,
        Codec::H265 => H265,
    };
    let mut refused = vec![];
    for (name, fragment) in decoders {
        if gst::ElementFactory::find(name).is_none() {
            continue;
        }
        match try_decoder(codec, fragment, TRIAL) {
            Ok(()) => {
                tracing::info!(%codec, decoder = name, "it is the first that decodes a picture here");
                known()[codec as usize] = Some(fragment);
                return Ok(fragment);
            }
            Err(why) => {
                tracing::warn!(%codec, decoder = name, %why, "it does not work here; the next is tried");
                refused.push(format!("{name}: {why}"));
            }
        }
    }
    let names = decoders.map(|(name, _)| name).join(", ");
    let why = match refused.is_empty() {
        true => "is installed".into(),
        false => format!("works here ({})", refused.join("; ")),
    };
    bail!(
        "no decoder for {codec} {why}. Install one ({names}), such as that of gstreamer1.0-libav, or set source.decoder"
    )
}

/// Decodes one picture.
fn try_decoder(codec: Codec, fragment: &str, patience: Duration) -> Result<(), String> {
    let picture = match codec {
        Codec::H264 => GRAY_H264,
        Codec::H265 => GRAY_H265,
    };
    let text = format!(
        "appsrc name=picture format=time caps={} ! {} ! {fragment} ! video/x-raw ! fakesink name=seen sync=false",
        pipeline::quoted(codec.caps()),
        codec.parser()
    );
    let feed = |trial: &gst::Pipeline| {
        let source = trial.by_name("picture").and_then(|element| element.downcast::<AppSrc>().ok());
        let source = source.ok_or("it has no beginning")?;
        let mut buffer = gst::Buffer::from_slice(picture);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::ZERO);
        }
        // What refuses them says why on the bus.
        let _ = source.push_buffer(buffer);
        let _ = source.end_of_stream();
        Ok(())
    };
    let has_worked = |trial: &gst::Pipeline| trial.by_name("seen").is_some_and(|sink| has_seen(&sink));
    pipeline::try_out(&text, patience, feed, has_worked, "it decodes nothing")
}

/// Whether a buffer came to a sink.
fn has_seen(sink: &gst::Element) -> bool {
    let stats: gst::Structure = sink.property("stats");
    stats.get::<u64>("rendered").is_ok_and(|rendered| rendered > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_exists_and_fails_is_not_taken() {
        gst::init().unwrap();
        let patience = Duration::from_millis(500);
        for (fragment, why) in [
            ("nosuchdecoder", "nosuchdecoder"),
            ("avdec_h264 nosuchproperty=1", "nosuchproperty"),
            ("identity error-after=1 ! avdec_h264", "failed after"),
            ("identity drop-probability=1 ! avdec_h264", "decodes nothing"),
            ("avdec_h265", "link"),
        ] {
            let refused = try_decoder(Codec::H264, fragment, patience).unwrap_err();
            assert!(refused.to_lowercase().contains(why), "{fragment}: {refused}");
        }
    }

    #[test]
    fn both_codecs_have_one_and_it_is_known_then() {
        gst::init().unwrap();
        for codec in [Codec::H264, Codec::H265] {
            let chosen = choose(codec).unwrap();
            assert!(std::ptr::eq(choose(codec).unwrap(), chosen));
            assert_eq!(Codec::named(&codec.to_string().replace('.', "")), Some(codec));
        }
    }
}
