//! The local page: live picture, figures, Prometheus metrics. Never in a frame's way.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use anyhow::{Context, Result};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use crossbeam_channel::Sender;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use crate::figures::Board;
use crate::stream::JpegSender;

const BOUNDARY: &str = "nervelight-frame";

/// What a person may ask the running daemon to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Show the overlay or not.
    Overlay(bool),
}

/// What the page shows and whom it tells.
#[derive(Clone)]
pub struct Page {
    /// The newest figures.
    pub board: Board,
    /// The newest picture.
    pub jpegs: JpegSender,
    /// To `run.rs`.
    pub commands: Sender<Command>,
    /// Renders the Prometheus text format.
    pub metrics: PrometheusHandle,
}

/// Takes the port. Done before anything else starts, so that a port in use is known at once.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!(
            "http.listen = \"{address}\" cannot be used. Stop the program that holds the port, or set another \
             address"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the page on a thread of its own until the process ends.
///
/// # Errors
/// When the thread or its runtime cannot be started.
pub fn serve(listener: TcpListener, page: Page) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let router = Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/status", get(status))
        .route("/metrics", get(|State(page): State<Page>| async move { page.metrics.render() }))
        .route("/frame.jpg", get(frame))
        .route("/stream.mjpg", get(stream))
        .route("/overlay", put(overlay))
        .with_state(page);
    thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        })
    })?;
    Ok(())
}

async fn status(State(page): State<Page>) -> Response {
    match page.board.get() {
        Some(snapshot) => Json(snapshot).into_response(),
        None => Json(serde_json::json!({ "ai": "waiting" })).into_response(),
    }
}

async fn frame(State(page): State<Page>) -> Response {
    let mut jpegs = page.jpegs.subscribe();
    // The preview encodes only while somebody looks: wait for a picture made for us.
    let waited = tokio::time::timeout(std::time::Duration::from_secs(5), jpegs.changed()).await;
    match waited {
        Ok(Ok(())) => {
            ([(header::CONTENT_TYPE, "image/jpeg")], jpegs.borrow_and_update().clone()).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "no picture: is a preview sink configured?").into_response(),
    }
}

async fn stream(State(page): State<Page>) -> Response {
    let parts = WatchStream::from_changes(page.jpegs.subscribe()).map(|jpeg| {
        let head =
            format!("--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        Ok::<_, Infallible>(Bytes::from([head.as_bytes(), &jpeg, b"\r\n"].concat()))
    });
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response()
}

#[derive(Deserialize)]
struct Overlay {
    enabled: bool,
}

async fn overlay(State(page): State<Page>, Json(wish): Json<Overlay>) -> StatusCode {
    match page.commands.try_send(Command::Overlay(wish.enabled)) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
