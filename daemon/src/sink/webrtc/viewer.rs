//! One viewer: its peer connection, and what it has been sent.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::Codec;
use str0m::media::{Media, MediaKind, MediaTime, Mid, Pt};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};
use tokio::sync::oneshot;

use crate::sink::webrtc::whep::Refusal;

/// The data channel on which a viewer wants to know what is true of each picture.
const STATE_CHANNEL: &str = "state";
/// Constrained baseline, and baseline, of which it is a part; level 3.1, which no decoder takes for a limit.
const PROFILES: [u32; 2] = [0x42_e0_1f, 0x42_00_1f];
/// Payload types of our own, for offers that leave the choice. Each has one more for what is sent again.
const PAYLOAD_TYPES: [u8; 2] = [96, 98];
/// States of more pictures than that are of no use; a data channel keeps what is not acknowledged.
const STATE_BYTES: usize = 16 * 1024;
/// A viewer from which nothing has come for so long has gone. Browsers speak twice a second.
const SILENCE: Duration = Duration::from_secs(6);
/// A viewer is connected within it.
const CONNECT: Duration = Duration::from_secs(10);

/// What all viewers of a port have in common.
pub struct Common {
    /// Where packets come and go.
    pub address: SocketAddr,
    pub crypto: Arc<CryptoProvider>,
    pub certificate: DtlsCert,
}

/// A unit on its way to all viewers.
pub struct Picture {
    /// The unit's bytes.
    pub data: Arc<[u8]>,
    /// Its time, 90,000 a second.
    pub rtp_time: u64,
    /// It needs no other.
    pub is_key: bool,
}

/// Who watches, or is about to.
pub struct Viewer {
    /// The name of its WHEP resource.
    pub name: String,
    rtc: Rtc,
    /// The media line of the video, and the payload type that was agreed on.
    video: (Mid, Pt),
    states: Option<ChannelId>,
    is_connected: bool,
    /// No picture makes sense before the next IDR.
    needs_key: bool,
    joined: Instant,
    heard: Instant,
    /// When it wants to be looked at again.
    pub due: Instant,
    is_over: bool,
    /// Goes with it.
    _present: oneshot::Sender<()>,
}

/// What a viewer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Its first picture.
    First,
    /// An IDR, for it has lost something.
    Key,
}

