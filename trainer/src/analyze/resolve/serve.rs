//! The page on which a person decides.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::extract::{Path as Part, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auto::combined;
use super::cases::Case;
use super::session::{Refusal, Session, Wish};
use crate::analyze::picture;
use crate::data::{Decision, NERVE, Recorded, Rule};
use crate::util::local_page::{self, file};

/// What requests are answered from.
struct Desk {
    data: Recorded,
    session: Mutex<Session>,
    title: String,
}

type Shared = State<Arc<Desk>>;

impl Desk {
    fn session(&self) -> MutexGuard<'_, Session> {
        // A session is whole after every change, also one that panicked.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the page until the process ends.
pub fn serve(listener: TcpListener, data: Recorded, session: Session, directory: &Path) -> Result<()> {
    let port = listener.local_addr()?.port();
    outln!("open http://127.0.0.1:{port}; Ctrl-C ends, every decision is saved at once");
    let desk = Desk { data, session: Mutex::new(session), title: directory.display().to_string() };
    local_page::serve(listener, router(Arc::new(desk)))
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/page.css", file("text/css", include_str!("page.css")))
        .route("/page.js", file("text/javascript", include_str!("page.js")))
        .route("/state", get(state))
        .route("/frame/{frame}", get(frame))
        .route("/group/{group}", get(group))
        .route("/group/{group}/result", get(result))
        .route("/group/{group}/decision", put(decide).delete(reopen))
        .route("/undo", post(undo))
        .route("/redo", post(redo))
        .with_state(desk)
}

async fn state(State(desk): Shared) -> Json<Value> {
    Json(all(&desk, &desk.session()))
}

/// What the page shows of every group.
fn all(desk: &Desk, session: &Session) -> Value {
    let [undo, redo] = session.history();
    json!({
        "title": desk.title,
        "file": session.path().display().to_string(),
        "undo": undo,
        "redo": redo,
        "stale": session.stale(),
        "groups": session.cases().iter().map(|case| outline_of(desk, case)).collect::<Vec<_>>(),
    })
}

fn outline_of(desk: &Desk, case: &Case) -> Value {
    let frames = case.frames.iter().zip(&case.masks).map(|(&place, mask)| {
        let frame = &desk.data.frames[place as usize];
        json!({ "place": place, "name": frame.name, "patient": frame.patient, "area": frame.area(), "mask": mask })
    });
    json!({
        "frames": frames.collect::<Vec<_>>(),
        "apart": case.apart,
        "masks_apart": case.masks_apart,
        "former": case.former.len(),
        "decision": case.decision.as_ref().map(decided),
    })
}

/// A decision as the page asked for it.
fn decided(decision: &Decision) -> Value {
    let frames = || decision.frame.iter().enumerate();
    let wish = Wish {
        rule: decision.rule,
        keep: frames().find(|(_, frame)| frame.keep).map(|(place, _)| place),
        drop: frames().filter(|(_, frame)| frame.drop).map(|(place, _)| place).collect(),
    };
    json!({ "rule": wish.rule, "keep": wish.keep, "drop": wish.drop, "by": decision.by })
}

async fn frame(State(desk): Shared, Part(place): Part<usize>) -> Response {
    let Some(frame) = desk.data.frames.get(place) else { return StatusCode::NOT_FOUND.into_response() };
    match picture::whole(desk.data.luma(frame)) {
        Ok(png) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The masks of a group as paths: of each distinct one its outline, what only some of the others
/// lack of it, and what it lacks of others; the box around all; and whether there is a majority.
async fn group(State(desk): Shared, Part(group): Part<usize>) -> Response {
    let session = desk.session();
    let Some(case) = session.cases().get(group) else { return StatusCode::NOT_FOUND.into_response() };
    let mut distinct: Vec<Vec<bool>> = vec![];
    for (&frame, &mask) in case.frames.iter().zip(&case.masks) {
        if mask == distinct.len() {
            distinct.push(picture::inside(&desk.data.frames[frame as usize].mask, NERVE));
        }
    }
    let pixels = 0..distinct.first().map_or(0, Vec::len);
    let votes: Vec<usize> = pixels.map(|i| distinct.iter().filter(|mask| mask[i]).count()).collect();
    let disputed = |i: usize| votes[i] > 0 && votes[i] < distinct.len();
    let path =
        |mask: &dyn Fn(usize) -> bool| picture::region(&(0..votes.len()).map(mask).collect::<Vec<_>>());
    let masks: Vec<Value> = distinct
        .iter()
        .map(|mask| {
            json!({
                "outline": picture::outline(mask),
                "more": path(&|i| mask[i] && disputed(i)),
                "less": path(&|i| !mask[i] && disputed(i)),
            })
        })
        .collect();
    let majority = combined(&desk.data, case, Rule::Majority, &[]).is_some();
    let (disputed, around) = (path(&disputed), around(&votes));
    Json(json!({ "masks": masks, "disputed": disputed, "box": around, "majority": majority })).into_response()
}

/// Left, top, width and height of the pixels that have any vote.
fn around(votes: &[usize]) -> Option<[usize; 4]> {
    use crate::data::FRAME_WIDTH;
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for i in (0..votes.len()).filter(|&i| votes[i] > 0) {
        let (x, y) = (i % FRAME_WIDTH, i / FRAME_WIDTH);
        (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
    }
    (left <= right).then(|| [left, top, right + 1 - left, bottom + 1 - top])
}

/// A [`Wish`] in a query; frames to leave out are separated by commas.
#[derive(Debug, Deserialize)]
struct Asked {
    rule: Rule,
    keep: Option<usize>,
    #[serde(default)]
    drop: String,
}

/// The mask that a decision would give, as a path, and its area in pixels.
async fn result(State(desk): Shared, Part(group): Part<usize>, Query(asked): Query<Asked>) -> Response {
    let session = desk.session();
    let Some(case) = session.cases().get(group) else { return StatusCode::NOT_FOUND.into_response() };
    let drop: Vec<usize> = asked.drop.split(',').filter_map(|place| place.parse().ok()).collect();
    let inside: Option<Vec<bool>> = match asked.rule {
        Rule::Own => None,
        Rule::Keep => asked
            .keep
            .and_then(|place| case.frames.get(place))
            .map(|&frame| picture::inside(&desk.data.frames[frame as usize].mask, NERVE)),
        rule => {
            combined(&desk.data, case, rule, &drop).map(|mask| mask.iter().map(|&pixel| pixel > 0).collect())
        }
    };
    Json(inside.map(|inside| {
        let area = inside.iter().filter(|inside| **inside).count();
        json!({ "outline": picture::outline(&inside), "region": picture::region(&inside), "area": area })
    }))
    .into_response()
}

async fn decide(State(desk): Shared, Part(group): Part<usize>, Json(wish): Json<Wish>) -> Response {
    let mut session = desk.session();
    let majority = wish.rule == Rule::Majority;
    let case = session.cases().get(group).filter(|_| majority);
    if case.is_some_and(|case| combined(&desk.data, case, wish.rule, &wish.drop).is_none()) {
        return refuse(&Refusal::NoMajority);
    }
    let done = session.decide(group, Some(&wish), "person").map(|()| group);
    answer(&desk, &session, done)
}

async fn reopen(State(desk): Shared, Part(group): Part<usize>) -> Response {
    let mut session = desk.session();
    let done = session.decide(group, None, "person").map(|()| group);
    answer(&desk, &session, done)
}

async fn undo(State(desk): Shared) -> Response {
    let mut session = desk.session();
    let done = session.step(true);
    answer(&desk, &session, done)
}

async fn redo(State(desk): Shared) -> Response {
    let mut session = desk.session();
    let done = session.step(false);
    answer(&desk, &session, done)
}

/// The new state and the group that changed.
fn answer(desk: &Desk, session: &Session, done: Result<usize, Refusal>) -> Response {
    match done {
        Ok(group) => Json(json!({ "group": group, "state": all(desk, session) })).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Unknown => StatusCode::NOT_FOUND,
        Refusal::NoMajority => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::NoUndo | Refusal::NoRedo | Refusal::Changed(_) => StatusCode::CONFLICT,
        Refusal::Write(..) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, refusal.to_string()).into_response()
}
