//! `/api/v1` and everything else that is served. Each file has its routes, and each route its least role, as
//! `security(("token" = ["view"]))`, `"operate"` or `"deploy"`; `security(())` needs none.

mod control;
pub mod document;
mod harvest;
mod models;
mod page;
mod picture;
mod session;
mod status;
mod uploads;
mod whep;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::Page;

/// What the document says of the whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nervelight",
        description = "What a cart's daemon answers. Errors are problem details (RFC 9457) with a `code` for programs.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "watch", description = "Pictures and figures"),
        (name = "control", description = "Overlay, engine, sinks"),
        (name = "models", description = "Models and their deployment"),
        (name = "page", description = "The page and its log-in")
    )
)]
struct Whole;

/// Every route.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::with_openapi(Whole::openapi())
        .merge(page::router())
        .merge(session::router())
        .merge(status::router())
        .merge(picture::router())
        .merge(whep::router())
        .merge(control::router())
        .merge(models::router())
        .merge(uploads::router())
        .merge(harvest::router())
}
