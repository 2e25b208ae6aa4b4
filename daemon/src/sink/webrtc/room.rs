//! What the thread does: packets to and from viewers, wishes, and pictures.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crossbeam_channel::Receiver;
use nervelight_engines::digest::hex;
use str0m::Input;
use str0m::net::{Protocol, Receive};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use crate::sink::encode::{Audience, Unit};
use crate::sink::preview::State;
use crate::sink::status::ViewerCounts;
use crate::sink::webrtc::viewer::{Common, Picture, Viewer, Wants};
use crate::sink::webrtc::whep::{Joined, Refusal, Wish};

/// Most viewers at once.
const MOST_VIEWERS: usize = 40;
/// Pictures of which a message says what is true: of so many messages in a row, all but one may be lost.
const TOLD: usize = 4;
/// Viewers that have lost something make IDRs no closer than that, all together.
const KEYS_APART: Duration = Duration::from_millis(250);
/// Packets taken in a row, before pictures have their turn.
const IN_A_ROW: usize = 64;
/// A datagram is no longer than an Ethernet frame, or it is none of a browser.
const DATAGRAM: usize = 2000;

/// The port and its viewers.
pub struct Room {
    socket: UdpSocket,
    common: Common,
    viewers: Vec<Viewer>,
    audience: Arc<Audience>,
    counts: Arc<ViewerCounts>,
    known: Receiver<(u64, State)>,
    /// What was true of the last pictures, and that as a message.
    told: VecDeque<serde_json::Value>,
    states: String,
    begun: Instant,
    /// When an IDR was asked for last.
    asked: Option<Instant>,
    /// Packets that the system did not take.
    lost: u64,
}

impl Room {
    /// A room without viewers. `known` says what is true of the frames that are encoded.
    pub fn new(
        socket: UdpSocket,
        common: Common,
        audience: Arc<Audience>,
        counts: Arc<ViewerCounts>,
        known: Receiver<(u64, State)>,
        begun: Instant,
    ) -> Self {
        let (viewers, told) = (vec![], VecDeque::with_capacity(TOLD));
        let (states, asked, lost) = (String::new(), None, 0);
        Self { socket, common, viewers, audience, counts, known, told, states, begun, asked, lost }
    }

