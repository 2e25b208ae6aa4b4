//! `kind = "igtl"`: an OpenIGTLink server for 3D Slicer, PLUS and others.

use std::net::SocketAddr;

use serde::Deserialize;

/// Where clients find it, unless it is said: OpenIGTLink's port at IANA.
const LISTEN: &str = "127.0.0.1:18944";

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IgtlContent {
    /// The picture.
    Frame,
    /// The nerve as a label map.
    Mask,
    /// The overlay's state.
    Status,
}

/// An OpenIGTLink server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgtlSink {
    /// Address and port.
    pub listen: SocketAddr,
    /// What is sent of each frame.
    pub content: Vec<IgtlContent>,
}

impl IgtlSink {
    /// The sink as used. OpenIGTLink knows neither users nor encryption, so that other machines have to be let in.
    pub(super) fn resolve(
        listen: Option<&str>,
        allow_unprotected: bool,
        content: Option<&[IgtlContent]>,
        mut mistake: impl FnMut(&str, &str),
    ) -> Option<Self> {
        let Ok(listen) = listen.unwrap_or(LISTEN).parse::<SocketAddr>() else {
            mistake("listen", "must be an address and a port like \"127.0.0.1:18944\"");
            return None;
        };
        if !listen.ip().is_loopback() && !allow_unprotected {
            mistake(
                "listen",
                "is not on loopback, and OpenIGTLink has neither log-in nor encryption: everybody on the network could \
                 watch patients. Use 127.0.0.1; on a network of its own for this, add allow_unprotected = true",
            );
        }
        let all = [IgtlContent::Frame, IgtlContent::Mask, IgtlContent::Status];
        let content = content.unwrap_or(&all);
        if content.is_empty() {
            mistake("content", "is empty: use some of \"frame\", \"mask\" and \"status\"");
        }
        Some(Self { listen, content: content.to_vec() })
    }
}
