//! What the server and its connections share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::net::UdpSocket;

use crate::config::RtspServer;
use crate::sink::rtsp::access::Secret;
use crate::sink::rtsp::stage::Stage;

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
    /// The sink, for the log.
    pub name: String,
}
