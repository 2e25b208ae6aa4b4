//! Moments that are kept for retraining because a person says so.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use nervelight_web::Problem;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::{Command, Reason};
use crate::web::Page;
use crate::web::audit::About;

/// The routes.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(flag))
}

/// Why the moment is kept.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Flag {
    /// One of a list and no text: people write names into texts.
    reason: Reason,
}

/// Keeps the pictures of the last second and of the next for retraining, where the cart keeps any.
#[utoipa::path(post, path = "/api/v1/harvest/flag", tag = "control", security(("token" = ["operate"])),
    request_body = Flag, responses((status = 204)))]
async fn flag(
    State(page): State<Page>,
    Json(flag): Json<Flag>,
) -> Result<(StatusCode, Extension<About>), Problem> {
    page.control.ask(Command::Flag { reason: flag.reason }).await?;
    Ok((StatusCode::NO_CONTENT, Extension(About(format!("reason={}", flag.reason.name())))))
}
