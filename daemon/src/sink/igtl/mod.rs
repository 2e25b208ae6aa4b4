//! OpenIGTLink: a server for 3D Slicer, PLUS and others. Of each frame it sends the picture's luma, the nerve as a label
//! map of the same geometry, and the overlay's state.
//!
//! The frame thread hands a frame over without waiting; `pack` makes one bundle of messages of it, once for all clients;
//! each client takes the newest bundle whenever it has taken all of the last one.

mod board;
mod client;
mod pack;
mod server;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use gst_video::VideoInfo;

use crate::config::IgtlSink;
use crate::sink::feed::Taken;
use crate::sink::igtl::board::Board;
use crate::sink::igtl::pack::{Job, Packer};
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus};

/// Frames on their way: one that waits, one that is packed.
const JOBS: usize = 2;
/// Time between looks at whether everything has ended.
const POLL: Duration = Duration::from_millis(5);

/// The server.
pub struct Igtl {
    status: Arc<SinkStatus>,
    live: bool,
    board: Arc<Board>,
    /// None once no frame follows.
    jobs: Option<Sender<Box<Job>>>,
    spares: Receiver<Box<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Takes the server's address.
fn bind(server: &IgtlSink) -> Result<TcpListener> {
    let address = server.listen;
    let remedy = "Another program, or another sink, may hold the port; choose another in the sink's `listen`";
    TcpListener::bind(address)
        .with_context(|| format!("sink igtl {address}: it cannot be listened on. {remedy}"))
}

/// Whether the server's address can be had; gives it back at once.
///
/// # Errors
/// When it cannot.
pub fn check(server: &IgtlSink) -> Result<String> {
    bind(server).map(|_| format!("igtl {}", server.listen))
}

impl Igtl {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn open(name: String, server: &IgtlSink, context: &SinkContext) -> Result<Self, SinkError> {
        let listener = bind(server).map_err(SinkError::Unavailable)?;
        if !server.listen.ip().is_loopback() {
            tracing::warn!(
                sink = name,
                "OpenIGTLink has neither log-in nor encryption: everybody who reaches this address can watch"
            );
        }
        let (status, board) = (Arc::new(SinkStatus::new(name.clone())), Arc::new(Board::default()));
        let (jobs, waiting) = bounded::<Box<Job>>(JOBS);
        let (used, spares) = bounded(JOBS);
        for _ in 0..JOBS {
            // There is room for all.
            let _ = used.send(Box::default());
        }
        let mut packer = Packer::new(server);
        let (board_of_packer, failing) = (board.clone(), status.clone());
        let pack = move || {
            for mut job in waiting {
                let packed = packer.pack(&mut job, &board_of_packer);
                let _ = used.send(job);
                if let Err(error) = packed {
                    failing.fail(format!("{error:#}"));
                    break;
                }
            }
            board_of_packer.end();
        };
        let board_of_server = board.clone();
        let listen = move || server::listen(&name, &listener, &board_of_server);
        let no_thread =
            |e: std::io::Error| SinkError::Unavailable(anyhow::Error::new(e).context("igtl: no thread"));
        let packing = thread::Builder::new().name("igtl pack".into()).spawn(pack).map_err(no_thread)?;
        let listening = thread::Builder::new().name("igtl listen".into()).spawn(listen);
        let listening = listening.map_err(no_thread)?;
        let threads = vec![packing, listening];
        Ok(Self { status, live: context.live, board, jobs: Some(jobs), spares, threads })
    }
}

impl Sink for Igtl {
    fn push(&mut self, shown: Shown<'_>) {
        // Without clients a frame costs nothing.
        let (Some(jobs), true) = (&self.jobs, self.board.clients() > 0) else { return };
        let spare = match self.live {
            true => self.spares.try_recv(),
            // Packing takes milliseconds, whatever clients do.
            false => self.spares.recv().map_err(|_| TryRecvError::Disconnected),
        };
        let taken = match spare {
            Ok(mut job) => {
                job.fill(shown);
                // There are no more jobs than there is room for.
                if jobs.try_send(job).is_ok() { Taken::Yes } else { Taken::Failed }
            }
            Err(TryRecvError::Empty) => Taken::Busy,
            Err(TryRecvError::Disconnected) => Taken::Failed,
        };
        self.status.count(taken);
    }

    fn follow(&mut self, _: &Arc<VideoInfo>) -> bool {
        true
    }

    fn end(&mut self) {
        self.jobs = None;
    }

    fn finish(&mut self, deadline: Instant) {
        self.end();
        while !self.board.is_over() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

impl Drop for Igtl {
    fn drop(&mut self) {
        self.end();
        self.board.close();
        for thread in self.threads.drain(..) {
            // The address is free again when its thread is gone.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
