//! One viewer's connection: its requests (RFC 2326), and the stream between them.

mod requests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use rtsp_types::{Message, ParseError, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::sink::rtsp::packets::{Packets, report};
use crate::sink::rtsp::shared::Shared;
use crate::sink::rtsp::stage::{Viewer, Want};

/// A request is small.
const LONGEST_REQUEST: usize = 16 * 1024;
/// A connection without a stream that is silent for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// What viewers are told: they have to give a sign of life as often as this, in s. They get half as much more.
const SESSION_TIMEOUT: u64 = 60;
/// A viewer that takes no byte for so long is gone.
const STALLED: Duration = Duration::from_secs(10);
/// Time between sender reports.
const REPORTS: Duration = Duration::from_secs(5);

/// How a viewer is sent packets.
#[derive(Clone, Copy)]
enum Way {
    /// In this connection, on channels for RTP and RTCP.
    Interleaved(u8, u8),
    /// To ports for RTP and RTCP.
    Udp(SocketAddr, SocketAddr),
}

/// What a connection has asked for so far.
struct Connection<'a> {
    shared: &'a Shared,
    peer: SocketAddr,
    local: SocketAddr,
    id: String,
    /// One of the places; kept once the stream is set up.
    place: Option<Place<'a>>,
    way: Option<Way>,
    playing: Option<Playing<'a>>,
    sent: (u32, u32),
    next_report: Instant,
    wrong: u32,
    is_closing: bool,
}

/// A viewer among the others while it lives.
struct Playing<'a> {
    viewer: Arc<Viewer>,
    shared: &'a Shared,
    _want: Want<'a>,
}

/// One of the places for viewers, freed when dropped.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Option<Self> {
        let most = shared.settings.max_viewers;
        let one_more = |taken: usize| (taken < most).then(|| taken + 1);
        shared.places.fetch_update(SeqCst, SeqCst, one_more).is_ok().then(|| Self(shared))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, SeqCst);
    }
}

impl<'a> Playing<'a> {
    fn new(shared: &'a Shared, reports_from: Option<SocketAddr>) -> Self {
        let viewer = Arc::new(Viewer::new(reports_from));
        shared.stage.enter(&viewer);
        // Behind that: the IDR that this asks for is given to the viewer.
        Self { viewer, shared, _want: shared.stage.want() }
    }
}

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        self.shared.stage.leave(&self.viewer);
    }
}

/// Serves one connection to its end.
///
/// # Errors
/// Why it ended, unless the viewer said goodbye.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: SocketAddr,
    local: SocketAddr,
    shared: &Shared,
) -> Result<()> {
    let id = format!("{:016x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), peer));
    let mut connection = Connection {
        shared,
        peer,
        local,
        id,
        place: None,
        way: None,
        playing: None,
        sent: (0, 0),
        next_report: Instant::now(),
        wrong: 0,
        is_closing: false,
    };
    let mut received = BytesMut::with_capacity(2048);
    let mut heard = Instant::now();
    loop {
        while let Some(request) = next_request(&mut received)? {
            let answer = connection.answer(&request).await;
            let mut bytes = vec![];
            answer.write(&mut bytes)?;
            send(&mut stream, &bytes).await?;
            if connection.is_closing {
                return Ok(());
            }
        }
        let viewer = connection.playing.as_ref().map(|playing| playing.viewer.clone());
        let patience = connection.patience(heard, viewer.as_deref());
        tokio::select! {
            count = stream.read_buf(&mut received) => {
                ensure!(count? > 0, "it was closed");
                heard = Instant::now();
            }
            packets = next_packets(viewer.as_deref()) => {
                let Some(packets) = packets else {
                    return connection.say_goodbye(&mut stream).await;
                };
                connection.forward(&mut stream, &packets).await?;
            }
            () = sleep(patience) => {
                let has_spoken = viewer.and_then(|viewer| viewer.heard_last()).is_some_and(|at| at > heard);
                ensure!(has_spoken, "it has been silent for too long");
                heard = Instant::now();
            }
        }
    }
}

/// The next unit of one who watches; never one for others.
async fn next_packets(viewer: Option<&Viewer>) -> Option<Arc<Packets>> {
    match viewer {
        Some(viewer) => viewer.next().await,
        None => std::future::pending().await,
    }
}

/// The next request, if it is whole. What else is sent, RTCP, is taken and forgotten.
fn next_request(received: &mut BytesMut) -> Result<Option<Request<Vec<u8>>>> {
    loop {
        // Some send an empty line behind a body.
        while received.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            received.advance(1);
        }
        match Message::<Vec<u8>>::parse(&received[..]) {
            _ if received.is_empty() => return Ok(None),
            Ok((message, length)) => {
                received.advance(length);
                if let Message::Request(request) = message {
                    return Ok(Some(request));
                }
            }
            Err(ParseError::Incomplete(_)) => {
                ensure!(received.len() < LONGEST_REQUEST, "its request is too long");
                return Ok(None);
            }
            Err(ParseError::Error) => bail!("it does not speak RTSP"),
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<()> {
    let whole = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    Ok(timeout(STALLED, whole).await.context("it took nothing for 10 s")??)
}

impl Connection<'_> {
    /// How long it may be silent from now on.
    fn patience(&self, heard: Instant, viewer: Option<&Viewer>) -> Duration {
        let most = match (&self.playing, self.way) {
            (None, _) => IDLE,
            // A stream that is sent in the connection fails with it.
            (_, Some(Way::Interleaved(..))) => return Duration::from_secs(3600),
            _ => Duration::from_secs(SESSION_TIMEOUT * 3 / 2),
        };
        let heard = viewer.and_then(Viewer::heard_last).map_or(heard, |reported| reported.max(heard));
        (heard + most).saturating_duration_since(Instant::now())
    }

    /// Sends a unit, and a report where that is due.
    async fn forward<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, packets: &Packets) -> Result<()> {
        let Some(way) = self.way else { return Ok(()) };
        if Instant::now() >= self.next_report {
            self.next_report = Instant::now() + REPORTS;
            self.send_report(stream, packets.time, false).await?;
        }
        match way {
            Way::Interleaved(rtp, _) => send(stream, &packets.framed(rtp)).await?,
            Way::Udp(to, _) => {
                if let Some((socket, _)) = &self.shared.udp {
                    for packet in packets.each() {
                        socket.send_to(packet, to).await?;
                    }
                }
            }
        }
        let (count, bytes) = packets.size();
        self.sent = (self.sent.0.wrapping_add(count), self.sent.1.wrapping_add(bytes));
        self.shared.stage.counts.send_frame();
        Ok(())
    }

    async fn send_report<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        time: u32,
        is_last: bool,
    ) -> Result<()> {
        let report = report(self.shared.stage.ssrc, time, self.sent, is_last);
        match self.way {
            Some(Way::Interleaved(_, rtcp)) => {
                let mut framed = vec![b'$', rtcp];
                framed.extend((report.len() as u16).to_be_bytes());
                framed.extend(report);
                send(stream, &framed).await
            }
            Some(Way::Udp(_, to)) => {
                if let Some((_, socket)) = &self.shared.udp {
                    socket.send_to(&report, to).await?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The stream has ended: players stop, and need not wait for a time-out.
    async fn say_goodbye<S: AsyncWrite + Unpin>(&self, stream: &mut S) -> Result<()> {
        self.send_report(stream, 0, true).await?;
        Ok(stream.shutdown().await?)
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if self.playing.is_some() {
            tracing::info!(sink = %self.shared.name, peer = %self.peer, "a viewer left");
        }
    }
}
