//! The server's door: takes connections, a bounded number at once.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};

use crate::sink::igtl::board::Board;
use crate::sink::igtl::client::Client;

/// Clients at once.
const MOST_CLIENTS: usize = 16;
/// Time between looks at whether the server is closed.
const POLL: Duration = Duration::from_millis(100);
/// What a failure to take a connection, such as too many open files, gets to go away.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes connections until the server is closed.
pub fn listen(sink: &str, listener: &TcpListener, board: &Arc<Board>) {
    if let Err(error) = sockopt::set_socket_timeout(listener, Timeout::Recv, Some(POLL)) {
        tracing::error!(sink, %error, "the server cannot listen");
        return;
    }
    while !board.is_closed() {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(error) => {
                tracing::warn!(sink, %error, "a client could not be taken");
                thread::sleep(PAUSE);
                continue;
            }
        };
        if board.clients() >= MOST_CLIENTS {
            tracing::warn!(sink, %peer, most = MOST_CLIENTS, "there are too many clients; one is sent away");
            continue;
        }
        let (seat, board, name) = (board.seat(), board.clone(), sink.to_owned());
        let serve = move || {
            let _seat = seat;
            tracing::info!(sink = name, %peer, "client connected");
            let mut client = Client::new(stream, &board);
            let why = client.serve().err().map_or_else(|| "the server ended".into(), |e| e.to_string());
            let (sent, skipped) = (client.sent, client.skipped);
            tracing::info!(sink = name, %peer, sent, skipped, why, "client gone");
        };
        if let Err(error) = thread::Builder::new().name("igtl client".into()).spawn(serve) {
            tracing::warn!(sink, %error, "a client could not be taken");
        }
    }
}
