//! RTSP over TCP, read by `retina`: no byte of the network comes to GStreamer but as a whole access unit.
//!
//! The network has a thread and a runtime of its own. It ends when the source is dropped, whatever it is waiting for.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use gst::prelude::*;
use gst_app::AppSrc;
use retina::client::{
    Credentials, Described, InitialTimestampPolicy, PlayOptions, Session, SessionGroup, SessionOptions,
    SetupOptions, Transport,
};
use retina::codec::{CodecItem, FrameFormat, VideoFrame};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_stream::StreamExt;

use super::clock::Clock;
use super::feed::{AccessUnit, Feed};
use super::login::Login;
use super::{HANDSHAKE, SILENCE, caps, decoder, silent};
use crate::config::{Rtsp, Source};
use crate::source::decode::Codec;
use crate::source::failure::{SourceError, answered};
use crate::source::gstreamer::{Capture, finish};
use crate::source::slot::{FrameCounts, Slot};

/// Time between looks at whether to stop.
const POLL: Duration = Duration::from_millis(20);
/// What saying goodbye to the server may take; nobody waits for it.
const GOODBYE: Duration = Duration::from_millis(500);

/// Up to frames.
pub fn describe(rtsp: &Rtsp, codec: Codec) -> Result<String> {
    let decoder = decoder(rtsp, codec)?;
    Ok(format!("appsrc name=units is-live=true format=time caps={} ! {decoder}", caps(codec)))
}

/// Opens the stream and waits for its first picture; None when the daemon is told to stop meanwhile.
///
/// # Errors
/// Why there is none.
pub fn open(
    rtsp: &Rtsp,
    login: Option<Login>,
    source: &Source,
    pads: bool,
    counts: &Arc<FrameCounts>,
    stop: &AtomicBool,
) -> Result<Option<(Capture, Slot)>> {
    let feed = Feed::new();
    let (begun, beginning) = bounded(1);
    let (client, dropped) = oneshot::channel();
    let network = Network { rtsp: rtsp.clone(), source: source.to_string(), feed: feed.clone(), begun };
    let run = move || network.run(login, dropped);
    thread::Builder::new().name("rtsp".into()).spawn(run).context("cannot start a thread")?;
    let codec = loop {
        match beginning.recv_timeout(POLL) {
            Ok(begun) => break begun?,
            Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
            // Told to stop, or its thread is gone.
            Err(_) => return Ok(None),
        }
    };
    let text = finish(&describe(rtsp, codec)?, pads);
    Capture::play(
        |_| Ok(text),
        source,
        pads,
        counts,
        stop,
        |pipeline, sender| {
            let appsrc = pipeline.by_name("units").and_then(|element| element.downcast::<AppSrc>().ok());
            feed.attach(&appsrc.context("the pipeline has no source")?, sender.clone());
            Ok(Some(Box::new(client) as Box<dyn Send>))
        },
    )
}

/// What the network's thread has.
struct Network {
    rtsp: Rtsp,
    /// The source as it is called.
    source: String,
    feed: Arc<Feed>,
    /// Hears once whether there is a stream.
    begun: Sender<Result<Codec, SourceError>>,
}

