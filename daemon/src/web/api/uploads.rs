//! Bundles on their way in: an upload is begun, sent in pieces that follow on each other, and deployed when it is whole.
//! Files are written off the thread that answers.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use nervelight_web::Problem;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::StreamExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::{Command, ModelCommand, Reply};
use crate::upload::{About, Part, PartWriter, UploadError, Uploads};
use crate::web::Page;
use crate::web::audit;
use crate::web::auth::Caller;

/// Where the next piece begins, as resumable uploads name it.
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// Parts of a piece that wait for the disk.
const WAITING: usize = 4;
/// Bytes that are written before they are brought to the disk.
const UNSYNCED: usize = 4 << 20;

/// The routes.
pub fn router() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(look, send, give_up)).routes(routes!(deploy))
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        use StatusCode as Is;
        let (status, code) = match &error {
            UploadError::Size { .. } => (Is::PAYLOAD_TOO_LARGE, "upload_size"),
            UploadError::NoDigest => (Is::BAD_REQUEST, "bad_request"),
            UploadError::Many(_) => (Is::TOO_MANY_REQUESTS, "upload_many"),
            UploadError::Room { .. } => (Is::INSUFFICIENT_STORAGE, "no_space"),
            UploadError::Unknown => (Is::NOT_FOUND, "upload_unknown"),
            UploadError::Offset(_) => (Is::CONFLICT, "upload_offset"),
            UploadError::Busy(_) => (Is::CONFLICT, "upload_busy"),
            UploadError::More(_) => (Is::PAYLOAD_TOO_LARGE, "upload_more"),
            UploadError::Unfinished { .. } => (Is::CONFLICT, "upload_unfinished"),
            UploadError::Digest { .. } => (Is::UNPROCESSABLE_ENTITY, "upload_digest"),
            UploadError::Disk(_) => (Is::INTERNAL_SERVER_ERROR, "upload_disk"),
        };
        let problem = Self::new(status, code, error.to_string());
        match error {
            UploadError::Many(_) => problem.after(60),
            UploadError::Busy(_) => problem.after(1),
            _ => problem,
        }
    }
}

/// What is announced of an upload.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Announced {
    /// Bytes of the bundle's tar.
    #[schema(minimum = 1)]
    bytes: u64,
    /// SHA-256 of it, in hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

/// An upload.
#[derive(Serialize, utoipa::ToSchema)]
struct Upload {
    /// Its name.
    id: String,
    /// Bytes of the whole.
    bytes: u64,
    /// SHA-256 of the whole.
    sha256: String,
    /// Bytes that are there.
    offset: u64,
}

impl Upload {
    fn of(part: &Part) -> Self {
        let About { bytes, sha256, .. } = &part.about;
        Self { id: part.id.clone(), bytes: *bytes, sha256: sha256.clone(), offset: part.offset() }
    }

    /// With its place and offset as headers.
    fn respond(self, status: StatusCode) -> Response {
        let location = format!("/api/v1/uploads/{}", self.id);
        let headers = [(header::LOCATION, location), (OFFSET, self.offset.to_string())];
        (status, headers, Json(self)).into_response()
    }
}

/// Begins an upload, or finds the one that the same caller began with the same bytes: its place is in `Location`, and
/// `Upload-Offset` says how many bytes are there.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "models", security(("token" = ["deploy"])),
    request_body = Announced, responses((status = 201, body = Upload), (status = 200, body = Upload)))]
async fn begin(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    Json(announced): Json<Announced>,
) -> Result<Response, Problem> {
    let uploads = uploads(page)?;
    let about = About { owner: caller.name, bytes: announced.bytes, sha256: announced.sha256 };
    let (part, is_new) = off_thread(move || uploads.begin(about)).await?;
    Ok(Upload::of(&part).respond(if is_new { StatusCode::CREATED } else { StatusCode::OK }))
}

/// How far an upload is; `HEAD` says it in `Upload-Offset` alone.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "models", security(("token" = ["deploy"])),
    params(("id" = String, Path, description = "The upload's name, from `Location`.")),
    responses((status = 200, body = Upload)))]
async fn look(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let part = uploads(page)?.find(&caller.name, &id)?;
    Ok(Upload::of(&part).respond(StatusCode::OK))
}

