//! One client: it gets the newest bundle whenever it has taken the last one, and is let go when it takes nothing.

use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv, sockopt};

use crate::igtl::{HEADER, Header, Name, capability, now};
use crate::sink::igtl::board::{Board, News};
use crate::sink::igtl::pack::DEVICE;

/// A client that takes no byte for so long is gone; with the looks in between that makes less than two seconds.
const GONE: Duration = Duration::from_millis(1300);
/// Time between looks at whether it goes on.
const POLL: Duration = Duration::from_millis(100);
/// Bytes that wait in this machine for a slow client, about: less is fresher.
const WAITING: usize = 256 << 10;
/// What a client may send between two bundles, in pieces of 4 KiB.
const MOST_PIECES: usize = 64;
/// What is sent and understood.
const KINDS: [&str; 4] = ["IMAGE", "STATUS", "CAPABILITY", "GET_CAPABIL"];

/// A client and what became of its bundles.
pub struct Client<'a> {
    stream: TcpStream,
    board: &'a Arc<Board>,
    asked: Asked,
    /// Bundles that it got.
    pub sent: u64,
    /// Bundles that it was too slow for.
    pub skipped: u64,
}

/// What a client sends: headers are read, bodies are skipped.
#[derive(Default)]
struct Asked {
    header: Vec<u8>,
    /// Bytes of a body that are still to come.
    skip: u64,
}

impl<'a> Client<'a> {
    /// One that just connected.
    pub fn new(stream: TcpStream, board: &'a Arc<Board>) -> Self {
        Self { stream, board, asked: Asked::default(), sent: 0, skipped: 0 }
    }

    /// Sends bundles until there are no more.
    ///
    /// # Errors
    /// Why the client is let go.
    pub fn serve(&mut self) -> io::Result<()> {
        prepare(&self.stream)?;
        let mut last = self.board.number();
        loop {
            if self.read()? {
                let mut answer = vec![];
                capability(&mut answer, Name::new(DEVICE), now(Duration::ZERO), &KINDS);
                self.send(&answer)?;
            }
            match self.board.next(last, POLL) {
                News::Bundle(number, bundle) => {
                    self.send(&bundle)?;
                    self.sent += 1;
                    self.skipped += number - last - 1;
                    last = number;
                }
                News::Idle => {}
                News::Ended => return Ok(()),
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut taken = Instant::now();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    taken = Instant::now();
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(e) => return Err(e),
            }
            if taken.elapsed() > GONE {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("it took nothing for {GONE:?}")));
            }
            if self.board.is_closed() {
                return Err(io::Error::other("the server was closed"));
            }
        }
        Ok(())
    }

    /// Takes in what the client has sent. Returns whether it asks what there is.
    fn read(&mut self) -> io::Result<bool> {
        let (mut is_asked, mut piece) = (false, [0; 4096]);
        for _ in 0..MOST_PIECES {
            match recv(&self.stream, &mut piece[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it left")),
                Ok((_, count)) => is_asked |= self.asked.take(&piece[..count])?,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(is_asked)
    }
}

impl Asked {
    /// Whether a request for capabilities ends in `bytes`.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut is_asked = false;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len() as u64) as usize;
            self.skip -= skipped as u64;
            bytes = &bytes[skipped..];
            let (header, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
            self.header.extend_from_slice(header);
            bytes = rest;
            if let Some(whole) = self.header.first_chunk() {
                let header = Header::read(whole).map_err(io::Error::other)?;
                self.header.clear();
                self.skip = header.body;
                is_asked |= header.kind.is("GET_CAPABIL");
            }
        }
        Ok(is_asked)
    }
}

/// Nothing may hold the thread, and a machine that vanished is found by the kernel.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(POLL))?;
    sockopt::set_socket_send_buffer_size(stream, WAITING)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(1))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
    sockopt::set_tcp_user_timeout(stream, GONE.as_millis() as u32)?;
    Ok(())
}
