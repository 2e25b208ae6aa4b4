//! Players, by RTSP: a server of its own for one stream, which the shared encoder makes while somebody watches. Units are
//! made into packets once. A viewer that falls behind is sent nothing until the next IDR; no other notices.

mod access;
mod packets;
mod sdp;
mod server;
mod session;
mod shared;
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use gst_video::VideoInfo;

use crate::config::RtspServer;
use crate::sink::encode::{Units as _, Watching};
use crate::sink::feed::Taken;
use crate::sink::rtsp::access::Secret;
use crate::sink::rtsp::server::Server;
use crate::sink::rtsp::stage::Stage;
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus, is_like};
use crate::tls::Identity;

/// What the last units may take to come out of the encoder and reach the viewers.
const LAST: Duration = Duration::from_millis(500);

/// Serves frames to players.
pub struct RtspOut {
    watching: Watching,
    stage: Arc<Stage>,
    server: Server,
    info: Arc<VideoInfo>,
    status: Arc<SinkStatus>,
}

impl RtspOut {
    /// Listens.
    ///
    /// # Errors
    /// When the port is taken, a file cannot be used, or there is no encoder.
    pub fn open(
        name: String,
        settings: &RtspServer,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        let what = format!("sink {name}");
        let status = Arc::new(SinkStatus::new(name.clone()));
        let stage = Arc::new(Stage::new(status.viewers()));
        let (audience, units) = (stage.audience.clone(), stage.clone());
        let watching = context.encoders.watch(info, context, status.clone(), audience, units);
        let watching = watching.map_err(|error| error.of(&what))?;
        let server = Server::start(name, settings, stage.clone())
            .map_err(|error| SinkError::Unavailable(error.context(what)))?;
        Ok(Self { watching, stage, server, info: info.clone(), status })
    }
}

impl Sink for RtspOut {
    fn push(&mut self, shown: Shown<'_>) {
        let taken = if self.follow(shown.info) { self.watching.push(shown.buffer) } else { Taken::Failed };
        self.status.count(taken);
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        if !Arc::ptr_eq(&self.info, info) && !is_like(&self.info, info) {
            self.stage.forget_parameters();
        }
        self.info = info.clone();
        self.watching.follow(info)
    }

    fn end(&mut self) {
        self.watching.end();
    }

    fn finish(&mut self, deadline: Instant) {
        self.end();
        let last = (Instant::now() + LAST).min(deadline);
        while !self.stage.is_ended() && Instant::now() < last {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.stage.end();
        while self.stage.counts.snapshot().watching > 0 && Instant::now() < last {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.server.stop(deadline.min(Instant::now() + Duration::from_secs(1)));
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

/// What is said of it before it is opened; its files are looked at.
///
/// # Errors
/// When they cannot be used.
pub fn check(settings: &RtspServer) -> Result<String> {
    Secret::read(&settings.access)?;
    settings.tls.as_ref().map(Identity::read).transpose()?;
    server::try_address(settings.listen)?;
    let most = settings.max_viewers;
    Ok(format!("{settings}, {most} viewers"))
}
