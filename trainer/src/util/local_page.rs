//! Pages that a command serves, on this machine only.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};
use axum::Router;
use axum::http::header;
use axum::routing::{MethodRouter, get};
use nervelight_web::Guard;

/// Takes `port` on 127.0.0.1; `option` is what the user set it with.
pub fn bind(option: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("{option} {port} cannot be used; stop the program that holds it, or give another")
    })
}

/// Answers with a file of this program.
pub fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, text: &'static str) -> MethodRouter<S> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
}

/// Serves `router` until the process ends.
pub fn serve(listener: TcpListener, router: Router) -> Result<()> {
    let guard = Guard::local(listener.local_addr()?.port());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(nervelight_web::serve(listener, guard, None, router))?)
}
