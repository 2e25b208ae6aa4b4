//! Connections: so many at most, each for as long as it is of use.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::guard::{Guard, guard};
use crate::watched::{LastUse, Watched};

/// Most connections at once; a browser opens six.
const MOST: usize = 64;
/// A request's head comes within it; a connection without a request is closed after it.
const HEAD: Duration = Duration::from_secs(10);
/// A reader that takes nothing for so long has gone.
const STALL: Duration = Duration::from_secs(5);
/// A connection that was of use within it makes no room for another.
const RECENT: Duration = Duration::from_secs(1);

struct Connection {
    task: JoinHandle<()>,
    last_use: LastUse,
}

/// Serves `router` behind `guard` on the tokio runtime it is called on, until that ends.
///
/// Where connections run out, the one that was idle longest makes room.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(listener: TcpListener, allowed: Guard, router: Router) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = router.layer(from_fn_with_state(allowed, guard));
    let most = most();
    let mut connections: Vec<Connection> = vec![];
    loop {
        let accepted = listener.accept().await;
        connections.retain(|connection| !connection.task.is_finished());
        match accepted {
            Ok((stream, _)) => {
                if connections.len() < most || close_idle(&mut connections) {
                    connections.push(open(stream, router.clone()));
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

fn open(stream: TcpStream, router: Router) -> Connection {
    // Pictures must not wait for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    let (stream, last_use) = Watched::new(stream, STALL);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let task = tokio::spawn(async move {
        // A browser that goes away is no news.
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection closed");
        }
    });
    Connection { task, last_use }
}
