//! The display: video on this machine's screen. `autovideosink` asks every sink there is, and some crash where there is
//! no screen. It is shown over the whole screen.

mod window;
mod xlib;

use std::env;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoInfo, VideoOverlay};

use crate::sink::display::window::Window;
use crate::sink::feed::{self, Feed};
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus};

/// Shows frames on a screen.
pub struct Display {
    feed: Feed,
    /// What it draws into, where it does not make a window of its own. Closed after the pipeline has stopped.
    _window: Option<Window>,
    status: Arc<SinkStatus>,
}

impl Display {
    /// Opens the screen.
    ///
    /// # Errors
    /// When there is no such element, or no screen now.
    pub fn open(
        name: String,
        element: &str,
        info: &VideoInfo,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        let what = format!("sink {name}");
        let unavailable = |error: anyhow::Error| SinkError::Unavailable(error.context(what.clone()));
        // An X server that loses its last client may start anew, and refuses whoever comes meanwhile.
        let _kept = if is_chosen(element) { x11rb::connect(None).ok() } else { None };
        let element = find(element).map_err(unavailable)?;
        let status = Arc::new(SinkStatus::new(name));
        let caps = feed::caps(info)?;
        let window = match draws_into_window(element) {
            true => Some(Window::open(status.listener()).map_err(unavailable)?),
            false => None,
        };
        let prepare = |pipeline: &gst::Pipeline| fill_screen(pipeline, element, window.as_ref());
        let feed = Feed::open(&what, &describe(element), Some(&caps), context, prepare, status.listener())?;
        Ok(Self { feed, _window: window, status })
    }
}

impl Sink for Display {
    fn push(&mut self, shown: Shown<'_>) {
        self.status.count(self.feed.push(shown.buffer));
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        self.feed.follow(info)
    }

    fn end(&mut self) {
        self.feed.end();
    }

    fn finish(&mut self, deadline: Instant) {
        // Nothing comes to its end on a screen that is gone.
        if let Some(why) = self.status.failure() {
            self.feed.give_up(why);
        }
        self.feed.finish(deadline);
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

/// Whether the element is to be chosen on this machine.
pub fn is_chosen(element: &str) -> bool {
    ["auto", "autovideosink"].contains(&element)
}

/// `element`, or the best there is.
///
/// # Errors
/// When there is no screen.
pub fn find(element: &str) -> Result<&str> {
    // Whatever is tried may use Xlib.
    xlib::outlive_servers();
    if is_chosen(element) { choose() } else { Ok(element) }
}

/// The pipeline of an element. Some only show pictures of their window's size.
pub fn describe(element: &str) -> String {
    format!("appsrc name=frames ! videoconvert ! videoscale ! {element} sync=false")
}

/// Whether it is the plain name of a sink that draws into a window of X.
fn draws_into_window(element: &str) -> bool {
    let is_x11 = env::var_os("WAYLAND_DISPLAY").is_none_or(|name| name.is_empty());
    ["xvimagesink", "ximagesink"].contains(&element) || (element == "glimagesink" && is_x11)
}

/// Has the sink fill the screen, unless its fragment says how it is to look.
fn fill_screen(pipeline: &gst::Pipeline, element: &str, window: Option<&Window>) {
    for sink in pipeline.iterate_sinks().into_iter().flatten() {
        if let (Some(window), Some(overlay)) = (window, sink.dynamic_cast_ref::<VideoOverlay>()) {
            // SAFETY: the window lives until the pipeline has stopped, or is lost together with its server.
            #[allow(unsafe_code)]
            unsafe {
                overlay.set_window_handle(window.id());
            }
        } else if !element.contains(' ') && sink.has_property_with_type("fullscreen", bool::static_type()) {
            sink.set_property("fullscreen", true);
        }
    }
}

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
fn choose() -> Result<&'static str> {
    let screens = Screens::look();
    let sinks = screens.sinks();
    if sinks.is_empty() {
        bail!(
            "there is no screen: neither WAYLAND_DISPLAY nor DISPLAY is set, and there is no /dev/dri/card*. \
             Start it in the desktop's session, connect a graphics card, or remove this sink"
        );
    }
    let refused: Vec<_> = sinks.iter().take_while(|name| !opens(name)).copied().collect();
    match sinks.get(refused.len()) {
        Some(name) => {
            tracing::info!(element = name, not_here = ?refused, "the first video sink that opens on this screen");
            Ok(name)
        }
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
