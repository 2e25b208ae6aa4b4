//! Every route behind its guard.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};

use super::api::document::Document;
use super::auth::{Admission, Gate, admit};
use super::{Page, api};

/// No command's body is longer; routes that take more say so.
const LONGEST_BODY: usize = 64 * 1024;

/// Everything that is answered.
pub fn router(page: Page, gate: Arc<Gate>) -> Router {
    let (routes, openapi) = api::router().split_for_parts();
    let document = Arc::new(Document::new(&openapi));
    let admission = Admission { document: document.clone(), gate: gate.clone(), audit: page.audit.clone() };
    routes
        .with_state(page)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(Extension(document))
        .layer(Extension(gate))
        .layer(Extension(admission.audit.clone()))
        .layer(from_fn_with_state(admission, admit))
}
