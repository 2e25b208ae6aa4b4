//! The preview's pictures, each with what is true of it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nervelight_web::Problem;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::sink::preview::Picture;
use crate::web::Page;

const BOUNDARY: &str = "nervelight-frame";
/// Says in JSON what is true of the picture that it comes with.
const STATE: HeaderName = HeaderName::from_static("x-nervelight-state");
const NO_PREVIEW: &str = "no picture: add a sink of kind \"preview\" to the configuration";

/// One picture, and all of them.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(frame)).routes(routes!(stream))
}

/// The next picture; its state is in the header `X-Nervelight-State`.
#[utoipa::path(get, path = "/frame.jpg", tag = "watch", security(("token" = ["view"])),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>)))]
async fn frame(State(page): State<Page>) -> Result<Response, Problem> {
    let Some(pictures) = &page.pictures else { return Err(unavailable(NO_PREVIEW)) };
    let mut pictures = pictures.subscribe();
    // The preview encodes only while somebody looks: wait for a picture made for us.
    let waited = tokio::time::timeout(Duration::from_secs(5), pictures.changed()).await;
    let picture = waited.ok().and_then(Result::ok).and_then(|()| pictures.borrow_and_update().clone());
    let picture = picture.ok_or_else(|| unavailable("no picture has come for five seconds"))?;
    let state = described(&picture, page.begun);
    Ok(([(header::CONTENT_TYPE, "image/jpeg".to_owned()), (STATE, state)], picture.jpeg).into_response())
}

fn unavailable(why: &'static str) -> Problem {
    Problem::of(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// Motion JPEG for any viewer; each part says in a header what is true of its picture. It does not end.
#[utoipa::path(get, path = "/stream.mjpg", tag = "watch", security(("token" = ["view"])),
    responses((status = 200, content_type = "multipart/x-mixed-replace", body = Vec<u8>)))]
async fn stream(State(page): State<Page>) -> Result<Response, Problem> {
    let Some(pictures) = &page.pictures else { return Err(unavailable(NO_PREVIEW)) };
    // A reader that is too slow for all gets the newest.
    let pictures = WatchStream::from_changes(pictures.subscribe()).filter_map(|picture| picture);
    let parts = pictures.map(move |picture| {
        let (state, length) = (described(&picture, page.begun), picture.jpeg.len());
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n{STATE}: {state}\r\n\r\n"
        );
        Ok::<_, Infallible>(Bytes::from([head.as_bytes(), &picture.jpeg, b"\r\n"].concat()))
    });
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response())
}

fn described(picture: &Picture, begun: Instant) -> String {
    picture.state.describe(begun).to_string()
}
