//! What decoder and container report as lost. A gap in time alone says nothing: a file of variable rate has many.

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Errors that libav's decoders wrote to their log; they conceal damage and say so nowhere else.
static DECODER_ERRORS: AtomicU64 = AtomicU64::new(0);

/// Counts what is lost of a file.
#[derive(Clone)]
pub struct Damage {
    counts: Arc<Counts>,
    /// Errors of decoders before this file.
    before: u64,
}

#[derive(Default)]
struct Counts {
    /// Frames missing in time.
    gaps: AtomicU64,
    /// Frames that the decoder itself calls broken.
    broken: AtomicU64,
    /// An element warned of what it read.
    is_warned: AtomicBool,
}

impl Damage {
    /// Nothing lost yet.
    pub fn new() -> Self {
        hear_decoders();
        Self { counts: Arc::default(), before: DECODER_ERRORS.load(Ordering::Relaxed) }
    }

    /// Looks at a frame; `end` is where it was due, and becomes where the next one is.
    pub fn look_at(&self, buffer: &gst::BufferRef, end: &mut Option<gst::ClockTime>) {
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            self.counts.broken.fetch_add(1, Ordering::Relaxed);
        }
        let (Some(pts), Some(duration)) = (buffer.pts(), buffer.duration().filter(|d| !d.is_zero())) else {
            return;
        };
        // Rounded time stamps are off by less than half a frame.
        let late = pts.saturating_sub(end.unwrap_or(pts));
        let missing = (late + duration / 2).nseconds() / duration.nseconds();
        self.counts.gaps.fetch_add(missing, Ordering::Relaxed);
        *end = Some(pts + duration);
    }

    /// Hears an element's warning about the stream.
    pub fn warned(&self, warning: &gst::glib::Error) {
        if warning.is::<gst::StreamError>() {
            self.counts.is_warned.store(true, Ordering::Relaxed);
        }
    }

    /// About how many frames are lost; 0 when nobody reports a loss.
    pub fn frames(&self) -> u64 {
        let Counts { gaps, broken, is_warned } = &*self.counts;
        let broken = broken.load(Ordering::Relaxed);
        let is_reported = broken > 0
            || is_warned.load(Ordering::Relaxed)
            || DECODER_ERRORS.load(Ordering::Relaxed) > self.before;
        if is_reported { broken + gaps.load(Ordering::Relaxed) } else { 0 }
    }
}

/// Listens to libav's log, which GStreamer passes on.
fn hear_decoders() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::log::add_log_function(|category, level, _, _, _, _, _| {
            if level == gst::DebugLevel::Error && category.name() == "libav" {
                DECODER_ERRORS.fetch_add(1, Ordering::Relaxed);
            }
        });
        if std::env::var_os("GST_DEBUG").is_none() {
            gst::log::remove_default_log_function();
            gst::log::set_threshold_for_name("libav", gst::DebugLevel::Error);
        }
    });
}
