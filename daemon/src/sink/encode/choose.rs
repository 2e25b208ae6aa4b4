//! Which H.264 encoder: the best that is installed and works. A factory alone says little: an Orin Nano has
//! NVIDIA's and no hardware behind it.

use std::time::Duration;

use anyhow::anyhow;

use crate::pipeline;
use crate::sink::SinkError;

/// Encoders in order of preference: the cart's hardware, then x264. Each gives out a frame before the next comes in.
/// `{gop}` is the number of frames in a second; most IDRs are asked for, frame by frame, and this is for encoders that do
/// not listen. Where versions differ in what they call something, the plain fragment comes second.
const ENCODERS: [(&str, &str); 8] = [
    (
        "nvv4l2h264enc",
        "nvvidconv ! nvv4l2h264enc bitrate=8000000 profile=0 iframeinterval={gop} idrinterval={gop} \
         insert-sps-pps=true maxperf-enable=true",
    ),
    (
        "nvv4l2h264enc",
        "nvvidconv ! nvv4l2h264enc bitrate=8000000 profile=0 iframeinterval={gop} idrinterval={gop} \
         insert-sps-pps=true",
    ),
    ("nvh264enc", "nvh264enc bitrate=8000 bframes=0 zerolatency=true gop-size={gop} ! {profile}"),
    ("nvh264enc", "nvh264enc bitrate=8000 bframes=0 gop-size={gop} ! {profile}"),
    ("vah264enc", "vah264enc bitrate=8000 b-frames=0 key-int-max={gop} ! {profile}"),
    // Where VA-API only has the low-power engine.
    ("vah264lpenc", "vah264lpenc bitrate=8000 b-frames=0 key-int-max={gop} ! {profile}"),
    (
        "x264enc",
        "x264enc speed-preset=veryfast tune=zerolatency pass=quant quantizer=20 bframes=0 key-int-max={gop} ! \
         {profile}",
    ),
    ("openh264enc", "openh264enc bitrate=8000000 gop-size={gop} ! {profile}"),
];
/// Both are the same without what baseline alone has and no encoder makes (ITU-T H.264, A.2.1.1).
const PROFILE: &str = "video/x-h264,profile=(string){constrained-baseline,baseline}";
/// What encoding one frame may take; opening hardware is most of it.
const TRIAL: Duration = Duration::from_secs(5);

/// The best encoder for `fps` that encodes a frame here.
///
/// # Errors
/// When none is installed, or none works now.
pub fn choose(fps: Option<gst::Fraction>) -> Result<String, SinkError> {
    let mut names: Vec<_> = ENCODERS.iter().map(|(name, _)| *name).collect();
    names.dedup();
    let names = names.join(", ");
    let (mut missing, mut refused) = (vec![], vec![]);
    for (name, fragment) in ENCODERS {
        if gst::ElementFactory::find(name).is_none() {
            missing.push(name);
            continue;
        }
        let fragment = fragment.replace("{gop}", &gop(fps).to_string()).replace("{profile}", PROFILE);
        match try_encoder(&fragment, TRIAL) {
            Ok(()) => {
                missing.dedup();
                let why = match (missing.is_empty(), refused.is_empty()) {
                    (true, true) => "it is the first choice, and works".to_owned(),
                    (false, true) => {
                        format!("it is the first that is installed; {} are not", missing.join(", "))
                    }
                    _ => format!("it is the first that works here, unlike {}", refused.join("; ")),
                };
                tracing::info!(encoder = name, %why, "encoder chosen");
                return Ok(fragment);
            }
            Err(why) => {
                tracing::warn!(encoder = name, %why, "the encoder does not work here; the next is tried");
                refused.push(format!("{name}: {why}"));
            }
        }
    }
    if refused.is_empty() {
        return Err(SinkError::Misconfigured(anyhow!(
            "no H.264 encoder is installed: install one ({names}), such as x264enc of gstreamer1.0-plugins-ugly, or \
             set the sink's encoder"
        )));
    }
    Err(SinkError::Unavailable(anyhow!(
        "no H.264 encoder works here: {}. Install another ({names}), or set the sink's encoder",
        refused.join("; ")
    )))
}

fn gop(fps: Option<gst::Fraction>) -> i32 {
    match fps {
        Some(fps) if fps.numer() > 0 => (fps.numer() / fps.denom().max(1)).clamp(1, 240),
        _ => 25,
    }
}

/// Encodes one frame.
fn try_encoder(fragment: &str, patience: Duration) -> Result<(), String> {
    let text = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width=640,height=480,framerate=25/1 ! videoconvert ! \
         {fragment} ! h264parse ! fakesink"
    );
    pipeline::try_out(&text, patience, |_| Ok(()), |_| true, "it encodes nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_that_exists_and_fails_is_not_taken() {
        gst::init().unwrap();
        let patience = Duration::from_millis(500);
        for (fragment, why) in [
            ("nosuchencoder", "nosuchencoder"),
            ("x264enc nosuchproperty=1", "nosuchproperty"),
            // What fails, hangs, or makes something else.
            ("identity error-after=1 ! x264enc", "failed after"),
            ("identity sleep-time=2000000 ! x264enc", "encodes nothing"),
            ("x264enc ! video/x-h264,profile=extended", "could not link"),
        ] {
            let refused = try_encoder(fragment, patience).unwrap_err();
            assert!(refused.to_lowercase().contains(why), "{fragment}: {refused}");
        }
        assert!(choose(None).is_ok());
    }

    #[test]
    fn a_group_of_pictures_is_a_second() {
        assert_eq!(
            [None, Some(gst::Fraction::new(0, 1)), Some(gst::Fraction::new(60, 1))].map(gop),
            [25, 25, 60]
        );
        assert_eq!(gop(Some(gst::Fraction::new(30000, 1001))), 29);
    }
}
