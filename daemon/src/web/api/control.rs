//! What a person at the cart may do: overlay, engine, sinks. Each is answered when it is done.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use nervelight_web::Problem;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::{Command, ControlError, ErrorKind, Reply};
use crate::web::Page;
use crate::web::audit::About;

/// The routes.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(overlay)).routes(routes!(reopen_engine)).routes(routes!(retry_sink))
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let status = match error.kind {
            ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::of(status, error.message)
    }
}

/// Whether the overlay is shown.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Overlay {
    enabled: bool,
}

/// Switches the overlay. Answered when the next frame will have it, or not.
#[utoipa::path(put, path = "/api/v1/overlay", tag = "control", security(("token" = ["operate"])),
    request_body = Overlay, responses((status = 204)))]
async fn overlay(
    State(page): State<Page>,
    Json(wish): Json<Overlay>,
) -> Result<(StatusCode, Extension<About>), Problem> {
    page.control.ask(Command::SetOverlay { enabled: wish.enabled }).await?;
    Ok((StatusCode::NO_CONTENT, Extension(About(format!("enabled={}", wish.enabled)))))
}

/// Opens the engine anew, beside the one at work.
#[utoipa::path(post, path = "/api/v1/engine/reopen", tag = "control", security(("token" = ["operate"])),
    responses((status = 200, body = Reply)))]
async fn reopen_engine(State(page): State<Page>) -> Result<Json<Reply>, Problem> {
    Ok(Json(page.control.ask(Command::ReopenEngine).await?))
}

/// Tries a sink that failed again now, not when its time comes.
#[utoipa::path(post, path = "/api/v1/sinks/{sink}/retry", tag = "control", security(("token" = ["operate"])),
    params(("sink" = usize, Path, description = "The sink's place in the configuration, from 0.")),
    responses((status = 200, body = Reply)))]
async fn retry_sink(State(page): State<Page>, Path(sink): Path<usize>) -> Result<Json<Reply>, Problem> {
    Ok(Json(page.control.ask(Command::RetrySink { sink }).await?))
}
