//! Figures, for programs.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::web::Page;

/// The newest figures, as JSON and for Prometheus.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(status_of_old)).routes(routes!(metrics))
}

/// The newest figures of the run. Its members are told in docs/operations.md.
#[utoipa::path(get, path = "/api/v1/status", tag = "watch", security(("token" = ["view"])),
    responses((status = 200, body = Object)))]
async fn status(State(page): State<Page>) -> Response {
    match page.status.get() {
        Some(snapshot) => Json(snapshot).into_response(),
        None => Json(serde_json::json!({ "ai": "waiting" })).into_response(),
    }
}

/// The same.
#[utoipa::path(get, path = "/status", tag = "watch", security(("token" = ["view"])),
    responses((status = 200, body = Object)))]
async fn status_of_old(page: State<Page>) -> Response {
    status(page).await
}

/// The same for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "watch", security(("token" = ["view"])),
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(page): State<Page>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, page.metrics.render()).into_response()
}
