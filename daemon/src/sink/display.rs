//! Which sink shows video on this machine's screen. `autovideosink` asks every one there is, and some crash where there
//! is no screen.

use std::env;
use std::fs;

use anyhow::{Result, bail};
use gst::prelude::*;

/// What there is to show video on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Screens {
    wayland: bool,
    x11: bool,
    /// A graphics card without a desktop on it.
    card: bool,
}

impl Screens {
    fn look() -> Self {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_card = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("card");
        let cards = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
        Self {
            wayland: is_set("WAYLAND_DISPLAY"),
            x11: is_set("DISPLAY"),
            card: cards.into_iter().any(is_card),
        }
    }

    /// Sinks that could show video here, the best first.
    fn sinks(self) -> Vec<&'static str> {
        let Self { wayland, x11, card } = self;
        let known = [
            // Only on a Jetson.
            ("nv3dsink", x11 || card),
            ("waylandsink", wayland),
            ("xvimagesink", x11),
            ("glimagesink", x11),
            ("ximagesink", x11),
            // A desktop holds the card.
            ("kmssink", card && !wayland && !x11),
        ];
        known.into_iter().filter(|(_, fits)| *fits).map(|(name, _)| name).collect()
    }
}

/// The sink to show video with: the best of those that are installed and open here.
///
/// # Errors
/// When there is no screen, or nothing that shows video on it.
pub fn choose() -> Result<&'static str> {
    let screens = Screens::look();
    let sinks = screens.sinks();
    if sinks.is_empty() {
        bail!(
            "there is no screen: neither WAYLAND_DISPLAY nor DISPLAY is set, and there is no /dev/dri/card*. \
             Start it in the desktop's session, connect a graphics card, or remove this sink"
        );
    }
    match sinks.iter().find(|name| opens(name)) {
        Some(name) => Ok(name),
        None => bail!(
            "no GStreamer sink could be opened on this screen, of {}. Install one (gstreamer1.0-x for X11, \
             gstreamer1.0-plugins-bad for Wayland and without a desktop), or set the sink's element",
            sinks.join(", ")
        ),
    }
}

fn opens(name: &str) -> bool {
    let Ok(sink) = gst::ElementFactory::make(name).build() else { return false };
    let is_open = sink.set_state(gst::State::Ready).is_ok();
    // It was opened to see whether it can be.
    let _ = sink.set_state(gst::State::Null);
    is_open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_follow_what_is_there() {
        let none = Screens { wayland: false, x11: false, card: false };
        assert!(none.sinks().is_empty());
        assert_eq!(Screens { wayland: true, card: true, ..none }.sinks(), ["nv3dsink", "waylandsink"]);
        assert_eq!(Screens { card: true, ..none }.sinks(), ["nv3dsink", "kmssink"]);
        assert!(Screens { x11: true, ..none }.sinks().contains(&"ximagesink"));
    }
}
