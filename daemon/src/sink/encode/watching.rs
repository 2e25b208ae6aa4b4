//! A network sink's part in an encoder: it encodes while somebody watches, and joins get an IDR at the next frame.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use gst_video::VideoInfo;

use crate::sink::encode::hub::{Audience, Subscriber};
use crate::sink::encode::{Share, Units};
use crate::sink::feed::{STALL, Taken};
use crate::sink::{SinkContext, SinkError, SinkStatus, is_like};

/// Frames' way to an encoder, and its units' way to a network sink.
pub struct Watching {
    opener: Opener,
    stream: Stream,
    is_ended: bool,
}

/// What opens an encoder.
#[derive(Clone)]
struct Opener {
    info: Arc<VideoInfo>,
    context: SinkContext,
    status: Arc<SinkStatus>,
    audience: Arc<Audience>,
    units: Arc<dyn Units>,
}

enum Stream {
    Open(Share),
    /// The frames changed, and an encoder for them is being opened.
    Opening(Receiver<Result<Share, SinkError>>),
    Failed,
}

impl Opener {
    fn open(&self) -> Result<Share, SinkError> {
        let encoder = self.context.encoders.join(None, &self.info, &self.context)?;
        let (units, status, audience) = (self.units.clone(), self.status.clone(), self.audience.clone());
        Share::new(encoder, Subscriber::network(units, status, audience))
    }
}

impl Watching {
    pub(super) fn open(
        info: &Arc<VideoInfo>,
        context: &SinkContext,
        status: Arc<SinkStatus>,
        audience: Arc<Audience>,
        units: Arc<dyn Units>,
    ) -> Result<Self, SinkError> {
        let (info, context) = (info.clone(), context.clone());
        let opener = Opener { info, context, status, audience, units };
        let share = opener.open()?;
        opener.audience.look_at(&share.encoder.hub);
        Ok(Self { opener, stream: Stream::Open(share), is_ended: false })
    }

    /// Hands over a frame, on the frame thread. Without viewers nothing becomes of it.
    pub fn push(&mut self, frame: &gst::Buffer) -> Taken {
        self.settle();
        match &mut self.stream {
            _ if self.is_ended || self.opener.status.has_failed() => Taken::Failed,
            Stream::Failed => Taken::Failed,
            _ if self.opener.audience.viewers() == 0 => Taken::Yes,
            Stream::Open(share) => share.push(frame),
            Stream::Opening(_) => Taken::Busy,
        }
    }

    /// Opens an encoder for frames like `info`, beside the frame thread; until it is there frames are dropped. Viewers
    /// stay: SPS and PPS stand before each IDR.
    pub fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        if Arc::ptr_eq(&self.opener.info, info) || is_like(&self.opener.info, info) {
            return true;
        }
        self.opener.info = info.clone();
        let (done, opened) = bounded(1);
        let old = std::mem::replace(&mut self.stream, Stream::Opening(opened));
        let opener = self.opener.clone();
        let open = move || {
            // It may take seconds to stop.
            drop(old);
            // One that is replaced before it is open stops here.
            let _ = done.send(opener.open());
        };
        match thread::Builder::new().name("encoder".into()).spawn(open) {
            Ok(_) => true,
            Err(error) => {
                self.opener.status.fail(format!("cannot start a thread: {error}"));
                false
            }
        }
    }

    /// Says that no frame follows; the units learn of the end behind the last.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        match &mut self.stream {
            Stream::Open(share) => share.end(),
            Stream::Opening(_) | Stream::Failed => self.opener.units.end(),
        }
    }

    /// Takes the encoder that was opened, if it is there. A video that is not live waits for it.
    fn settle(&mut self) {
        let Stream::Opening(opened) = &self.stream else { return };
        let opened = match self.opener.context.live {
            true => opened.try_recv().ok(),
            false => opened.recv_timeout(STALL).ok(),
        };
        let Some(opened) = opened else { return };
        match opened.map_err(|error| error.of("encoder")) {
            Ok(share) => {
                self.opener.audience.look_at(&share.encoder.hub);
                self.stream = Stream::Open(share);
            }
            Err(SinkError::Misconfigured(error) | SinkError::Unavailable(error)) => {
                self.opener.status.fail(format!("{error:#}"));
                self.stream = Stream::Failed;
            }
        }
    }
}
