//! The thread that owns the port and all viewers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use crossbeam_channel::Receiver;
use tokio::sync::{mpsc, oneshot};

use crate::sink::SinkStatus;
use crate::sink::encode::{Audience, Unit, Units};
use crate::sink::feed::Taken;
use crate::sink::preview::State;
use crate::sink::webrtc::room::Room;
use crate::sink::webrtc::viewer::Common;
use crate::sink::webrtc::whep::{Whep, Wish};

/// Units that may wait for the thread: half a second of video.
const UNITS: usize = 16;
/// Wishes that may wait.
const WISHES: usize = 16;

/// The thread, while the sink is open. Dropped, it ends.
pub struct Server {
    units: mpsc::Sender<Unit>,
    wishes: mpsc::Sender<Wish>,
    whep: Whep,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    ended: Receiver<()>,
}

/// The way of the encoder's units to the thread.
pub struct UnitLine(mpsc::Sender<Unit>);

impl Units for UnitLine {
    fn give(&self, unit: &Unit) -> Taken {
        match self.0.try_send(unit.clone()) {
            Ok(()) => Taken::Yes,
            Err(mpsc::error::TrySendError::Full(_)) => Taken::Busy,
            Err(mpsc::error::TrySendError::Closed(_)) => Taken::Failed,
        }
    }

    fn has_room(&self) -> bool {
        self.0.capacity() > 0
    }

    /// Viewers stay: they see that nothing comes.
    fn end(&self) {}
}

impl Server {
    /// Takes the port and starts the thread. Nobody is let in yet.
    ///
    /// # Errors
    /// When the port is taken, or no thread can be started.
    pub fn start(
        udp: SocketAddr,
        audience: Arc<Audience>,
        known: Receiver<(u64, State)>,
        whep: Whep,
        status: Arc<SinkStatus>,
    ) -> Result<Self> {
        let socket = bind(udp)?;
        socket.set_nonblocking(true)?;
        let crypto = Arc::new(str0m::crypto::from_feature_flags());
        let certificate =
            crypto.dtls_provider.generate_certificate().context("a certificate could not be made")?;
        let common = Common { address: socket.local_addr()?, crypto, certificate };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (units, units_in) = mpsc::channel(UNITS);
        let (wishes, wishes_in) = mpsc::channel(WISHES);
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = crossbeam_channel::bounded(0);
        let room = Room::new(socket, common, audience, status.viewers(), known, whep.begun);
        let run = move || {
            // Dropped at the end, however that comes.
            let _end = end;
            let last = Fall(status);
            if let Err(error) = runtime.block_on(room.run(units_in, wishes_in, stopped)) {
                last.0.fail(format!("{error:#}"));
            }
        };
        thread::Builder::new().name("webrtc".into()).spawn(run)?;
        Ok(Self { units, wishes, whep, stop: Some(stop), ended })
    }

    /// Where the encoder's units go.
    pub fn units(&self) -> UnitLine {
        UnitLine(self.units.clone())
    }

    /// Lets viewers in from now on.
    pub fn admit(&self) {
        self.whep.open(self.wishes.clone());
    }

    /// Says goodbye to all viewers and frees the port.
    pub fn stop(&mut self, deadline: Instant) {
        self.whep.close(&self.wishes);
        self.stop = None;
        // Nothing is ever sent: the end is that the channel closes.
        let _ = self.ended.recv_deadline(deadline);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.whep.close(&self.wishes);
    }
}

/// Takes the one port of all viewers.
///
/// # Errors
/// When it is taken, or the address is not this machine's.
pub fn bind(udp: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(udp).with_context(|| {
        format!(
            "udp = \"{udp}\" cannot be used. Stop the program that holds the port, or set another address of this \
             machine"
        )
    })
}

/// Says that the thread has crashed.
struct Fall(Arc<SinkStatus>);

impl Drop for Fall {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("its thread crashed".into());
        }
    }
}
