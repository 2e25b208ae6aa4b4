//! Connections: so many at most, each for as long as it is of use.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::guard::{Guard, guard, without_tls};
use crate::watched::{LastUse, Watched};

/// Most connections at once; a browser opens six.
const MOST: usize = 64;
/// A request's head comes within it; a connection without a request is closed after it.
const HEAD: Duration = Duration::from_secs(10);
/// The first byte of what begins with TLS.
const TLS: u8 = 0x16;
/// That byte comes, and TLS is agreed upon, within it.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A reader that takes nothing for so long has gone.
const STALL: Duration = Duration::from_secs(5);
/// What is still being sent when a connection ends is taken for so long.
const DRAIN: Duration = Duration::from_secs(2);
/// A connection that was of use within it makes no room for another.
const RECENT: Duration = Duration::from_secs(1);

/// So long a connection of somebody unknown is kept when others want its place, whatever comes over it: enough to agree on
/// TLS and to say who one is.
const STRANGERS: Duration = Duration::from_millis(700);

/// Who is at the other end of a connection. Every request has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Whether it is known who is at the other end of a connection. Every request has it as an extension; where connections
/// run out, those of strangers make room first.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<AtomicBool>);

impl Known {
    /// It is known from now on.
    pub fn remember(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Gives what speaks TLS for the next connection: certificates are renewed while a program runs.
pub type Acceptor = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

struct Connection {
    task: JoinHandle<()>,
    /// Its address, of IPv6 the /64 network, which is one place's.
    network: IpAddr,
    opened: Instant,
    known: Known,
    last_use: LastUse,
}

/// Serves `router` behind `guard` on the tokio runtime it is called on, until that ends; with TLS if there is an
/// `acceptor`.
///
/// Where connections run out, the one that was idle longest makes room, then the oldest of a stranger.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    allowed: Guard,
    acceptor: Option<Acceptor>,
    router: Router,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = router.layer(from_fn_with_state(allowed, guard));
    let most = most();
    let mut connections: Vec<Connection> = vec![];
    loop {
        let accepted = listener.accept().await;
        connections.retain(|connection| !connection.task.is_finished());
        match accepted {
            Ok((stream, peer)) => {
                let has_room = connections.len() < most
                    || close_idle(&mut connections)
                    || close_stranger(&mut connections)
                    || close_greedy(&mut connections, network(peer.ip()), most / 2);
                if has_room {
                    let acceptor = acceptor.as_ref().map(|acceptor| acceptor());
                    connections.push(open(stream, Peer(peer), acceptor, router.clone()));
                }
            }
            // Mostly it is descriptors that are missing; the next try must not be at once.
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                close_idle(&mut connections);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Leaves most of the process's descriptors to everything else.
fn most() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (descriptors / 4).clamp(4, MOST as u64) as usize
}

/// Closes the connection that was idle longest; false when each was of use a moment ago.
fn close_idle(connections: &mut Vec<Connection>) -> bool {
    let oldest = (0..connections.len()).max_by_key(|&place| connections[place].last_use.idle());
    match oldest {
        Some(place) if connections[place].last_use.idle() > RECENT => {
            connections.swap_remove(place).task.abort();
            true
        }
        _ => false,
    }
}

/// Closes the oldest connection of somebody unknown, however busy it is; false when none has had its time.
fn close_stranger(connections: &mut Vec<Connection>) -> bool {
    let strangers = (0..connections.len()).filter(|&place| !connections[place].known.0.load(Relaxed));
    match strangers.min_by_key(|&place| connections[place].opened) {
        Some(place) if connections[place].opened.elapsed() > STRANGERS => {
            connections.swap_remove(place).task.abort();
            true
        }
        _ => false,
    }
}

/// What stands for everybody who may have an address: whoever has one of a 64-bit IPv6 network has all of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Closes a connection of a network that holds more than `share` of them, for one of another.
fn close_greedy(connections: &mut Vec<Connection>, newcomer: IpAddr, share: usize) -> bool {
    let held = |network| connections.iter().filter(|connection| connection.network == network).count();
    let place = connections
        .iter()
        .position(|connection| connection.network != newcomer && held(connection.network) > share);
    let Some(place) = place else { return false };
    connections.swap_remove(place).task.abort();
    true
}

fn open(stream: TcpStream, peer: Peer, acceptor: Option<TlsAcceptor>, router: Router) -> Connection {
    // Pictures must not wait for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    let (stream, last_use) = Watched::new(stream, STALL);
    let (opened, known) = (Instant::now(), Known::default());
    if acceptor.is_none() {
        // Only this machine, and a proxy that knows its own, come without TLS.
        known.remember();
    }
    let handle = known.clone();
    let task = tokio::spawn(async move {
        let Some(acceptor) = acceptor else { return talk(stream, peer, handle, router).await };
        match timeout(HANDSHAKE, stream.first()).await {
            Ok(Ok(TLS)) => {}
            Ok(Ok(_)) => return talk(stream, peer, handle, Router::new().fallback(without_tls)).await,
            _ => return tracing::trace!("nothing was said"),
        }
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => talk(stream, peer, handle, router).await,
            // Browsers that do not trust the certificate yet do this, and scanners.
            Ok(Err(error)) => tracing::trace!(%error, "no TLS"),
            Err(_) => tracing::trace!("no TLS in time"),
        }
    });
    Connection { task, network: network(peer.0.ip()), opened, known, last_use }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, known: Known, router: Router) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(known.clone());
        // A router is always ready.
        router.clone().call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match connection.without_shutdown().await {
        Ok(ended) => drain(ended.io.into_inner()).await,
        // A browser that goes away is no news.
        Err(error) => tracing::trace!(%error, "connection closed"),
    }
}

/// Takes what is still being sent, a piece of an upload that was refused: bytes that nobody reads would reset the connection,
/// and the answer with it.
async fn drain(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let taken = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Whoever goes on sending loses the answer, and nothing else.
    let _ = timeout(DRAIN, taken).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_ipv6_are_one_place() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_ne!(of("::ffff:10.0.0.1"), of("::ffff:10.0.0.2"));
    }

    #[test]
    fn busy_strangers_make_room_for_others() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = || {
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        };
        let open = || Connection {
            task: tokio::spawn(std::future::pending()),
            network: Ipv6Addr::LOCALHOST.into(),
            opened: Instant::now() - STRANGERS * 2,
            known: Known::default(),
            last_use: Watched::new(stream(), STALL).1,
        };
        runtime.block_on(async {
            let mut connections = vec![open(), open(), open()];
            connections[0].known.remember();
            connections[1].opened -= Duration::from_secs(1);
            let second = connections[1].task.abort_handle();
            assert!(close_stranger(&mut connections) && connections.len() == 2);
            tokio::task::yield_now().await;
            assert!(second.is_finished(), "the oldest goes first");
            assert!(close_stranger(&mut connections) && !close_stranger(&mut connections));
            assert_eq!(connections.len(), 1, "who is known stays");
            connections.push(Connection { opened: Instant::now(), ..open() });
            assert!(!close_stranger(&mut connections), "everybody has some time");
        });
    }
}