impl Network {
    /// Reads the stream until it ends, or until `dropped`.
    fn run(self, login: Option<Login>, dropped: oneshot::Receiver<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return self.end(self.failed("it cannot wait for the network")) };
        let group = Arc::new(SessionGroup::default());
        let read = || {
            runtime.block_on(async {
                tokio::select! {
                    ended = self.read(login, &group) => match ended {
                        Ok(never) => match never {},
                        Err(error) => self.end(error),
                    },
                    _ = dropped => {}
                }
                // The connection is closed in any case.
                let _ = timeout(GOODBYE, group.await_teardown()).await;
            });
        };
        if catch_unwind(AssertUnwindSafe(read)).is_err() {
            self.end(self.failed("what the server sends cannot be understood"));
        }
        // A name that is still being looked up keeps nobody waiting.
        runtime.shutdown_background();
    }

    /// Reads the stream until it fails.
    async fn read(&self, login: Option<Login>, group: &Arc<SessionGroup>) -> Result<Infallible, SourceError> {
        let credentials = login.map(|Login { user, password }| Credentials { username: user, password });
        let options = SessionOptions::default()
            .creds(credentials)
            .user_agent("Nervelight".into())
            .session_group(group.clone());
        let handshake = async {
            let mut session = Session::describe(self.rtsp.uri.clone(), options).await?;
            let Some((stream, codec)) = video(&session) else { return Ok(Err(offered(&session))) };
            let options = SetupOptions::default()
                .transport(Transport::Tcp(Default::default()))
                .frame_format(FrameFormat::SIMPLE);
            session.setup(stream, options).await?;
            let options = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Ignore);
            Ok::<_, retina::Error>(Ok((session.play(options).await?.demuxed()?, codec)))
        };
        let promised = timeout(HANDSHAKE, handshake).await.map_err(|_| silent(&self.rtsp, HANDSHAKE))?;
        let (mut stream, codec) = promised
            .map_err(|error| self.failure(&error))?
            .map_err(|offered| self.failed(&format!("it offers no H.264 or H.265, only {offered}")))?;
        let (mut clock, start, mut has_begun) = (Clock::default(), Instant::now(), false);
        loop {
            let item = async {
                loop {
                    match stream.next().await? {
                        Ok(CodecItem::VideoFrame(frame)) => return Some(Ok(frame)),
                        Ok(_) => {}
                        Err(error) => return Some(Err(error)),
                    }
                }
            };
            let frame = timeout(SILENCE, item).await.map_err(|_| silent(&self.rtsp, SILENCE))?;
            let frame = frame.ok_or_else(|| self.failed("the server closed the connection"))?;
            let frame = frame.map_err(|error| self.failure(&error))?;
            if !std::mem::replace(&mut has_begun, true) {
                // The first word alone is heard.
                let _ = self.begun.try_send(Ok(codec));
            }
            let arrived = frame.end_ctx().received().saturating_duration_since(start);
            let placed = clock.place(sent(&frame), arrived);
            self.feed.offer(unit(frame, placed.at));
            if placed.is_behind {
                let message =
                    "after a stall its pictures come late, each of them; a new connection shows the newest";
                return Err(self.failed(message));
            }
        }
    }

    /// It ended, be it before it began.
    fn end(&self, error: SourceError) {
        if self.begun.try_send(Err(error.clone())).is_err() {
            self.feed.end(error);
        }
    }

    fn failed(&self, message: &str) -> SourceError {
        let remedy = "It is opened again; if that does not help, look at the server's own log".into();
        SourceError::Failed { name: self.source.clone(), message: message.into(), remedy }
    }

    fn failure(&self, error: &retina::Error) -> SourceError {
        /// More is nobody's sentence.
        const LONGEST: usize = 200;
        if let Some(status) = error.status_code()
            && let Some(error) = answered(&self.source, &self.rtsp.server(), status)
        {
            return error;
        }
        // What follows the first line names ports and times, which differ every time.
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        if let Some(why) = text.strip_prefix("Unable to connect to RTSP server: ") {
            let (server, why) = (self.rtsp.server(), why.into());
            return SourceError::Unreachable { name: self.source.clone(), server, why };
        }
        // Nor does anybody want to read what was received.
        let text = text.split("; buffered").next().unwrap_or_default();
        let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        self.failed(&format!("{} does not speak as it should: {text}", self.rtsp.server()))
    }
}

/// The first stream of video that is known here.
fn video(session: &Session<Described>) -> Option<(usize, Codec)> {
    let streams = session.streams().iter().enumerate();
    let mut known = streams.filter(|(_, stream)| stream.media() == "video");
    known.find_map(|(n, stream)| Some((n, Codec::named(stream.encoding_name())?)))
}

/// What a server offers.
fn offered(session: &Session<Described>) -> String {
    let all: Vec<_> =
        session.streams().iter().map(|s| format!("{} {}", s.media(), s.encoding_name())).collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}

/// The sender's time of a picture, in ns.
fn sent(frame: &VideoFrame) -> i128 {
    let time = frame.timestamp();
    i128::from(time.timestamp()) * 1_000_000_000 / i128::from(time.clock_rate().get())
}

fn unit(frame: VideoFrame, at: Duration) -> AccessUnit {
    let (is_key, is_after_loss) = (frame.is_random_access_point(), frame.loss() > 0);
    let mut buffer = gst::Buffer::from_mut_slice(frame.into_data());
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        if !is_key {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    AccessUnit { buffer, is_after_loss }
}
