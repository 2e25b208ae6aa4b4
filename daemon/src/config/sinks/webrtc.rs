//! `kind = "webrtc"`: the live picture for browsers, by WebRTC.

use std::net::SocketAddr;

use crate::config::http::RawHttp;
use crate::config::mistakes::Mistakes;
use crate::config::sinks::Sink;

/// Where browsers send and receive packets, unless the file says otherwise.
const PORT: u16 = 8322;

/// The sink as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Webrtc {
    /// The one UDP address of all viewers. Browsers are told it.
    pub udp: SocketAddr,
}

/// The table as used; none when it has a mistake. Viewers come in by the page.
pub fn resolve(udp: Option<&str>, http: &RawHttp, mistake: &mut impl FnMut(&str, &str)) -> Option<Webrtc> {
    if !http.enabled {
        mistake("kind", "\"webrtc\" needs the page: set http.enabled = true");
        return None;
    }
    let udp = match udp {
        Some(udp) => {
            let Ok(udp) = udp.parse::<SocketAddr>() else {
                mistake("udp", "must be an address and a port like \"127.0.0.1:8322\"");
                return None;
            };
            udp
        }
        // The page's section says itself what is wrong with it.
        None => SocketAddr::new(http.listen.parse::<SocketAddr>().ok()?.ip(), PORT),
    };
    if udp.ip().is_unspecified() {
        mistake(
            "udp",
            "must be the address at which browsers reach this machine, such as \"10.0.0.7:8322\": they are told it, \
             and \"any\" is none",
        );
        return None;
    }
    Some(Webrtc { udp })
}

/// The page has one picture: two of these would take each other's viewers.
pub fn refuse_second(sinks: &[Option<Sink>], mistakes: &mut Mistakes) {
    let tables = sinks.iter().enumerate().filter(|(_, sink)| matches!(sink, Some(Sink::Webrtc(_))));
    for (i, _) in tables.skip(1) {
        mistakes.add(
            format!("sinks[{i}].kind"),
            "is \"webrtc\" a second time; one serves all browsers. Remove it",
        );
    }
}
