//! OpenIGTLink: pictures from a server such as PLUS, over TCP. A thread reads what comes and hands on the newest picture;
//! it ends with the slot, and at the first failure, after which the connection is made anew.

mod clock;
mod picture;

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::net::{RecvFlags, recv};

use crate::config::IgtlSource;
use crate::frame::Frame;
use crate::igtl::{self, Header, IgtlError, ImageHeader, Incoming, Name};
use crate::source::failure::SourceError;
use crate::source::igtl::clock::Clock;
use crate::source::igtl::picture::Pictures;
use crate::source::slot::{FrameCounts, Slot, SlotSender, slot};
use crate::source::stamp::{Stamps, frame_time};

/// Longest wait for the server to take the connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Time between looks at whether anybody still takes frames.
const POLL: Duration = Duration::from_millis(100);
/// Senders whose messages are not used that are remembered by name.
const MOST_OTHERS: usize = 8;

/// Why a connection is over, and what to do about it.
struct Failure {
    message: String,
    remedy: &'static str,
}

impl Failure {
    fn new(message: impl Into<String>, remedy: &'static str) -> Self {
        Self { message: message.into(), remedy }
    }

    fn of(self, server: &IgtlSource) -> SourceError {
        SourceError::Failed { name: server.to_string(), message: self.message, remedy: self.remedy.into() }
    }
}

impl From<IgtlError> for Failure {
    fn from(error: IgtlError) -> Self {
        let remedy = "Check source.host and source.port, and that an OpenIGTLink server runs there";
        Self::new(error.to_string(), remedy)
    }
}

/// Connects to the server, and starts to take its pictures. `pads` those that are smaller than the crop.
///
/// # Errors
/// When nobody answers; failures of later come as the slot's end.
pub fn start(server: &IgtlSource, pads: bool, counts: &Arc<FrameCounts>) -> Result<Slot> {
    let stream = connect(server).map_err(|failure| failure.of(server))?;
    // A live source never waits.
    let (sender, slot) = slot(true, counts);
    let mut reader = Reader::new(server.clone(), stream, pads, sender);
    let run = move || {
        let end = reader.run().map_err(|failure| failure.of(&reader.server));
        reader.sender.end(end);
    };
    thread::Builder::new().name("igtl in".into()).spawn(run).context("cannot start the source's thread")?;
    Ok(slot)
}

fn connect(server: &IgtlSource) -> Result<TcpStream, Failure> {
    let remedy = "Check source.host and source.port, the network, and that the server runs";
    let addresses = (server.host.as_str(), server.port).to_socket_addrs();
    let addresses = addresses.map_err(|e| Failure::new(format!("its address is not known: {e}"), remedy))?;
    let mut said = "it has no address".to_owned();
    for address in addresses {
        let tried = TcpStream::connect_timeout(&address, CONNECT).and_then(|stream| {
            stream.set_read_timeout(Some(POLL))?;
            Ok(stream)
        });
        match tried {
            Ok(stream) => return Ok(stream),
            Err(e) => said = format!("{address} cannot be reached: {e}"),
        }
    }
    Err(Failure::new(said, remedy))
}

struct Reader {
    server: IgtlSource,
    stream: TcpStream,
    incoming: Incoming,
    sender: SlotSender,
    pictures: Pictures,
    clock: Clock,
    stamps: Stamps,
    /// Whose images are taken; none until somebody has sent one.
    device: Option<Name<20>>,
    /// Types and senders of messages that are not used.
    others: Vec<(Name<12>, Name<20>)>,
    /// When anything came last.
    heard: Instant,
    /// When an image came last.
    seen: Instant,
    /// Somebody was told that no image comes, or that one cannot be used.
    has_warned: bool,
}

impl Reader {
    fn new(server: IgtlSource, stream: TcpStream, pads: bool, sender: SlotSender) -> Self {
        let (device, now) = (server.device.as_deref().map(Name::new), Instant::now());
        Self {
            server,
            stream,
            incoming: Incoming::default(),
            sender,
            pictures: Pictures::new(pads),
            clock: Clock::default(),
            stamps: Stamps::new(true),
            device,
            others: vec![],
            heard: now,
            seen: now,
            has_warned: false,
        }
    }

