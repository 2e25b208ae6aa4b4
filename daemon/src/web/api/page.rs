//! The page's own files, which hold nothing of anybody and need no role, and the document of all routes.

use std::sync::Arc;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::web::Page;
use crate::web::api::document::Document;

/// The files.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new()
        .routes(routes!(html))
        .routes(routes!(css))
        .routes(routes!(js))
        .routes(routes!(webrtc))
        .routes(routes!(models_script))
        .routes(routes!(login))
        .routes(routes!(harvest_script))
        .routes(routes!(shadow_page))
        .routes(routes!(shadow_js))
        .routes(routes!(document))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The page.
#[utoipa::path(get, path = "/", tag = "page", security(()),
    responses((status = 200, content_type = "text/html", body = String)))]
async fn html() -> Response {
    file("text/html; charset=utf-8", include_str!("../page.html"))
}

/// Its looks.
#[utoipa::path(get, path = "/page.css", tag = "page", security(()),
    responses((status = 200, content_type = "text/css", body = String)))]
async fn css() -> Response {
    file("text/css", include_str!("../page.css"))
}

/// What it does.
#[utoipa::path(get, path = "/page.js", tag = "page", security(()),
    responses((status = 200, content_type = "text/javascript", body = String)))]
async fn js() -> Response {
    file("text/javascript", include_str!("../page.js"))
}

/// How it shows the picture by WebRTC.
#[utoipa::path(get, path = "/webrtc.js", tag = "page", security(()),
    responses((status = 200, content_type = "text/javascript", body = String)))]
async fn webrtc() -> Response {
    file("text/javascript", include_str!("../webrtc.js"))
}

/// Who looks, and the log-in.
#[utoipa::path(get, path = "/login.js", tag = "page", security(()),
    responses((status = 200, content_type = "text/javascript", body = String)))]
async fn login() -> Response {
    file("text/javascript", include_str!("../login.js"))
}

/// What it says of models.
#[utoipa::path(get, path = "/models.js", tag = "page", security(()),
    responses((status = 200, content_type = "text/javascript", body = String)))]
async fn models_script() -> Response {
    file("text/javascript", include_str!("../models.js"))
}

/// What it says of crops that are kept.
#[utoipa::path(get, path = "/harvest.js", tag = "page", security(()),
    responses((status = 200, content_type = "text/javascript", body = String)))]
async fn harvest_script() -> Response {
    file("text/javascript", include_str!("../harvest.js"))
}

/// The shadow's report as a page.
#[utoipa::path(get, path = "/shadow", tag = "page", security(()),
    responses((status = 200, content_type = "text/html", body = String)))]
async fn shadow_page() -> Response {
    file("text/html; charset=utf-8", include_str!("../shadow.html"))
}

/// What that page does.
#[utoipa::path(get, path = "/shadow.js", tag = "page", security(()),
    responses((status = 200, content_type = "text/javascript", body = String)))]
async fn shadow_js() -> Response {
    file("text/javascript", include_str!("../shadow.js"))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "page", security(()),
    responses((status = 200, body = Object)))]
async fn document(Extension(document): Extension<Arc<Document>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.text().to_owned()).into_response()
}
