//! The live picture for browsers, by WebRTC: the encoder's access units as they are, to every viewer over one UDP port.
//!
//! A viewer comes in by WHEP ([`Whep`], which the page's server asks). One thread ([`server`]) owns the port and all
//! [`viewer`]s. A viewer that opens a data channel called `state` is told what is true of each picture before it comes,
//! under the picture's RTP time.

mod room;
mod server;
mod viewer;
mod whep;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use crossbeam_channel::Sender;
use gst_video::VideoInfo;

use crate::config;
use crate::sink::encode::{Audience, Watching};
use crate::sink::preview::State;
use crate::sink::webrtc::server::Server;
pub use crate::sink::webrtc::whep::{Refusal, Whep};
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus};

/// States of frames that are being encoded; the encoder's queue holds fewer.
const STATES: usize = 64;

/// Shows frames to those who watch. While nobody does, nothing is encoded.
pub struct Webrtc {
    server: Server,
    watching: Watching,
    /// What is true of the frames that were handed over, under their times.
    states: Sender<(u64, State)>,
    audience: Arc<Audience>,
    status: Arc<SinkStatus>,
}

/// Whether the address of all viewers can be had; gives it back at once.
///
/// # Errors
/// When it cannot.
pub fn try_address(webrtc: &config::Webrtc) -> Result<()> {
    server::bind(webrtc.udp).map(drop)
}

impl Webrtc {
    /// Takes the port, and lets viewers in.
    ///
    /// # Errors
    /// When the port is taken, or there is no encoder.
    pub fn open(
        name: String,
        webrtc: config::Webrtc,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        let what = format!("sink {name}");
        let status = Arc::new(SinkStatus::new(name));
        let (states, known) = crossbeam_channel::bounded(STATES);
        let audience = Arc::new(Audience::default());
        let server = Server::start(webrtc.udp, audience.clone(), known, context.whep.clone(), status.clone());
        let server = server.map_err(|error| SinkError::Unavailable(error).of(&what))?;
        let units = Arc::new(server.units());
        let watching = context.encoders.watch(info, context, status.clone(), audience.clone(), units);
        let watching = watching.map_err(|error| error.of(&what))?;
        server.admit();
        Ok(Self { server, watching, states, audience, status })
    }
}

impl Sink for Webrtc {
    fn push(&mut self, shown: Shown<'_>) {
        if self.audience.viewers() == 0 && !self.status.has_failed() {
            return;
        }
        if let Some(at) = shown.buffer.pts() {
            // Full only when the encoder hangs. A picture without a state is not shown by the page.
            let _ = self.states.try_send((at.nseconds(), shown.state));
        }
        self.status.count(self.watching.push(shown.buffer));
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        self.watching.follow(info)
    }

    fn end(&mut self) {
        self.watching.end();
    }

    fn finish(&mut self, deadline: Instant) {
        self.end();
        self.server.stop(deadline);
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}
