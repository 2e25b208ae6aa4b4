//! The run on a local page.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::extract::{Path as Part, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::live::Live;
use super::lock;
use crate::train::RunDir;
use crate::train::Settings;
use crate::util::local_page::{self, file};

/// Where the page's figures come from.
#[derive(Clone)]
pub enum Source {
    /// The run that this program trains, and when it began.
    Live(Arc<Mutex<Live>>, Instant),
    /// The files of a run, read whenever somebody asks.
    Files(Arc<(RunDir, Settings)>),
}

/// Serves the page until the process ends.
pub fn serve(listener: TcpListener, source: Source) -> Result<()> {
    local_page::serve(listener, router(source))
}

fn router(source: Source) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/page.css", file("text/css", include_str!("page.css")))
        .route("/page.js", file("text/javascript", include_str!("page.js")))
        .route("/state", get(state))
        .route("/picture/{place}", get(picture))
        .with_state(source)
}

async fn state(State(source): State<Source>) -> Response {
    match source {
        Source::Live(live, begun) => {
            // Copied, so that training never waits for JSON.
            let now = lock(&live).clone();
            Json(now.json(begun.elapsed())).into_response()
        }
        Source::Files(of) => match of.0.read_metrics() {
            Ok(rows) => Json(Live::new(&of.1, &rows).json(Duration::ZERO)).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        },
    }
}

async fn picture(State(source): State<Source>, Part(place): Part<usize>) -> Response {
    let Source::Live(live, _) = source else { return StatusCode::NOT_FOUND.into_response() };
    let png = lock(&live).pictures.get(place).map(|picture| picture.png.clone());
    png.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |png| ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
    )
}
