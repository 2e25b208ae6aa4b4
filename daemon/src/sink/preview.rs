//! The preview: pictures for the page, each with what is true of it.

use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use gst_app::{AppSink, AppSinkCallbacks};
use tokio::sync::watch;

use crate::status::Ai;

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
    pub ai: Ai,
    /// Whether it came from the source; else it is the black one that says NO SIGNAL.
    pub signal: bool,
    /// When it arrived.
    pub arrived: Instant,
}

/// Puts each picture that leaves the encoder together with the state that its frame came with.
pub struct Preview {
    pictures: Pictures,
    states: Sender<(Option<gst::ClockTime>, State)>,
}

impl Preview {
    /// Publishes what comes out of `sink`.
    pub fn attach(sink: &AppSink, pictures: Pictures) -> Self {
        let (states, known) = bounded(STATES);
        let published = pictures.clone();
        let on_sample = move |sink: &AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let Some(buffer) = sample.buffer()
                && let Some(state) = state_of(buffer.pts(), &known)
                && let Ok(map) = buffer.map_readable()
            {
                published.send_replace(Some(Picture { jpeg: map.as_slice().to_vec().into(), state }));
            }
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_sample).build());
        Self { pictures, states }
    }

    /// Whether somebody looks; pictures are encoded only then.
    pub fn is_watched(&self) -> bool {
        self.pictures.receiver_count() > 0
    }

    /// Says what is true of the frame that is handed to the encoder next.
    pub fn expect(&self, frame: &gst::Buffer, state: State) {
        // Full only when the encoder hangs; its next picture is then shown without a state, which is not at all.
        let _ = self.states.try_send((frame.pts(), state));
    }
}

/// The state of the frame of time `pts`; those before it were lost on the way. A picture whose state is not known is
/// not shown.
fn state_of(pts: Option<gst::ClockTime>, known: &Receiver<(Option<gst::ClockTime>, State)>) -> Option<State> {
    known.try_iter().find(|(of, _)| of.is_none() || *of == pts).map(|(_, state)| state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ai: Ai) -> State {
        State { ai, signal: true, arrived: Instant::now() }
    }

    #[test]
    fn a_picture_has_the_state_of_its_own_frame() {
        let (send, known) = bounded(8);
        let ms = |n| Some(gst::ClockTime::from_mseconds(n));
        for (n, ai) in [(1, Ai::On), (2, Ai::Stale), (3, Ai::Off), (4, Ai::On)] {
            send.send((ms(n), state(ai))).unwrap();
        }
        assert_eq!(state_of(ms(1), &known).unwrap().ai, Ai::On);
        assert_eq!(state_of(ms(3), &known).unwrap().ai, Ai::Off, "the second was lost");
        assert_eq!(state_of(ms(4), &known).unwrap().ai, Ai::On);
        assert!(state_of(ms(5), &known).is_none());
    }
}
