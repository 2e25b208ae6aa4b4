//! One cart: requests, and what their failures mean.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nervelight_engines::digest::hex;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::client::answers::{Deployment, Status};
use crate::client::tls::{self, Seen, Trust};
use crate::client::{Address, Sent};
use crate::lock::lock;

/// A connection comes about within it.
const CONNECT: Duration = Duration::from_secs(10);
/// A cart gives up a request after ten seconds by itself.
const ANSWER: Duration = Duration::from_secs(30);
/// Answers of a cart that is busy, or of what stands before it.
const PASSING: [StatusCode; 4] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
];
/// The most that is read of an answer.
const LARGEST_ANSWER: usize = 4 << 20;

/// Why a cart did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It cannot be reached, or is busy: another try may succeed.
    #[error("cannot be reached: {0}")]
    Lost(String),
    /// It is another one, or cannot prove that it is not.
    #[error("is not trusted: {0}")]
    Untrusted(String),
    /// It says no.
    #[error("{detail}")]
    Refused {
        /// HTTP's.
        status: u16,
        /// For programs.
        code: String,
        /// For people.
        detail: String,
        /// Bytes of an upload that are there, where it is about one.
        offset: Option<u64>,
    },
    /// It says something that a cart does not say.
    #[error("answers as no cart does: {0}. Check address and port, and the version of its daemon")]
    Foreign(String),
}

impl ClientError {
    /// Whether another try may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Whether it is a refusal with this code.
    pub fn is_code(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == expected)
    }
}

/// One cart.
pub struct Cart {
    /// Where it is.
    pub address: Address,
    client: Client,
    seen: Seen,
}

impl Cart {
    /// The cart at `address`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the token or an authority's certificate cannot be used.
    pub fn new(address: Address, token: Option<&str>, trust: &Trust) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_str(&address.origin())?);
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| anyhow!("the token holds a character that no token has"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let seen = Arc::new(Mutex::new(None));
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("nervelightd/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        if address.is_loopback() {
            builder = builder.no_proxy();
        }
        if let Some(config) = tls::config(&address, trust, &seen)? {
            builder = builder.tls_backend_preconfigured(config);
        }
        let client = builder.build().context("no TLS here")?;
        Ok(Self { address, client, seen })
    }

    /// The address with the fingerprint of the certificate that it showed, if it was not known before.
    pub fn newly_pinned(&self) -> Option<String> {
        let seen = *lock(&self.seen);
        seen.filter(|_| self.address.fingerprint.is_none()).map(|seen| self.address.pinned(&seen))
    }

    /// A request to `path`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.address.join(path))
    }

    /// What a request came to that had no answer.
    fn failure(&self, error: &reqwest::Error) -> ClientError {
        match (failure(error), self.address.fingerprint, *lock(&self.seen)) {
            (ClientError::Untrusted(_), Some(expected), Some(found)) if expected != found => {
                ClientError::Untrusted(format!(
                    "its certificate has the fingerprint {}, expected was {}. If it was given another certificate, \
                     correct the address; else somebody is in between",
                    hex(&found),
                    hex(&expected)
                ))
            }
            (ClientError::Untrusted(why), None, _) => ClientError::Untrusted(format!(
                "{why}. Name its fingerprint, as URL#sha256=FINGERPRINT, or the authority that signed its \
                 certificate, with --ca"
            )),
            (error, ..) => error,
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When nothing comes back, or a refusal.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let offset = offset(&response);
        let body = body(response).await.unwrap_or_default();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        let detail = text("detail").unwrap_or_else(|| format!("HTTP status {status}"));
        if PASSING.contains(&status) {
            return Err(ClientError::Lost(detail));
        }
        match text("code") {
            Some(code) => Err(ClientError::Refused { status: status.as_u16(), code, detail, offset }),
            None => Err(ClientError::Foreign(detail)),
        }
    }

    /// What a request is answered with.
    ///
    /// # Errors
    /// Those of [`Self::send`], and when it is something else.
    pub async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        serde_json::from_slice(&body(response).await?)
            .map_err(|error| ClientError::Foreign(error.to_string()))
    }

    /// What `GET path` answers.
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// The present or last deployment, if there was one.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn deployment(&self) -> Result<Option<Deployment>, ClientError> {
        match self.get("/api/v1/deployment").await {
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            answer => answer,
        }
    }

    /// The digest of the model at work, if that is known.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub async fn active(&self) -> Result<Option<String>, ClientError> {
        let status: Status = self.get("/api/v1/status").await?;
        Ok(status.model.map(|model| model.digest))
    }

    /// Deploys what was uploaded; the number of the deployment.
    ///
    /// # Errors
    /// Why it did not begin.
    pub async fn deploy(&self, sent: &Sent) -> Result<u64, ClientError> {
        let request = self.request(Method::POST, &format!("{}/deploy", sent.location));
        let answer: serde_json::Value = self.answer(request).await?;
        answer["deploying"]["deployment"]
            .as_u64()
            .ok_or_else(|| ClientError::Foreign("no number of the deployment".into()))
    }
}

/// The bytes of an answer, which is not read without end.
async fn body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut bytes = vec![];
    while let Some(piece) = response.chunk().await.map_err(|error| failure(&error))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LARGEST_ANSWER {
            return Err(ClientError::Foreign("the answer has no end".into()));
        }
    }
    Ok(bytes)
}

/// Bytes of an upload that are there.
pub fn offset(response: &Response) -> Option<u64> {
    response.headers().get("upload-offset")?.to_str().ok()?.parse().ok()
}

/// What a request came to that had no answer.
fn failure(error: &reqwest::Error) -> ClientError {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut is_untrusted = false;
    while let Some(error) = cause {
        // The address stands before it already, and the last cause says most.
        text = error.to_string();
        is_untrusted |= text.contains("certificate");
        cause = error.source();
    }
    match is_untrusted {
        true => ClientError::Untrusted(text.trim_start_matches("invalid peer certificate: ").into()),
        false if error.is_timeout() => ClientError::Lost("no answer in time".into()),
        false => ClientError::Lost(text),
    }
}
