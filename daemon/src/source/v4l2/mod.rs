//! Capture cards: whether one is there, what its driver says of its input, and when the input's mode changes.
//!
//! GStreamer streams the frames. It knows nothing of the input, so that a second handle asks the driver beside it, on a
//! thread of its own: an ioctl may wait for the hardware.

mod card;
mod ffi;
mod watch;

use std::path::Path;

use anyhow::{Result, bail};

use crate::config::Source;
pub use watch::Watch;

/// Looks for the source's device, without opening it. Any other source is there, as far as this can be said.
///
/// # Errors
/// When the device is absent.
pub fn look(source: &Source) -> Result<()> {
    if let Source::V4l2 { device, .. } = source
        && !device.exists()
    {
        bail!(
            "{} does not exist. Plug the capture card in; `v4l2-ctl --list-devices` shows its name",
            device.display()
        );
    }
    Ok(())
}

/// Sets the card to the mode of what comes in, as drivers with digital timings want it before frames are asked for. Any
/// other card does that itself, or has one mode.
pub fn follow_input(device: &Path) {
    let followed = ffi::Device::open(device).and_then(|device| device.follow_timings());
    match followed {
        Ok(Some((width, height))) => tracing::info!(width, height, "the card follows its input's mode"),
        Ok(None) => {}
        // What opens the device next says why it cannot be used.
        Err(error) => tracing::debug!(%error, "the card's mode is left as it is"),
    }
}

/// How GStreamer takes frames from a card that is asked for `caps`: with a decoder by name where they say which.
pub fn describe(device: &str, caps: Option<&str>) -> String {
    let Some(caps) = caps else { return format!("v4l2src device={device} ! decodebin") };
    let kind = caps.trim().trim_matches('"').split([',', ';', '(']).next().unwrap_or("").trim();
    let decoder = match kind {
        "image/jpeg" => " ! jpegdec",
        "video/x-raw" => "",
        _ => " ! decodebin",
    };
    format!("v4l2src device={device} ! {}{decoder}", crate::pipeline::quoted(caps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_are_named_where_the_caps_say_which() {
        let of = |caps| describe("\"/dev/video0\"", caps);
        assert_eq!(of(None), "v4l2src device=\"/dev/video0\" ! decodebin");
        let jpeg = of(Some("image/jpeg,width=1920,height=1080,framerate=30/1"));
        assert!(jpeg.ends_with("framerate=30/1\" ! jpegdec"), "{jpeg}");
        let raw = of(Some("video/x-raw,format=YUY2"));
        assert!(raw.ends_with("format=YUY2\""), "{raw}");
        assert!(of(Some("video/x-h264")).ends_with(" ! decodebin"));
    }
}
