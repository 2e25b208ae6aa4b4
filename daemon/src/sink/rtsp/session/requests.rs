//! What a viewer may ask, and what it is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtsp_types::headers::{
    AUTHORIZATION, CONTENT_BASE, CONTENT_TYPE, CSEQ, PUBLIC, RANGE, RtpLowerTransport, RtpProfile,
    RtpTransport, SERVER, SESSION, Session, Transport, Transports, WWW_AUTHENTICATE,
};
use rtsp_types::{Method, Request, Response, ResponseBuilder, StatusCode, Version};
use tokio::time::{sleep, timeout};

use crate::sink::rtsp::sdp;
use crate::sink::rtsp::session::{Connection, Place, Playing, SESSION_TIMEOUT, Way};

/// What the encoder may take for the first IDR after it was idle.
const DESCRIPTION: Duration = Duration::from_secs(2);
/// A wrong password costs time.
const PENANCE: Duration = Duration::from_millis(500);
const TRACK: &str = "/stream=0";
const METHODS: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

impl Connection<'_> {
    /// What the server says to a request.
    pub(super) async fn answer(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let reply = self.reply(request).await;
        let mut response = reply.unwrap_or_else(|(status, reason)| {
            let builder = Response::builder(Version::V1_0, status).reason_phrase(reason);
            let builder = match status {
                StatusCode::Unauthorized => builder.header(WWW_AUTHENTICATE, "Basic realm=\"Nervelight\""),
                _ => builder,
            };
            builder.build(vec![])
        });
        if let Some(number) = request.header(&CSEQ) {
            response.insert_header(CSEQ, number.as_str());
        }
        response.insert_header(SERVER, "Nervelight");
        response
    }

    async fn reply(
        &mut self,
        request: &Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, (StatusCode, &'static str)> {
        let ok = || Response::builder(Version::V1_0, StatusCode::Ok);
        let method = request.method();
        if *method == Method::Options {
            return Ok(ok().header(PUBLIC, METHODS).build(vec![]));
        }
        self.authorize(request).await?;
        let path = request.request_uri().map_or("", |uri| uri.path().trim_end_matches('/'));
        let of_stream = path.strip_prefix(self.shared.settings.path.as_str());
        let is_here = of_stream.is_some_and(|rest| ["", TRACK].contains(&rest));
        match method {
            Method::Describe | Method::Setup if !is_here => Err((StatusCode::NotFound, "No Such Stream")),
            Method::Describe => self.describe(request, ok()).await,
            Method::Setup => self.set_up(request, ok()),
            Method::Play | Method::Pause | Method::Teardown => self.in_session(request, ok()),
            // Players ask for nothing to say that they are still there.
            Method::GetParameter | Method::SetParameter => Ok(self.with_session(ok()).build(vec![])),
            _ => Err((StatusCode::NotImplemented, "Not Implemented")),
        }
    }

    async fn authorize(&mut self, request: &Request<Vec<u8>>) -> Result<(), (StatusCode, &'static str)> {
        let sent = request.header(&AUTHORIZATION).map(|sent| sent.as_str());
        if self.shared.secret.admits(sent) {
            return Ok(());
        }
        if sent.is_some() {
            self.shared.stage.counts.refuse();
            tracing::warn!(sink = %self.shared.name, peer = %self.peer, "refused: wrong user, password or token");
            self.wrong += 1;
            self.is_closing = self.wrong > 2;
            sleep(PENANCE).await;
        }
        Err((StatusCode::Unauthorized, "Unauthorized"))
    }

    async fn describe(
        &self,
        request: &Request<Vec<u8>>,
        ok: ResponseBuilder,
    ) -> Result<Response<Vec<u8>>, (StatusCode, &'static str)> {
        let stage = &self.shared.stage;
        if stage.is_ended() {
            return Err((StatusCode::ServiceUnavailable, "The Stream Has Ended"));
        }
        let mut parameters = stage.parameters();
        let known = parameters.borrow_and_update().clone();
        let known = match known {
            Some(known) => Some(known),
            None => {
                let _want = stage.want();
                let made = timeout(DESCRIPTION, parameters.wait_for(Option::is_some)).await;
                // They stand before each IDR, too.
                made.ok().and_then(Result::ok).and_then(|made| made.clone())
            }
        };
        let base = request.request_uri().map_or_else(String::new, |uri| {
            let mut base = uri.clone();
            // Only the log-in of a viewer that put it there.
            let _ = base.set_username("");
            let _ = base.set_password(None);
            format!("{}/", base.as_str().trim_end_matches('/'))
        });
        let text = sdp::describe(known.as_ref(), stage.ssrc, self.local.ip());
        Ok(ok.header(CONTENT_TYPE, "application/sdp").header(CONTENT_BASE, base).build(text.into_bytes()))
    }

    fn set_up(
        &mut self,
        request: &Request<Vec<u8>>,
        ok: ResponseBuilder,
    ) -> Result<Response<Vec<u8>>, (StatusCode, &'static str)> {
        if self.playing.is_some() {
            return Err((StatusCode::MethodNotValidInThisState, "Method Not Valid In This State"));
        }
        let wanted = request.typed_header::<Transports>().ok().flatten();
        let wanted = wanted.ok_or((StatusCode::BadRequest, "Bad Transport"))?;
        let (transport, way) = wanted
            .iter()
            .find_map(|transport| self.agree(transport))
            .ok_or((StatusCode::UnsupportedTransport, "Unsupported Transport"))?;
        if self.place.is_none() {
            self.place = Place::take(self.shared);
        }
        if self.place.is_none() {
            self.shared.stage.counts.refuse();
            let most = self.shared.settings.max_viewers;
            tracing::warn!(sink = %self.shared.name, peer = %self.peer, max_viewers = most, "refused: too many viewers");
            return Err((StatusCode::NotEnoughBandwidth, "Too Many Viewers"));
        }
        self.way = Some(way);
        let answer = Transports::from(vec![Transport::Rtp(transport)]);
        Ok(self.with_session(ok).typed_header(&answer).build(vec![]))
    }

    /// The answer to a transport that this server can do.
    fn agree(&self, transport: &Transport) -> Option<(RtpTransport, Way)> {
        let Transport::Rtp(asked) = transport else { return None };
        if asked.profile != RtpProfile::Avp || asked.params.multicast {
            return None;
        }
        let mut agreed = asked.clone();
        agreed.params = Default::default();
        agreed.params.unicast = true;
        agreed.params.ssrc = vec![self.shared.stage.ssrc];
        if asked.lower_transport == Some(RtpLowerTransport::Tcp) {
            let (rtp, rtcp) = asked.params.interleaved.unwrap_or((0, None));
            let rtcp = rtcp.unwrap_or(rtp.wrapping_add(1));
            agreed.params.interleaved = Some((rtp, Some(rtcp)));
            return Some((agreed, Way::Interleaved(rtp, rtcp)));
        }
        let (rtp, rtcp) = self.shared.udp.as_ref()?;
        let (to, reports) = asked.params.client_port?;
        let reports = reports.unwrap_or(to.wrapping_add(1));
        let port = |socket: &tokio::net::UdpSocket| socket.local_addr().ok().map(|address| address.port());
        agreed.params.client_port = Some((to, Some(reports)));
        agreed.params.server_port = Some((port(rtp)?, port(rtcp)));
        // Nobody else is sent what this viewer asks for.
        let at = |port: u16| SocketAddr::new(self.peer.ip(), port);
        Some((agreed, Way::Udp(at(to), at(reports))))
    }

    fn in_session(
        &mut self,
        request: &Request<Vec<u8>>,
        ok: ResponseBuilder,
    ) -> Result<Response<Vec<u8>>, (StatusCode, &'static str)> {
        let session = request.typed_header::<Session>().ok().flatten();
        let (Some(way), true) = (self.way, session.is_some_and(|session| session.0 == self.id)) else {
            return Err((StatusCode::SessionNotFound, "Session Not Found"));
        };
        let ok = self.with_session(ok);
        let name = &self.shared.name;
        match request.method() {
            Method::Play => {
                if self.playing.is_none() {
                    let reports_from = match way {
                        Way::Interleaved(..) => None,
                        Way::Udp(_, reports) => Some(reports),
                    };
                    self.playing = Some(Playing::new(self.shared, reports_from));
                    self.next_report = Instant::now();
                    tracing::info!(sink = %name, peer = %self.peer, "a viewer came");
                }
                Ok(ok.header(RANGE, "npt=now-").build(vec![]))
            }
            Method::Pause => {
                self.playing = None;
                Ok(ok.build(vec![]))
            }
            _ => {
                self.is_closing = true;
                Ok(ok.build(vec![]))
            }
        }
    }

    fn with_session(&self, answer: ResponseBuilder) -> ResponseBuilder {
        match self.way {
            Some(_) => answer.header(SESSION, format!("{};timeout={SESSION_TIMEOUT}", self.id)),
            None => answer,
        }
    }
}
