//! Stands before every route: nobody passes without the role that the document asks for.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use nervelight_web::{Door, Known, PROBLEM, Peer, Problem};

use super::caller::{Caller, Role};
use super::gate::Gate;
use crate::web::api::document::{Document, Need};
use crate::web::audit::{About, Audit};

/// No explanation of a refused request is longer.
const LONGEST_DETAIL: usize = 4096;

/// Answers that do not end.
const ENDLESS: [&str; 2] = ["multipart/x-mixed-replace", "text/event-stream"];
/// Refusals that are written down. Who says nothing of themselves has not logged in yet.
const AUDITED: [&str; 3] = ["invalid_token", "too_many_attempts", "role_too_weak"];

/// What stands before the routes.
#[derive(Clone)]
pub struct Admission {
    /// Which role each route needs.
    pub document: Arc<Document>,
    /// Who has which.
    pub gate: Arc<Gate>,
    /// Where it is written down.
    pub audit: Audit,
}

/// Lets a request pass whose caller has the role that its route needs, and answers in problems where it is not done.
pub async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let address = request.extensions().get().map(|Peer(peer)| peer.ip());
    let what = format!("{} {}", request.method(), request.uri().path());
    match admission.pass(request, next).await {
        Ok(response) => explained(response).await,
        Err(problem) => {
            if let Some(address) = address.filter(|_| AUDITED.contains(&problem.code.as_ref())) {
                admission.audit.refused(address, &what, &problem.code);
            }
            problem.into_response()
        }
    }
}

impl Admission {
    async fn pass(&self, mut request: Request, next: Next) -> Result<Response, Problem> {
        let method = request.method().clone();
        let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
            let detail = "there is nothing at this path. /api/v1/openapi.json lists what there is";
            return Err(Problem::of(StatusCode::NOT_FOUND, detail));
        };
        let (role, audited) = match self.document.need(&method, path.as_str()) {
            Need::Role { role, audited } => (role, audited),
            Need::Nothing => return Ok(next.run(request).await),
            Need::Other(allowed) => return Ok(not_allowed(&allowed)),
        };
        let caller = self.identify(&request).await?.ok_or_else(|| {
            Problem::of(StatusCode::UNAUTHORIZED, "say who you are: send a token, or log in on the page")
        })?;
        if let Some(known) = request.extensions().get::<Known>() {
            known.remember();
        }
        if caller.role < role {
            let detail =
                format!("this needs a token with the role {role}; yours has the role {}", caller.role);
            return Err(Problem::new(StatusCode::FORBIDDEN, "role_too_weak", detail));
        }
        request.extensions_mut().insert(caller.clone());
        let response = match audited {
            true => self.recorded(role, &caller, request, next).await?,
            false => next.run(request).await,
        };
        Ok(while_it_lasts(caller, response))
    }

    /// Who asks. A request cannot be shared between threads while it waits, its parts can.
    fn identify(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<Option<Caller>, Problem>> + Send + use<'_> {
        let extensions = request.extensions();
        let from = extensions.get().map(|Peer(peer)| peer.ip()).zip(extensions.get::<Door>().copied());
        let headers = request.headers().clone();
        async move {
            match from {
                Some((address, door)) => self.gate.identify(&headers, address, door).await,
                None => Ok(None),
            }
        }
    }

    /// Carries out what changes something, and writes down who asked and what came of it.
    async fn recorded(
        &self,
        role: Role,
        caller: &Caller,
        request: Request,
        next: Next,
    ) -> Result<Response, Problem> {
        let what = format!("{} {}", request.method(), request.uri().path());
        if role == Role::Deploy {
            // What cannot be written down is not done.
            self.audit.promise(caller, &what).await?;
        }
        let response = next.run(request).await;
        let about =
            response.extensions().get::<About>().map(|about| format!(" {}", about.0)).unwrap_or_default();
        self.audit.record(caller, &format!("{what}{about}"), response.status().as_str());
        Ok(response)
    }
}

/// What does not end by itself ends when the caller may look no longer.
fn while_it_lasts(caller: Caller, response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| ENDLESS.iter().any(|endless| kind.starts_with(endless))) {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(caller.ended()))))
}

fn not_allowed(allowed: &str) -> Response {
    let detail = format!("this path takes {allowed}");
    let mut response = Problem::of(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// A refusal that a library worded, as a problem.
async fn explained(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !(status.is_client_error() || status.is_server_error()) || kind.is_some_and(|kind| kind == PROBLEM) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, LONGEST_DETAIL).await.unwrap_or_default();
    let mut response = Problem::of(status, String::from_utf8_lossy(&text)).into_response();
    for (name, value) in &parts.headers {
        if !response.headers().contains_key(name) && name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name, value.clone());
        }
    }
    *response.extensions_mut() = parts.extensions;
    response.map(Body::new)
}
