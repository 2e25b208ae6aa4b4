//! What the server and its connections share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use crate::config::RtspServer;
use crate::lock::lock;
use crate::sink::rtsp::access::Secret;
use crate::sink::rtsp::stage::Stage;

/// Connections of one address, other than this machine's, that have no place yet.
const STRANGERS: usize = 16;
/// Refusals are told no more often.
const SELDOM: Duration = Duration::from_secs(10);

/// What all connections share.
pub struct Shared {
    /// The stream.
    pub stage: Arc<Stage>,
    /// Its address and its bounds.
    pub settings: RtspServer,
    /// What a viewer has to know.
    pub secret: Secret,
    /// Sends RTP and RTCP to viewers that want UDP; none with TLS.
    pub udp: Option<(UdpSocket, UdpSocket)>,
    /// Viewers with a place.
    pub places: AtomicUsize,
    /// Connections without a place, by address.
    pub strangers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// When a refusal was told last.
    pub told: Mutex<Option<Instant>>,
    /// The sink, for the log.
    pub name: String,
}

impl Shared {
    /// Counts one more connection without a place; none if its address has too many.
    pub fn stranger(&self, address: IpAddr) -> Option<Stranger> {
        let mut strangers = lock(&self.strangers);
        let count = strangers.entry(address).or_default();
        if *count >= STRANGERS && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Stranger { strangers: self.strangers.clone(), address })
    }

    /// Counts a viewer that is refused, and tells it, unless another was a moment ago.
    pub fn refuse(&self, peer: IpAddr, why: &str) {
        self.stage.counts.refuse();
        let mut told = lock(&self.told);
        if told.is_none_or(|at| at.elapsed() > SELDOM) {
            *told = Some(Instant::now());
            let refused = self.stage.counts.snapshot().refused;
            tracing::warn!(sink = %self.name, %peer, refused, "refused: {why}");
        }
    }
}

/// A connection without a place, until it has one or ends.
pub struct Stranger {
    strangers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut strangers = lock(&self.strangers);
        if let Some(count) = strangers.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&self.address);
            }
        }
    }
}