/// Sends the bytes from `Upload-Offset` on. What came of a piece that broke off is kept; the answer's `Upload-Offset` says
/// where to go on, be it a success or a conflict.
#[utoipa::path(patch, path = "/api/v1/uploads/{id}", tag = "models", security(("token" = ["deploy"])),
    extensions(("x-audit" = json!(false))),
    params(
        ("id" = String, Path, description = "The upload's name, from `Location`."),
        ("Upload-Offset" = u64, Header, description = "Bytes that are there.")
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204)))]
async fn send(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let offset = headers.get(OFFSET).and_then(|offset| offset.to_str().ok()?.parse().ok());
    let offset = offset.ok_or_else(|| {
        Problem::of(StatusCode::BAD_REQUEST, "say in Upload-Offset how many bytes are there already")
    })?;
    let part = uploads(page)?.find(&caller.name, &id)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let sent = match part.writer(offset) {
        // Nothing of a piece that is too long is taken.
        Ok(_) if announced.unwrap_or(0) > part.about.bytes - offset => {
            Err(UploadError::More(part.about.bytes))
        }
        Ok(writer) => write(writer, body).await,
        Err(error) => Err(error),
    };
    let there = HeaderValue::from(part.offset());
    let mut response = match sent {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Problem::from(error).into_response(),
    };
    response.headers_mut().insert(OFFSET, there);
    Ok(response)
}

/// Gives an upload up, and frees its room.
#[utoipa::path(delete, path = "/api/v1/uploads/{id}", tag = "models", security(("token" = ["deploy"])),
    params(("id" = String, Path, description = "The upload's name, from `Location`.")),
    responses((status = 204)))]
async fn give_up(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let uploads = uploads(page)?;
    off_thread(move || uploads.give_up(&caller.name, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deploys an upload that is whole. The answer comes when that has begun; `/api/v1/deployment` says how it goes on.
#[utoipa::path(post, path = "/api/v1/uploads/{id}/deploy", tag = "models", security(("token" = ["deploy"])),
    params(("id" = String, Path, description = "The upload's name, from `Location`.")),
    responses((status = 202, body = Object)))]
async fn deploy(
    State(page): State<Page>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Extension<audit::About>, Json<Reply>), Problem> {
    // What was begun comes to its end, whether somebody waits for the answer or not.
    let deployed = tokio::spawn(async move {
        let control = page.control.clone();
        let uploads = uploads(page)?;
        let part = uploads.find(&caller.name, &id)?;
        let taken = uploads.clone();
        let owner = caller.name.clone();
        let bundle = off_thread(move || taken.take(&owner, &id)).await?;
        let command = ModelCommand::Deploy { bundle: bundle.clone(), who: caller.name };
        match control.ask(Command::Model(command)).await {
            Ok(reply) => Ok((reply, part.about.sha256.clone())),
            Err(error) => {
                // It need not be sent again.
                let _ = spawn_blocking(move || uploads.give_back(part, &bundle)).await;
                Err(Problem::from(error))
            }
        }
    });
    let (reply, sha256) = deployed.await.map_err(|_| internal())??;
    Ok((StatusCode::ACCEPTED, Extension(audit::About(format!("sha256={sha256}"))), Json(reply)))
}

/// Hands the parts of a piece to a thread that writes them. Where the request ends early, what has come is written.
async fn write(mut writer: PartWriter, body: Body) -> Result<(), UploadError> {
    let (parts, mut waiting) = mpsc::channel::<axum::body::Bytes>(WAITING);
    let written = spawn_blocking(move || {
        let mut unsynced = 0;
        while let Some(part) = waiting.blocking_recv() {
            writer.write(&part)?;
            unsynced += part.len();
            if unsynced >= UNSYNCED {
                writer.sync()?;
                unsynced = 0;
            }
        }
        writer.sync()
    });
    let mut body = body.into_data_stream();
    let mut broken = None;
    while let Some(part) = body.next().await {
        match part {
            // The writer has stopped, and says why below.
            Ok(part) => {
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(std::io::Error::other(error));
                break;
            }
        }
    }
    drop(parts);
    let written = written.await.unwrap_or_else(|error| Err(UploadError::Disk(std::io::Error::other(error))));
    written.and(broken.map_or(Ok(()), |error| Err(UploadError::Disk(error))))
}

fn uploads(page: Page) -> Result<Uploads, Problem> {
    page.uploads.ok_or_else(|| {
        let detail = "there is no store of models here, so nothing can be deployed. Set model.store in the \
                      configuration to a folder";
        Problem::new(StatusCode::CONFLICT, "no_store", detail)
    })
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
) -> Result<T, Problem> {
    Ok(spawn_blocking(work).await.map_err(|_| internal())??)
}

fn internal() -> Problem {
    Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "this failed inside of the daemon; its log says more")
}
