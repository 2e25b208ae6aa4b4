//! The page on which a person reviews.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::extract::{Path as Part, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::session::{Refusal, Session, Wish};
use crate::analyze::picture;
use crate::data::drafts::{Draft, ReviewError};
use crate::util::local_page::{self, file};

type Desk = Arc<Mutex<Session>>;

/// Serves the page until the process ends.
pub fn serve(listener: TcpListener, session: Session) -> Result<()> {
    let port = listener.local_addr()?.port();
    outln!("open http://127.0.0.1:{port}; Ctrl-C ends, every decision is saved at once");
    local_page::serve(listener, router(Arc::new(Mutex::new(session))))
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/page.css", file("text/css", include_str!("page.css")))
        .route("/page.js", file("text/javascript", include_str!("page.js")))
        .route("/mask.js", file("text/javascript", include_str!("mask.js")))
        .route("/view.js", file("text/javascript", include_str!("view.js")))
        .route("/state", get(state))
        .route("/draft/{place}/frame", get(frame))
        .route("/draft/{place}/masks", get(masks))
        .route("/draft/{place}/decision", put(decide))
        .with_state(desk)
}

fn lock(desk: &Desk) -> MutexGuard<'_, Session> {
    // A session is whole after every change, also one that panicked.
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn state(State(desk): State<Desk>) -> Json<Value> {
    let session = lock(&desk);
    let drafts: Vec<_> = session.drafts().iter().map(|draft| outline(&session, draft)).collect();
    Json(json!({
        "title": session.directory().display().to_string(),
        "reviewer": session.reviewer(),
        "drafts": drafts,
    }))
}

/// What the page shows of a draft beside its pixels.
fn outline(session: &Session, draft: &Draft) -> Value {
    let decision = session.decision(draft);
    json!({
        "name": draft.name,
        "patient": draft.patient,
        "event": draft.event,
        "ms": draft.ms,
        "why": draft.why,
        "reason": draft.reason,
        "uncertainty": draft.uncertainty,
        "model": draft.model.name,
        "spacing": draft.spacing_mm,
        "revision": session.revision(draft),
        "verdict": decision.map(|decision| decision.decision),
        "by": decision.map(|decision| &decision.reviewer),
        "at": decision.map(|decision| &decision.at),
    })
}

async fn frame(State(desk): State<Desk>, Part(place): Part<usize>) -> Response {
    let session = lock(&desk);
    let Some(draft) = session.drafts().get(place) else { return refuse(&Refusal::Unknown) };
    match draft.luma(session.directory()).and_then(|luma| picture::whole(&luma)) {
        Ok(png) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        Err(error) => refuse(&Refusal::Files(error)),
    }
}

/// The mask that the model drew and the one that stands, as runs.
async fn masks(State(desk): State<Desk>, Part(place): Part<usize>) -> Response {
    let session = lock(&desk);
    let Some(draft) = session.drafts().get(place) else { return refuse(&Refusal::Unknown) };
    let masks = draft
        .drawn(session.directory())
        .and_then(|drawn| Ok(json!({ "drawn": drawn.runs(), "mask": session.mask(draft)?.runs() })));
    match masks {
        Ok(masks) => Json(masks).into_response(),
        Err(error) => refuse(&Refusal::Files(error)),
    }
}

async fn decide(State(desk): State<Desk>, Part(place): Part<usize>, Json(wish): Json<Wish>) -> Response {
    let mut session = lock(&desk);
    if let Err(refusal) = session.decide(place, &wish) {
        return refuse(&refusal);
    }
    match session.drafts().get(place) {
        Some(draft) => Json(outline(&session, draft)).into_response(),
        None => refuse(&Refusal::Unknown),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Unknown => StatusCode::NOT_FOUND,
        Refusal::NoMask => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Meanwhile | Refusal::Open | Refusal::Review(ReviewError::Busy(_)) => StatusCode::CONFLICT,
        Refusal::Files(_) | Refusal::Review(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, refusal.to_string()).into_response()
}