impl Viewer {
    /// Takes an offer; returns the viewer and the SDP that answers.
    ///
    /// # Errors
    /// When the offer cannot be read, or takes no video of ours.
    pub fn new(name: String, offer: &str, common: &Common, now: Instant) -> Result<(Self, String), Refusal> {
        let unusable = |error: &dyn std::fmt::Display| Refusal::Offer(error.to_string());
        // The parser says where in memory it gave up, which is nobody's business.
        let offer = SdpOffer::from_sdp_string(offer).map_err(|_| Refusal::Offer("it is no SDP".into()))?;
        let mut rtc = configuration(common).build(now);
        let candidate = Candidate::host(common.address, "udp").map_err(|error| unusable(&error))?;
        rtc.add_local_candidate(candidate);
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| unusable(&error))?;
        let answer = answer.to_sdp_string();
        let mut lines =
            answer.lines().filter_map(|line| line.trim_end().strip_prefix("a=mid:")).map(Mid::from);
        let video = lines.find_map(|line| Some((line, payload_type(&mut rtc, line)?)));
        let video = video.ok_or(Refusal::Codec)?;
        let viewer = Self {
            name,
            rtc,
            video,
            states: None,
            is_connected: false,
            needs_key: true,
            joined: now,
            heard: now,
            due: now,
            is_over: false,
            _present: oneshot::channel().0,
        };
        Ok((viewer, answer))
    }

    /// Ends when the viewer is gone.
    pub fn presence(&mut self) -> oneshot::Receiver<()> {
        let (present, gone) = oneshot::channel();
        self._present = present;
        gone
    }

    /// Whether a packet is for this viewer.
    pub fn accepts(&self, packet: &Input<'_>) -> bool {
        self.rtc.accepts(packet)
    }

    /// Takes a packet.
    pub fn hear(&mut self, packet: Input<'_>, now: Instant) {
        self.heard = now;
        self.handle(packet);
    }

    /// Time has passed.
    pub fn look(&mut self, now: Instant) {
        if now >= self.limit() {
            tracing::debug!(viewer = %self.name, connected = self.is_connected, "a viewer is silent");
            self.is_over = true;
        }
        self.handle(Input::Timeout(now));
    }

    /// When it has gone, if nothing comes from it.
    fn limit(&self) -> Instant {
        if self.is_connected { self.heard + SILENCE } else { self.joined + CONNECT }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.guarded(|rtc| rtc.handle_input(input));
    }

    /// What `act` does with the connection. Whoever sends a packet that no one thought of loses his own picture, and
    /// nobody else's.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Rtc) -> Result<T, RtcError>) -> Option<T> {
        if self.is_over {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| act(&mut self.rtc))) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => self.fail(&error),
            Err(_) => {
                tracing::warn!(viewer = %self.name, "a viewer sent what makes no sense, and is given up");
                self.is_over = true;
            }
        }
        None
    }

    fn fail(&mut self, error: &RtcError) {
        tracing::debug!(viewer = %self.name, %error, "a viewer is given up");
        self.is_over = true;
    }

    /// Sends a picture, if it makes sense to the viewer; what is true of it goes first. `states` is that and what was
    /// true of the pictures before: none is sent twice, and one may be lost. Returns whether it was sent; one that has not
    /// connected yet is sent none.
    pub fn show(&mut self, picture: &Picture, states: &str, now: Instant) -> bool {
        if !self.is_connected || (self.needs_key && !picture.is_key) {
            return false;
        }
        self.needs_key = false;
        self.tell(states);
        let Some(writer) = self.rtc.writer(self.video.0) else { return false };
        // As soon as it has come: no browser is to keep pictures back for smoothness.
        let writer = writer.playout_delay(MediaTime::ZERO, MediaTime::ZERO);
        let time = MediaTime::from_90khz(picture.rtp_time);
        let written = writer.write(self.video.1, now, time, picture.data.clone());
        if let Err(error) = &written {
            self.fail(error);
        }
        written.is_ok()
    }

    fn tell(&mut self, states: &str) {
        if let Some(mut channel) = self.states.and_then(|id| self.rtc.channel(id)) {
            // Without room the next picture's message says it again.
            let _ = channel.write(false, states.as_bytes());
        }
    }

    /// Sends what is to be sent; returns what the viewer asks for.
    pub fn flush(&mut self, mut send: impl FnMut(SocketAddr, &[u8]), states: &str) -> Option<Wants> {
        let mut wants = None;
        while !self.is_over {
            match self.guarded(Rtc::poll_output)? {
                Output::Transmit(packet) => send(packet.destination, &packet.contents),
                Output::Timeout(due) => {
                    self.due = due.min(self.limit());
                    break;
                }
                Output::Event(event) => match event {
                    Event::Connected => {
                        self.is_connected = true;
                        wants = Some(Wants::First);
                    }
                    Event::KeyframeRequest(_) => wants = wants.or(Some(Wants::Key)),
                    Event::ChannelOpen(id, label) if label == STATE_CHANNEL => {
                        self.states = Some(id);
                        self.tell(states);
                    }
                    Event::ChannelClose(id) if self.states == Some(id) => self.states = None,
                    Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                        self.is_over = true;
                    }
                    _ => {}
                },
            }
        }
        wants
    }

    /// Says goodbye.
    pub fn close(&mut self, send: impl FnMut(SocketAddr, &[u8])) {
        if self.rtc.close().is_ok() {
            self.is_over = false;
            self.flush(send, "");
        }
        self.is_over = true;
    }

    /// Whether it has gone.
    pub fn is_over(&self) -> bool {
        self.is_over || !self.rtc.is_alive()
    }
}

fn configuration(common: &Common) -> RtcConfig {
    let mut extensions = ExtensionMap::empty();
    extensions.set(2, Extension::AbsoluteSendTime);
    extensions.set(4, Extension::RtpMid);
    extensions.set(5, Extension::PlayoutDelay);
    let mut configuration = RtcConfig::new()
        .set_crypto_provider(common.crypto.clone())
        .set_dtls_cert(common.certificate.clone())
        .set_ice_lite(true)
        .set_sctp_max_buffered_amount(STATE_BYTES)
        .set_extension_map(extensions)
        .clear_codecs();
    for (profile, payload_type) in PROFILES.into_iter().zip(PAYLOAD_TYPES) {
        let again = Some(Pt::new_with_value(payload_type + 1));
        configuration.codec_config().add_h264(Pt::new_with_value(payload_type), again, true, profile);
    }
    configuration
}

