//! Log-in on the page: a token is typed once and becomes a session, whose cookie no script sees.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use nervelight_web::{Peer, Problem};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::web::Page;
use crate::web::audit::Audit;
use crate::web::auth::{Caller, Gate, Role, set_cookie};

/// The routes.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(who, log_in, log_out))
}

/// What begins a session.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    /// A token of `nervelightd token add`.
    token: String,
}

/// Who asks.
#[derive(Serialize, utoipa::ToSchema)]
struct Who {
    /// The token's name, or what stands for one.
    name: String,
    /// What may be done.
    role: Role,
    /// Whether that is a session, which can be ended.
    in_session: bool,
}

impl Who {
    fn new(caller: Caller, in_session: bool) -> Self {
        Self { name: caller.name, role: caller.role, in_session }
    }
}

/// Who asks, and what they may do.
#[utoipa::path(get, path = "/api/v1/session", tag = "page", security(("token" = ["view"])),
    responses((status = 200, body = Who)))]
async fn who(
    Extension(caller): Extension<Caller>,
    Extension(gate): Extension<Arc<Gate>>,
    headers: HeaderMap,
) -> Json<Who> {
    Json(Who::new(caller, gate.is_in_session(&headers)))
}

/// Begins a session of at most twelve hours.
#[utoipa::path(post, path = "/api/v1/session", tag = "page", security(()),
    request_body = LogIn, responses((status = 200, body = Who)))]
async fn log_in(
    Extension(gate): Extension<Arc<Gate>>,
    Extension(audit): Extension<Audit>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Json(LogIn { token }): Json<LogIn>,
) -> Result<Response, Problem> {
    let what = "log in";
    match gate.log_in(token.trim(), peer.ip()).await {
        Ok((caller, secret)) => {
            audit.record(&caller, what, "done");
            let cookie = set_cookie(&secret, is_encrypted(&headers));
            Ok(([(header::SET_COOKIE, cookie)], Json(Who::new(caller, true))).into_response())
        }
        Err(problem) => {
            audit.refused(peer.ip(), what, &problem.code);
            Err(problem)
        }
    }
}

/// Ends the session.
#[utoipa::path(delete, path = "/api/v1/session", tag = "page", security(("token" = ["view"])),
    responses((status = 204)))]
async fn log_out(
    Extension(gate): Extension<Arc<Gate>>,
    Extension(audit): Extension<Audit>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    if gate.log_out(&headers) {
        audit.record(&caller, "log out", "done");
    }
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie("", is_encrypted(&headers)))]).into_response()
}

/// Whether the browser reaches the page by TLS, be it a proxy's. The guard has seen that the origin is this page's.
fn is_encrypted(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"))
}
