//! Models: which are stored, which runs, how a deployment goes, and what a shadow has found.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use nervelight_web::Problem;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::{Command, ModelCommand, Reply};
use crate::web::Page;
use crate::web::auth::Caller;

/// Time between two signs of life where nothing happens.
const ALIVE: Duration = Duration::from_secs(10);

/// The routes.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new()
        .routes(routes!(models))
        .routes(routes!(use_model))
        .routes(routes!(roll_back))
        .routes(routes!(prune))
        .routes(routes!(begin_shadow))
        .routes(routes!(shadow, end_shadow))
        .routes(routes!(deployment))
        .routes(routes!(events))
}

async fn change(page: &Page, command: ModelCommand) -> Result<Json<Reply>, Problem> {
    Ok(Json(page.control.ask(Command::Model(command)).await?))
}

/// The stored models, and which of them runs.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", security(("token" = ["view"])),
    responses((status = 200, body = Object)))]
async fn models(State(page): State<Page>) -> Result<Response, Problem> {
    match page.models.store() {
        Some(store) => Ok(Json(store).into_response()),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no_store", page.models.absence())),
    }
}

/// Shows a stored model. It is proven on this machine first; there is no probation.
#[utoipa::path(post, path = "/api/v1/models/{digest}/use", tag = "models", security(("token" = ["deploy"])),
    params(("digest" = String, Path, pattern = "^[0-9a-f]{8,64}$", description = "The bundle's digest, or its first eight digits and more.")),
    responses((status = 200, body = Reply)))]
async fn use_model(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    Path(digest): Path<String>,
) -> Result<Json<Reply>, Problem> {
    change(&page, ModelCommand::Use { digest, who: caller.name }).await
}

/// Ends a deployment that goes on, or shows the model before the present one. That takes no more than the role of who is at the
/// cart, and is done though the audit log cannot be written.
#[utoipa::path(post, path = "/api/v1/models/rollback", tag = "models", security(("token" = ["operate"])),
    responses((status = 200, body = Reply)))]
async fn roll_back(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Reply>, Problem> {
    change(&page, ModelCommand::RollBack { who: caller.name }).await
}

/// Removes the stored models that nothing needs.
#[utoipa::path(post, path = "/api/v1/models/prune", tag = "models", security(("token" = ["deploy"])),
    responses((status = 200, body = Reply)))]
async fn prune(State(page): State<Page>) -> Result<Json<Reply>, Problem> {
    change(&page, ModelCommand::Prune).await
}

/// Runs a stored model on spare time beside the shown one. It is never shown.
#[utoipa::path(post, path = "/api/v1/models/{digest}/shadow", tag = "models", security(("token" = ["deploy"])),
    params(("digest" = String, Path, pattern = "^[0-9a-f]{8,64}$", description = "The bundle's digest, or its first eight digits and more.")),
    responses((status = 200, body = Reply)))]
async fn begin_shadow(State(page): State<Page>, Path(digest): Path<String>) -> Result<Json<Reply>, Problem> {
    change(&page, ModelCommand::Shadow { digest: Some(digest) }).await
}

/// Ends the shadow; its report stays.
#[utoipa::path(delete, path = "/api/v1/shadow", tag = "models", security(("token" = ["deploy"])),
    responses((status = 200, body = Reply)))]
async fn end_shadow(State(page): State<Page>) -> Result<Json<Reply>, Problem> {
    change(&page, ModelCommand::Shadow { digest: None }).await
}

/// How the model that runs on spare time agrees with the shown one, or the last that did.
#[utoipa::path(get, path = "/api/v1/shadow", tag = "models", security(("token" = ["view"])),
    responses((status = 200, body = Object)))]
async fn shadow(State(page): State<Page>) -> Result<Response, Problem> {
    match page.models.shadow() {
        Some(report) => Ok(Json(&*report).into_response()),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_shadow",
            "no model has run on spare time here. Begin with `nervelightd models shadow DIGEST --to http://CART:8321`",
        )),
    }
}

/// The present deployment, or the last one.
#[utoipa::path(get, path = "/api/v1/deployment", tag = "models", security(("token" = ["view"])),
    responses((status = 200, body = Object)))]
async fn deployment(State(page): State<Page>) -> Result<Response, Problem> {
    match page.models.deployment() {
        Some(deployment) => Ok(Json(deployment).into_response()),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_deployment",
            "nothing was deployed since the daemon started",
        )),
    }
}

/// What happens, as server-sent events: each step of a deployment, the signal, engines, shadows. Who reads too slowly is let
/// go, and may come again.
#[utoipa::path(get, path = "/api/v1/events", tag = "models", security(("token" = ["view"])),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn events(State(page): State<Page>) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let happened = BroadcastStream::new(page.events.listen());
    // One that has missed some would believe what is over.
    let whole = happened.map_while(Result::ok);
    let sent = whole.map(|event| Ok(Sent::default().event(event.kind).data(&*event.data)));
    Sse::new(sent).keep_alive(KeepAlive::new().interval(ALIVE))
}
