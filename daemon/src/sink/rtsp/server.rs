//! The server's thread: it accepts viewers, up to a number, and serves each on its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config::RtspServer;
use crate::sink::rtsp::access::Secret;
use crate::sink::rtsp::session;
use crate::sink::rtsp::shared::{Shared, Stranger};
use crate::sink::rtsp::stage::Stage;
use crate::tls::Identity;

/// Connections beyond the viewers: those that are refused, and those that only ask.
const SPARE: usize = 16;
/// What the kernel may hold back for a viewer. More would be old when it comes.
const SEND_BUFFER: u32 = 256 * 1024;
const TLS_PATIENCE: Duration = Duration::from_secs(5);
/// Tries to get two neighbouring ports.
const PORT_TRIES: usize = 64;

/// A server that runs. Dropped, it stops.
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes the port, and serves on a thread of its own.
    ///
    /// # Errors
    /// When files or ports cannot be used.
    pub fn start(name: String, settings: &RtspServer, stage: Arc<Stage>) -> Result<Self> {
        let secret = Secret::read(&settings.access)?;
        let identity = settings.tls.as_ref().map(Identity::read).transpose()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (listener, udp) = runtime.block_on(async {
            let listener = listen(settings.listen).with_context(|| taken(settings.listen))?;
            let udp = match identity {
                // Nothing leaves unencrypted then.
                Some(_) => None,
                None => Some(two_ports(settings.listen.ip()).await?),
            };
            anyhow::Ok((listener, udp))
        })?;
        let shared = Arc::new(Shared {
            stage,
            settings: settings.clone(),
            secret,
            udp,
            places: AtomicUsize::new(0),
            strangers: Arc::default(),
            told: Mutex::default(),
            name,
        });
        let (stop, stopped) = watch::channel(false);
        let run = move || serve(&runtime, listener, identity, &shared, stopped);
        let thread = thread::Builder::new().name("rtsp".into()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops; waits until `deadline` for that.
    pub fn stop(&mut self, deadline: Instant) {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            // It has said why if it crashed.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Instant::now() + Duration::from_secs(1));
    }
}

/// Whether the address can be had; gives it back at once.
///
/// # Errors
/// When it cannot.
pub fn try_address(address: SocketAddr) -> Result<()> {
    std::net::TcpListener::bind(address).map(drop).with_context(|| taken(address))
}

fn taken(address: SocketAddr) -> String {
    format!(
        "listen = \"{address}\" cannot be used. Stop the program that holds the port, or set another address"
    )
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(64)
}

/// An even port for RTP and the next for RTCP, as RFC 3550 (11) asks.
async fn two_ports(ip: IpAddr) -> Result<(UdpSocket, UdpSocket)> {
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((ip, 0)).await.context("no UDP port is free")?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
        {
            return Ok((rtp, rtcp));
        }
    }
    anyhow::bail!("no two neighbouring UDP ports are free")
}

fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    identity: Option<Identity>,
    shared: &Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        let reports = shared.clone();
        tokio::spawn(async move { hear_reports(&reports).await });
        let connections = Arc::new(AtomicUsize::new(0));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.changed() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely there are too many open files; others may be closed meanwhile.
                    tracing::warn!(sink = %shared.name, %error, "a viewer cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            if connections.load(SeqCst) >= shared.settings.max_viewers + SPARE {
                shared.refuse(peer.ip(), "too many connections");
                continue;
            }
            let Some(stranger) = shared.stranger(peer.ip()) else {
                shared.refuse(peer.ip(), "too many connections from its address that do not watch");
                continue;
            };
            connections.fetch_add(1, SeqCst);
            let acceptor = identity.as_ref().map(Identity::acceptor);
            let (shared, connections) = (shared.clone(), connections.clone());
            tokio::spawn(async move {
                if let Err(why) = connected(stream, peer, stranger, acceptor, &shared).await {
                    tracing::debug!(sink = %shared.name, %peer, %why, "a connection ended");
                }
                connections.fetch_sub(1, SeqCst);
            });
        }
    });
}

async fn connected(
    stream: TcpStream,
    peer: SocketAddr,
    stranger: Stranger,
    acceptor: Option<TlsAcceptor>,
    shared: &Shared,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    match acceptor {
        Some(acceptor) => {
            let stream = timeout(TLS_PATIENCE, acceptor.accept(stream)).await.context("no TLS in time")??;
            session::serve(stream, peer, local, stranger, shared).await
        }
        None => session::serve(stream, peer, local, stranger, shared).await,
    }
}

/// Viewers by UDP say by RTCP that they are still there; what it says is not needed.
async fn hear_reports(shared: &Shared) {
    let Some((_, rtcp)) = &shared.udp else { return };
    let mut report = [0; 1500];
    loop {
        match rtcp.recv_from(&mut report).await {
            Ok((_, from)) => shared.stage.heard(from),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