    /// Hands frames on until nobody takes them any more.
    fn run(&mut self) -> Result<(), Failure> {
        while self.sender.is_open() {
            let is_over = self.receive()?;
            if let Some(frame) = self.newest()?
                && !self.sender.send(frame)
            {
                break;
            }
            if is_over {
                return Err(Failure::new("it closed the connection", "Check that the server runs"));
            }
            self.look_at_silence()?;
        }
        Ok(())
    }

    /// Takes in everything that has come, so that a frame that is handed on is not an old one. Returns whether the server
    /// sends no more.
    fn receive(&mut self) -> Result<bool, Failure> {
        let failed = |e: io::Error| Failure::new(format!("the connection broke: {e}"), "Check the network");
        let stream = &self.stream;
        let mut flags = RecvFlags::empty();
        while !self.incoming.is_full() {
            let read = self.incoming.fill(|room| Ok(recv(stream, room, flags).map(|(_, count)| count)?));
            match read {
                Ok(0) => return Ok(true),
                Ok(_) => self.heard = Instant::now(),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(failed(e)),
            }
            // The first waits, the others do not.
            flags = RecvFlags::DONTWAIT;
        }
        Ok(false)
    }

    /// The newest picture of those that have come whole.
    fn newest(&mut self) -> Result<Option<Frame>, Failure> {
        let mut newest: Option<(Header, Range<usize>)> = None;
        let mut passed_over = 0;
        while let Some((header, body)) = self.incoming.next()? {
            if !header.kind.is("IMAGE") || self.device.is_some_and(|device| device != header.device) {
                self.note(&header);
            } else if newest.replace((header, body)).is_some() {
                passed_over += 1;
            }
        }
        self.sender.pass_over(passed_over);
        let Some((header, body)) = newest else { return Ok(None) };
        let arrived = Instant::now();
        let (image, pixels) = ImageHeader::read(igtl::content(&header, self.incoming.body(body))?)?;
        let made = self.pictures.make(&image, pixels);
        if self.device.is_none() && made.is_err() {
            // Another of the server's devices may send what can be used.
            self.note(&header);
            if let Err(why) = made
                && !std::mem::replace(&mut self.has_warned, true)
            {
                tracing::warn!(source = %self.server, device = %header.device, "an image cannot be used: {why}");
            }
            return Ok(None);
        }
        let remedy = "Send 8-bit brightness images, or name another of the server's devices in source.device";
        let (mut buffer, info) = made.map_err(|why| {
            Failure::new(format!("the image of {} cannot be used: {why}", header.device), remedy)
        })?;
        if self.device.is_none() {
            tracing::info!(source = %self.server, device = %header.device, "its images are taken");
            self.device = Some(header.device);
        }
        (self.seen, self.has_warned) = (arrived, false);
        let own = header.time().map(|sent| self.clock.place(sent, arrived));
        let writable = buffer.make_mut();
        writable.set_pts(self.stamps.next(own, arrived, None));
        writable.set_duration(frame_time(None));
        Ok(Some(Frame { buffer, info, arrived, truth: None, spacing: image.spacing() }))
    }

    fn note(&mut self, header: &Header) {
        let sender = (header.kind, header.device);
        if self.others.len() < MOST_OTHERS && !self.others.contains(&sender) {
            self.others.push(sender);
        }
    }

    /// Ends the wait for a server that has fallen silent, and says what comes instead of images.
    fn look_at_silence(&mut self) -> Result<(), Failure> {
        let silence = self.server.silence;
        if self.heard.elapsed() > silence {
            let remedy = "Check the network and the server. If its device sends nothing at times, raise source.silence_s";
            return Err(Failure::new(format!("it has sent nothing for {silence:?}"), remedy));
        }
        if self.seen.elapsed() > silence && !std::mem::replace(&mut self.has_warned, true) {
            let others: Vec<_> =
                self.others.iter().map(|(kind, device)| format!("{kind} of {device}")).collect();
            tracing::warn!(source = %self.server, sends = others.join(", "), "it sends no images that are taken");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
