//! WHEP: browsers and players that watch by WebRTC come in here (draft-ietf-wish-whep; errors as RFC 9457 has them).

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};

use super::Page;
use crate::sink::Refusal;

const SDP: &str = "application/sdp";
/// A browser's offer is a tenth of that.
const LONGEST_OFFER: usize = 64 * 1024;

/// A resource for each viewer, made by an offer. There is nothing to trickle: the answer has the one address there is,
/// and the viewer's own is where its packets come from. So PATCH is not allowed, as axum answers by itself.
pub fn router() -> Router<Page> {
    Router::new()
        .route("/whep", post(join).options(options).layer(DefaultBodyLimit::max(LONGEST_OFFER)))
        .route("/whep/{viewer}", delete(leave))
}

async fn options() -> Response {
    let accepted = header::HeaderName::from_static("accept-post");
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST"), (accepted, SDP)]).into_response()
}

async fn join(
    State(page): State<Page>,
    headers: HeaderMap,
    offer: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(whep) = &page.whep else {
        let message = "there is no WebRTC here: add a sink of kind \"webrtc\" to the configuration";
        return problem(StatusCode::NOT_FOUND, message);
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(SDP)) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send an offer as application/sdp");
    }
    let offer = match offer {
        Ok(offer) => offer,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let Ok(offer) = String::from_utf8(offer.into()) else {
        return problem(StatusCode::BAD_REQUEST, "the offer cannot be used: it is no text");
    };
    match whep.join(offer).await {
        Ok(joined) => {
            let location = format!("/whep/{}", joined.viewer);
            let headers = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location)];
            (StatusCode::CREATED, headers, joined.answer).into_response()
        }
        Err(refusal) => {
            let status = match refusal {
                Refusal::Offer(_) => StatusCode::BAD_REQUEST,
                Refusal::Codec => StatusCode::NOT_ACCEPTABLE,
                Refusal::Full(_) | Refusal::Closed => StatusCode::SERVICE_UNAVAILABLE,
            };
            problem(status, &refusal.to_string())
        }
    }
}

async fn leave(State(page): State<Page>, Path(viewer): Path<String>) -> Response {
    match &page.whep {
        Some(whep) if whep.leave(viewer).await => StatusCode::OK.into_response(),
        _ => {
            problem(StatusCode::NOT_FOUND, "nobody of that name watches. Viewers that are silent are let go")
        }
    }
}

/// Why not, for programs and for people.
fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    let mut response = (status, kind, body.to_string()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, 5.into());
    }
    response
}
