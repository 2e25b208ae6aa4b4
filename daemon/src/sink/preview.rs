//! The preview: pictures for the page, each with what is true of it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use gst_video::VideoInfo;
use tokio::sync::watch;

use crate::frame::{NerveSize, OverlayState, SignalState};
use crate::sink::feed::{self, Feed};
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus};

/// JPEG is full range by definition (JFIF 1.02). From I420 to I420 videoconvert copies, whatever the ranges are; on the
/// way to RGB it minds them.
pub const PIPELINE: &str = "appsrc name=frames ! videoconvert ! video/x-raw,format=BGRx ! jpegenc quality=85 ! \
     appsink name=jpeg sync=false max-buffers=1 drop=true";

/// Where the newest picture is published.
pub type Pictures = watch::Sender<Option<Picture>>;

/// States of frames that are being encoded; the encoder's queue holds fewer.
const STATES: usize = 32;

/// A frame as JPEG.
#[derive(Debug, Clone)]
pub struct Picture {
    /// JFIF.
    pub jpeg: Bytes,
    /// What is true of it.
    pub state: State,
}

/// What a person must know about one frame to read it.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// State of the overlay on it.
    pub ai: OverlayState,
    /// Whether it came from the source; else it is the black one that says NO SIGNAL.
    pub signal: bool,
    /// The size of the nerve on it.
    pub nerve: Option<NerveSize>,
    /// What the signal was doing.
    pub picture: SignalState,
    /// When it arrived.
    pub arrived: Instant,
}

impl State {
    /// As readers of pictures are told it; `at_ms` counts from `begun`.
    pub fn describe(&self, begun: Instant) -> serde_json::Value {
        let at_ms = self.arrived.saturating_duration_since(begun).as_secs_f64() * 1000.0;
        let Self { ai, signal, picture, nerve, .. } = self;
        serde_json::json!({ "ai": ai, "signal": signal, "picture": picture, "nerve": nerve, "at_ms": at_ms.round() })
    }
}

/// Puts each picture that leaves the encoder together with the state that its frame came with.
pub struct Preview {
    feed: Feed,
    status: Arc<SinkStatus>,
    pictures: Pictures,
    states: Sender<(Option<gst::ClockTime>, State)>,
}

impl Preview {
    /// Starts to publish pictures.
    ///
    /// # Errors
    /// When the encoder cannot be built or started.
    pub fn open(name: String, info: &VideoInfo, context: &SinkContext) -> Result<Self, SinkError> {
        let what = format!("sink {name}");
        let status = Arc::new(SinkStatus::new(name));
        let (states, known) = bounded(STATES);
        let pictures = context.pictures.clone();
        let attach = |pipeline: &gst::Pipeline| {
            if let Some(jpeg) = pipeline.by_name("jpeg").and_then(|e| e.downcast::<AppSink>().ok()) {
                publish(&jpeg, known, pictures);
            }
        };
        let caps = feed::caps(info)?;
        let feed = Feed::open(&what, PIPELINE, Some(&caps), context, attach, status.listener())?;
        Ok(Self { feed, status, pictures: context.pictures.clone(), states })
    }
}

impl Sink for Preview {
    fn push(&mut self, shown: Shown<'_>) {
        // Pictures are encoded only while somebody looks.
        if self.pictures.receiver_count() == 0 {
            return;
        }
        self.status.count(self.feed.give(|source| {
            // Full only when the encoder hangs; its next picture is then without a state, and not shown at all.
            let _ = self.states.try_send((shown.buffer.pts(), shown.state));
            source.push_buffer(shown.buffer.clone())
        }));
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        self.feed.follow(info)
    }

    fn end(&mut self) {
        self.feed.end();
    }

    fn finish(&mut self, deadline: Instant) {
        self.feed.finish(deadline);
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

/// Publishes what comes out of `jpeg`.
fn publish(jpeg: &AppSink, known: Receiver<(Option<gst::ClockTime>, State)>, pictures: Pictures) {
    let on_sample = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let Some(buffer) = sample.buffer()
            && let Some(state) = state_of(buffer.pts(), &known)
            && let Ok(map) = buffer.map_readable()
        {
            pictures.send_replace(Some(Picture { jpeg: map.as_slice().to_vec().into(), state }));
        }
        Ok(gst::FlowSuccess::Ok)
    };
    jpeg.set_callbacks(AppSinkCallbacks::builder().new_sample(on_sample).build());
}

/// The state of the frame of time `pts`; those before it were lost on the way. A picture whose state is not known is
/// not shown.
fn state_of(pts: Option<gst::ClockTime>, known: &Receiver<(Option<gst::ClockTime>, State)>) -> Option<State> {
    known.try_iter().find(|(of, _)| of.is_none() || *of == pts).map(|(_, state)| state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ai: OverlayState) -> State {
        State { ai, signal: true, picture: SignalState::Ok, nerve: None, arrived: Instant::now() }
    }

    #[test]
    fn a_picture_has_the_state_of_its_own_frame() {
        let (send, known) = bounded(8);
        let ms = |n| Some(gst::ClockTime::from_mseconds(n));
        for (n, ai) in
            [(1, OverlayState::On), (2, OverlayState::Stale), (3, OverlayState::Off), (4, OverlayState::On)]
        {
            send.send((ms(n), state(ai))).unwrap();
        }
        assert_eq!(state_of(ms(1), &known).unwrap().ai, OverlayState::On);
        assert_eq!(state_of(ms(3), &known).unwrap().ai, OverlayState::Off, "the second was lost");
        assert_eq!(state_of(ms(4), &known).unwrap().ai, OverlayState::On);
        assert!(state_of(ms(5), &known).is_none());
    }
}
