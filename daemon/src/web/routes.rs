//! What the page and other programs may ask for.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use super::{Page, whep};
use crate::control::{Answer, Command, ControlError, ErrorKind, Reply};
use crate::sink::preview::Picture;

const BOUNDARY: &str = "nervelight-frame";
/// Says in JSON what is true of the picture that it comes with.
const STATE: HeaderName = HeaderName::from_static("x-nervelight-state");
const NO_PREVIEW: &str = "no picture: add a sink of kind \"preview\" to the configuration";

/// Everything that is answered.
pub fn router(page: Page) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/page.css", file("text/css", include_str!("page.css")))
        .route("/page.js", file("text/javascript", include_str!("page.js")))
        .route("/harvest.js", file("text/javascript", include_str!("harvest.js")))
        .route("/webrtc.js", file("text/javascript", include_str!("webrtc.js")))
        .route("/status", get(status))
        .route("/metrics", get(|State(page): State<Page>| async move { page.metrics.render() }))
        .route("/frame.jpg", get(frame))
        .route("/stream.mjpg", get(stream))
        .route("/overlay", put(overlay))
        .route("/api/v1/harvest/flag", post(flag))
        .route("/engine/reopen", post(reopen_engine))
        .route("/sinks/{sink}/retry", post(retry_sink))
        .merge(whep::router())
        .with_state(page)
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter<Page> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
}

async fn status(State(page): State<Page>) -> Response {
    match page.status.get() {
        Some(snapshot) => Json(snapshot).into_response(),
        None => Json(serde_json::json!({ "ai": "waiting" })).into_response(),
    }
}

async fn frame(State(page): State<Page>) -> Response {
    let Some(pictures) = &page.pictures else { return unavailable(NO_PREVIEW) };
    let mut pictures = pictures.subscribe();
    // The preview encodes only while somebody looks: wait for a picture made for us.
    let waited = tokio::time::timeout(Duration::from_secs(5), pictures.changed()).await;
    let picture = waited.ok().and_then(Result::ok).and_then(|()| pictures.borrow_and_update().clone());
    match picture {
        Some(picture) => {
            let state = described(&picture, page.begun);
            ([(header::CONTENT_TYPE, "image/jpeg".to_owned()), (STATE, state)], picture.jpeg).into_response()
        }
        None => unavailable("no picture has come for five seconds"),
    }
}

fn unavailable(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

/// Motion JPEG for any viewer; each part says in a header what is true of its picture.
async fn stream(State(page): State<Page>) -> Response {
    let Some(pictures) = &page.pictures else { return unavailable(NO_PREVIEW) };
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
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response()
}

fn described(picture: &Picture, begun: Instant) -> String {
    picture.state.describe(begun).to_string()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Overlay {
    enabled: bool,
}

/// Answers when it is done. Who asked knows what for: a success says nothing more.
async fn overlay(State(page): State<Page>, wish: Result<Json<Overlay>, JsonRejection>) -> Response {
    let Json(wish) = match wish {
        Ok(wish) => wish,
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    match page.control.ask(Command::SetOverlay { enabled: wish.enabled }).await {
        Ok(Reply::Overlay { .. }) => StatusCode::NO_CONTENT.into_response(),
        answer => respond(answer),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flag {
    #[serde(default)]
    reason: crate::control::Reason,
}

async fn flag(State(page): State<Page>, wish: Result<Json<Flag>, JsonRejection>) -> Response {
    match wish {
        Ok(Json(wish)) => respond(page.control.ask(Command::Flag { reason: wish.reason }).await),
        Err(rejection) => refuse(rejection.status(), &rejection.body_text()),
    }
}

async fn reopen_engine(State(page): State<Page>) -> Response {
    respond(page.control.ask(Command::ReopenEngine).await)
}

async fn retry_sink(State(page): State<Page>, sink: Result<Path<usize>, PathRejection>) -> Response {
    let Path(sink) = match sink {
        Ok(sink) => sink,
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    respond(page.control.ask(Command::RetrySink { sink }).await)
}

/// A request that says nothing that can be done.
fn refuse(status: StatusCode, message: &str) -> Response {
    let error = ControlError::new(ErrorKind::BadRequest, message);
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}

/// What was done, or why not: `{"error": {"kind": ..., "message": ...}}`.
fn respond(answer: Answer) -> Response {
    let error = match answer {
        Ok(reply) => return Json(reply).into_response(),
        Err(error) => error,
    };
    let status = match error.kind {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}