    /// Serves viewers until `stop` ends.
    ///
    /// # Errors
    /// When the port cannot be used any more.
    pub async fn run(
        mut self,
        mut units: mpsc::Receiver<Unit>,
        mut wishes: mpsc::Receiver<Wish>,
        mut stop: oneshot::Receiver<()>,
    ) -> Result<()> {
        // The runtime waits on a second handle: what is sent goes by the first, which does not wait.
        let heard = tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?;
        loop {
            let due = self.viewers.iter().map(|viewer| viewer.due).min();
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(unit) = units.recv() => self.show(&unit),
                Some(wish) = wishes.recv() => self.grant(wish),
                readable = heard.readable() => {
                    readable.context("the port")?;
                    self.listen(&heard)?;
                }
                () = sleep_until(due.into()) => {}
            }
            self.look();
        }
        let Self { viewers, socket, .. } = &mut self;
        for viewer in viewers {
            viewer.close(|to, packet| drop(socket.send_to(packet, to)));
        }
        tracing::debug!(packets = self.lost, "lost on the way out");
        Ok(())
    }

    /// Sends a unit to all who watch.
    fn show(&mut self, unit: &Unit) {
        let Ok(map) = unit.buffer.map_readable() else { return };
        let picture = Picture {
            data: map.as_slice().into(),
            rtp_time: unit.at.saturating_mul(9) / 100_000,
            is_key: unit.is_key,
        };
        self.note(unit.at, picture.rtp_time);
        let now = Instant::now();
        for place in 0..self.viewers.len() {
            match self.viewers[place].show(&picture, &self.states, now) {
                true => self.counts.send_frame(),
                false => self.counts.drop_frames(1),
            }
            self.flush(place);
        }
    }

    /// Writes down what is true of the picture of the time `at`; states of those before it that never came are forgotten.
    fn note(&mut self, at: u64, rtp_time: u64) {
        let Some((_, state)) = self.known.try_iter().find(|(of, _)| *of >= at).filter(|(of, _)| *of == at)
        else {
            return;
        };
        let mut state = state.describe(self.begun);
        // As it stands in the packets.
        state["rtp"] = (rtp_time as u32).into();
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back(state);
        self.states = serde_json::Value::from_iter(self.told.iter().cloned()).to_string();
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Join { offer, answer } => {
                let joined = self.join(&offer);
                let place = self.viewers.len().saturating_sub(1);
                let is_in = joined.is_ok();
                if is_in {
                    self.counts.join()
                } else {
                    self.counts.refuse()
                }
                if answer.send(joined).is_err() && is_in {
                    // Who asked has gone.
                    self.viewers.pop();
                    self.counts.leave(0);
                } else if is_in {
                    self.flush(place);
                }
            }
            Wish::Leave { viewer, answer } => {
                let place = self.viewers.iter().position(|v| v.name == viewer);
                if let Some(place) = place {
                    let Self { viewers, socket, .. } = self;
                    viewers[place].close(|to, packet| drop(socket.send_to(packet, to)));
                }
                let _ = answer.send(place.is_some());
            }
        }
        self.count();
    }

    fn join(&mut self, offer: &str) -> Result<Joined, Refusal> {
        if self.viewers.len() >= MOST_VIEWERS {
            return Err(Refusal::Full(MOST_VIEWERS));
        }
        let name = name()?;
        // Whoever writes an offer that no one thought of must not end everybody's picture.
        let taken =
            catch_unwind(AssertUnwindSafe(|| Viewer::new(name.clone(), offer, &self.common, Instant::now())));
        let (mut viewer, answer) = taken.unwrap_or(Err(Refusal::Offer("it makes no sense".into())))?;
        let gone = viewer.presence();
        self.viewers.push(viewer);
        Ok(Joined { viewer: name, answer, gone })
    }

    /// Takes the packets that have come.
    fn listen(&mut self, heard: &tokio::net::UdpSocket) -> Result<()> {
        let mut bytes = [0; DATAGRAM];
        for _ in 0..IN_A_ROW {
            let (length, source) = match heard.try_recv_from(&mut bytes) {
                Ok(packet) => packet,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Of a packet that was sent before.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error).context("the port"),
            };
            let (now, destination) = (Instant::now(), self.common.address);
            // What is no packet of WebRTC is nobody's.
            let Ok(contents) = bytes[..length].try_into() else { continue };
            let packet = Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents });
            if let Some(place) = self.viewers.iter().position(|viewer| viewer.accepts(&packet)) {
                self.viewers[place].hear(packet, now);
                self.flush(place);
            }
        }
        Ok(())
    }

    /// Looks after those for whom it is time, and lets go who has gone.
    fn look(&mut self) {
        let now = Instant::now();
        for place in 0..self.viewers.len() {
            if self.viewers[place].due <= now {
                self.viewers[place].look(now);
                self.flush(place);
            }
        }
        let before = self.viewers.len();
        self.viewers.retain(|viewer| !viewer.is_over());
        if self.viewers.len() < before {
            (self.viewers.len()..before).for_each(|_| self.counts.leave(0));
            self.count();
        }
    }

    fn count(&self) {
        let viewers = self.viewers.iter().filter(|viewer| !viewer.is_over()).count();
        self.audience.set_viewers(viewers);
    }

    fn flush(&mut self, place: usize) {
        let Self { viewers, socket, lost, states, .. } = self;
        let send = |to: SocketAddr, packet: &[u8]| {
            // A full buffer loses packets as a network does: viewers ask for them again.
            if socket.send_to(packet, to).is_err() {
                *lost += 1;
            }
        };
        let wants = viewers[place].flush(send, states);
        let now = Instant::now();
        let is_due = match wants {
            None => false,
            Some(Wants::First) => true,
            Some(Wants::Key) => self.asked.is_none_or(|asked| now.duration_since(asked) >= KEYS_APART),
        };
        if is_due {
            self.asked = Some(now);
            self.audience.request_key();
        }
    }
}

/// The name of a viewer: 128 random bits.
fn name() -> Result<String, Refusal> {
    let mut bits = [0u8; 16];
    let read = rustix::rand::getrandom(&mut bits, rustix::rand::GetRandomFlags::empty());
    match read {
        Ok(n) if n == bits.len() => Ok(hex(&bits)),
        _ => Err(Refusal::Closed),
    }
}