/// What the viewer calls our video on a media line that takes it; the constrained profile where there is a choice.
fn payload_type(rtc: &mut Rtc, mid: Mid) -> Option<Pt> {
    let takes = |line: &Media| line.kind() == MediaKind::Video && line.direction().is_sending();
    rtc.media(mid).filter(|line| takes(line))?;
    let writer = rtc.writer(mid)?;
    let profile = |params: &str0m::format::PayloadParams| params.spec().format.profile_level_id;
    let h264 = writer.payload_params().filter(|params| params.spec().codec == Codec::H264);
    // The first of PROFILES is the larger number.
    h264.max_by_key(|params| profile(params)).map(|params| params.pt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Media lines of H.264, each with these profiles.
    fn offer(direction: &str, profiles: &[&str]) -> String {
        let types: Vec<_> = (102..102 + profiles.len()).collect();
        let mut text = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v\r\nm=video 9 UDP/TLS/RTP/SAVPF"
            .to_owned();
        types.iter().for_each(|n| text += &format!(" {n}"));
        text += "\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlZv\r\na=setup:actpass\r\n\
                 a=fingerprint:sha-256 75:74:5A:A6:A4:E5:52:F4:A7:67:4C:01:C7:EE:91:3F:21:3D:A2:E3:53:7B:6F:30:86:F2:30:AA:\
                 65:FB:04:24\r\na=mid:v\r\na=rtcp-mux\r\n";
        text += &format!("a={direction}\r\n");
        for (n, profile) in types.iter().zip(profiles) {
            text += &format!("a=rtpmap:{n} H264/90000\r\na=fmtp:{n} {profile}\r\n");
        }
        text
    }

    fn join(offer: &str) -> Result<Viewer, Refusal> {
        let crypto = Arc::new(str0m::crypto::from_feature_flags());
        let certificate = crypto.dtls_provider.generate_certificate().unwrap();
        let common = Common { address: "127.0.0.1:8322".parse().unwrap(), crypto, certificate };
        Viewer::new("a".into(), offer, &common, Instant::now()).map(|(viewer, _)| viewer)
    }

    #[test]
    fn an_offer_has_to_take_constrained_baseline_in_one_piece_or_more() {
        let mode = |mode: u8, profile: &str| {
            format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}")
        };
        let (baseline, constrained) = (mode(1, "42001f"), mode(1, "42e01f"));
        let chosen = |profiles: &[&str]| join(&offer("recvonly", profiles)).map(|viewer| *viewer.video.1);
        assert_eq!(
            chosen(&[&baseline, &constrained]).unwrap(),
            103,
            "the constrained one, wherever it stands"
        );
        assert_eq!(chosen(&[&baseline]).unwrap(), 102);
        assert_eq!(chosen(&[&mode(1, "42e034")]).unwrap(), 102, "whatever the level");
        for others in [vec![mode(0, "42e01f")], vec![mode(1, "64001f")], vec![]] {
            let others: Vec<_> = others.iter().map(String::as_str).collect();
            assert!(chosen(&others).is_err(), "{others:?}");
        }
        assert_eq!(join(&offer("sendonly", &[&constrained])).map(drop), Err(Refusal::Codec));
        assert!(matches!(join("v=0"), Err(Refusal::Offer(_))));
    }

    #[test]
    fn who_does_not_connect_has_gone_after_ten_seconds() {
        let mut viewer = join(&offer("recvonly", &["packetization-mode=1;profile-level-id=42e01f"])).unwrap();
        let joined = viewer.joined;
        viewer.look(joined + CONNECT - Duration::from_millis(1));
        assert!(!viewer.is_over());
        viewer.flush(|_, _| {}, "");
        assert!(viewer.due <= joined + CONNECT, "it is looked at in time");
        viewer.look(joined + CONNECT);
        assert!(viewer.is_over());
    }
}
