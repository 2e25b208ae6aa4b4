//! WHEP: browsers and players that watch by WebRTC come in here (draft-ietf-wish-whep; errors as RFC 9457 has them).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nervelight_web::Problem;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::sink::Refusal;
use crate::web::Page;
use crate::web::auth::Caller;

const SDP: &str = "application/sdp";
/// A browser's offer is a tenth of that.
const LONGEST_OFFER: usize = 16 * 1024;

/// A resource for each viewer, made by an offer. There is nothing to trickle: the answer has the one address there is,
/// and the viewer's own is where its packets come from. So PATCH is not allowed, as axum answers by itself.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new()
        .routes(routes!(join, options).layer(DefaultBodyLimit::max(LONGEST_OFFER)))
        .routes(routes!(leave))
}

/// What the address below takes.
#[utoipa::path(options, path = "/whep", tag = "watch", security(("token" = ["view"])), responses((status = 204)))]
async fn options() -> Response {
    let accepted = header::HeaderName::from_static("accept-post");
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST"), (accepted, SDP)]).into_response()
}

/// Watches by WebRTC: an offer that receives video is answered, and the viewer's address stands in `Location`.
#[utoipa::path(post, path = "/whep", tag = "watch", security(("token" = ["view"])),
    request_body(content = String, content_type = "application/sdp"),
    responses((status = 201, content_type = "application/sdp", body = String)))]
async fn join(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    offer: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Some(whep) = &page.whep else {
        let message = "there is no WebRTC here: add a sink of kind \"webrtc\" to the configuration";
        return Err(Problem::of(StatusCode::NOT_FOUND, message));
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(SDP)) {
        return Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send an offer as application/sdp"));
    }
    let offer = offer.map_err(|rejection| Problem::of(rejection.status(), rejection.body_text()))?;
    let Ok(offer) = String::from_utf8(offer.into()) else {
        return Err(Problem::of(StatusCode::BAD_REQUEST, "the offer cannot be used: it is no text"));
    };
    let joined = whep.join(offer).await.map_err(|refusal| {
        let status = match refusal {
            Refusal::Offer(_) => StatusCode::BAD_REQUEST,
            Refusal::Codec => StatusCode::NOT_ACCEPTABLE,
            Refusal::Full(_) | Refusal::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Problem::of(status, refusal.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.after(5) } else { problem }
    })?;
    let (whep, viewer, gone) = (whep.clone(), joined.viewer.clone(), joined.gone);
    tokio::spawn(async move {
        tokio::select! {
            // Who may look no longer does not.
            () = caller.ended() => drop(whep.leave(viewer).await),
            _ = gone => {}
        }
    });
    let location = format!("/whep/{}", joined.viewer);
    let headers = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, joined.answer).into_response())
}

/// Watches no longer.
#[utoipa::path(delete, path = "/whep/{viewer}", tag = "watch", security(("token" = ["view"])),
    params(("viewer" = String, Path, description = "The viewer's name, from `Location`.")),
    responses((status = 200)))]
async fn leave(State(page): State<Page>, Path(viewer): Path<String>) -> Result<(), Problem> {
    match &page.whep {
        Some(whep) if whep.leave(viewer).await => Ok(()),
        _ => {
            let detail = "nobody of that name watches. Viewers that are silent are let go";
            Err(Problem::of(StatusCode::NOT_FOUND, detail))
        }
    }
}
