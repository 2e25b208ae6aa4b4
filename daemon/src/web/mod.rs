//! The local page: live picture, figures, Prometheus metrics. Never on a frame's path. It may use the status,
//! control and pictures of the preview, and nothing else of the daemon.

mod routes;
mod whep;

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use nervelight_web::Guard;

use crate::control::Control;
use crate::sink::Whep;
use crate::sink::preview::Pictures;
use crate::status::StatusCell;

/// What the page shows and whom it tells.
#[derive(Clone)]
pub struct Page {
    /// The newest figures.
    pub status: StatusCell,
    /// The newest picture; none where no preview is configured.
    pub pictures: Option<Pictures>,
    /// Where viewers come in by WebRTC; none where no such sink is configured.
    pub whep: Option<Whep>,
    /// Commands to the daemon.
    pub control: Control,
    /// Renders the Prometheus text format.
    pub metrics: PrometheusHandle,
    /// Where the pictures' time line begins.
    pub begun: Instant,
}

/// Takes the port. Done before anything else starts, so that a port in use is known at once.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!(
            "http.listen = \"{address}\" cannot be used. Stop the program that holds the port, or set another \
             address"
        )
    })
}

/// Serves the page on a thread of its own until the process ends, to browsers on this machine and to those that come
/// by one of the names `proxied`.
///
/// # Errors
/// When the thread or its runtime cannot be started.
pub fn serve(listener: TcpListener, proxied: &[String], page: Page) -> Result<()> {
    let guard = Guard::behind(listener.local_addr()?.port(), proxied);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("http".into()).spawn(move || {
        if let Err(error) = runtime.block_on(nervelight_web::serve(listener, guard, routes::router(page))) {
            tracing::error!(%error, "the page is not served; the video goes on");
        }
    })?;
    Ok(())
}
