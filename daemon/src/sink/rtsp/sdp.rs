//! What viewers are told about the stream (RFC 8866, RFC 6184).

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::sink::rtsp::packets::{CLOCK, PAYLOAD_TYPE, Parameters};

/// The description; without `known` decoders wait for the parameters before the first IDR.
pub fn describe(known: Option<&Parameters>, id: u32, local: IpAddr) -> String {
    let (network, any) = if local.is_ipv4() { ("IP4", "0.0.0.0") } else { ("IP6", "::") };
    let mut text = format!(
        "v=0\r\no=- {id} 1 IN {network} {local}\r\ns=Nervelight\r\nc=IN {network} {any}\r\nt=0 0\r\na=control:*\r\n\
         a=range:npt=now-\r\nm=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK}\r\n\
         a=fmtp:{PAYLOAD_TYPE} packetization-mode=1"
    );
    if let Some(Parameters { sps, pps }) = known
        && let [_, profile, constraints, level, ..] = sps[..]
    {
        let (sps, pps) = (BASE64_STANDARD.encode(sps), BASE64_STANDARD.encode(pps));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            ";profile-level-id={profile:02X}{constraints:02X}{level:02X};sprop-parameter-sets={sps},{pps}"
        );
    }
    text.push_str("\r\na=control:stream=0\r\n");
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_description_says_what_the_parameters_do() {
        let local = "127.0.0.1".parse().unwrap();
        let bare = describe(None, 7, local);
        assert!(bare.contains("a=fmtp:96 packetization-mode=1\r\na=control:stream=0\r\n"), "{bare}");
        let known = Parameters {
            sps: Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f, 1]),
            pps: Bytes::from_static(&[0x68, 2]),
        };
        let text = describe(Some(&known), 7, local);
        assert!(
            text.contains("mode=1;profile-level-id=42C01F;sprop-parameter-sets=Z0LAHwE=,aAI=\r\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.as_bytes()[1] == b'='), "{text}");
    }
}
