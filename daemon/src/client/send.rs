//! An upload that goes on where it stopped: after a broken connection, after a restart of either side.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nervelight_engines::Bundle;
use nervelight_engines::digest::sha256_of;
use reqwest::Method;
use reqwest::header::LOCATION;
use serde_json::json;

use crate::client::cart::{self, Cart, ClientError};

/// Bytes of a piece: a slow network takes small ones in time.
const SMALLEST: usize = 64 << 10;
const LARGEST: usize = 4 << 20;
/// A piece takes about so long.
const PIECE: Duration = Duration::from_secs(2);
/// Waits between attempts.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Another sender of the same upload is waited for so long.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// A bundle as it is sent.
#[derive(Debug)]
pub struct Tar {
    file: File,
    /// Bytes of it.
    pub bytes: u64,
    sha256: String,
}

impl Tar {
    /// Of `bundle`.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn of(bundle: &Bundle) -> io::Result<Self> {
        let file = bundle.tar()?;
        let (bytes, sha256) = (file.metadata()?.len(), sha256_of(&file)?);
        Ok(Self { file, bytes, sha256 })
    }
}

/// An upload that is whole.
#[derive(Debug)]
pub struct Sent {
    /// Its path on the cart.
    pub location: String,
}

/// Sends `tar` to `cart`. `at` hears how many bytes are there, and why it waits if it does. It is given up when nothing
/// has got through for `patience`.
///
/// # Errors
/// When the cart refuses, or cannot be reached for so long.
pub async fn send(
    cart: &Cart,
    tar: &Tar,
    patience: Duration,
    mut at: impl FnMut(u64, Option<&str>),
) -> Result<Sent, ClientError> {
    let mut piece = 1 << 20;
    let (mut wait, mut last) = (FIRST_WAIT, Instant::now());
    loop {
        let mut got = |offset| {
            last = Instant::now();
            wait = FIRST_WAIT;
            at(offset, None);
        };
        match attempt(cart, tar, &mut piece, &mut got).await {
            Err(error) if error.is_passing() && last.elapsed() < patience => {
                at(0, Some(&error.to_string()));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                // A piece that did not get through in time may when it is smaller.
                piece = (piece / 2).max(SMALLEST);
            }
            outcome => return outcome,
        }
    }
}

/// One attempt, which ends with a connection.
async fn attempt(
    cart: &Cart,
    tar: &Tar,
    piece: &mut usize,
    got: &mut impl FnMut(u64),
) -> Result<Sent, ClientError> {
    let about = json!({ "bytes": tar.bytes, "sha256": tar.sha256 });
    let response = cart.send(cart.request(Method::POST, "/api/v1/uploads").json(&about)).await?;
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let location = location.filter(|location| location.starts_with("/api/v1/uploads/")).map(str::to_owned);
    let location = location.ok_or_else(|| ClientError::Foreign("an upload without a place".into()))?;
    let mut offset = cart::offset(&response).unwrap_or(0);
    got(offset);
    while offset < tar.bytes {
        let mut bytes = vec![0; (*piece).min((tar.bytes - offset) as usize)];
        tar.file.read_exact_at(&mut bytes, offset).map_err(|error| ClientError::Lost(error.to_string()))?;
        let begun = Instant::now();
        let request = cart.request(Method::PATCH, &location).header("Upload-Offset", offset);
        let request = request.header("Content-Type", "application/offset+octet-stream").body(bytes);
        match cart.send(request).await {
            Ok(response) => {
                let now = cart::offset(&response).filter(|now| (offset + 1..=tar.bytes).contains(now));
                offset = now.ok_or_else(|| ClientError::Foreign("an upload that does not grow".into()))?;
                got(offset);
                *piece = sized(*piece, begun.elapsed());
            }
            Err(error) if error.is_code("upload_busy") => {
                // Somebody else sends the same, or an earlier piece is still being written.
                tokio::time::sleep(BUSY_WAIT).await;
                return Err(ClientError::Lost(error.to_string()));
            }
            Err(ClientError::Refused { offset: Some(there), code, .. }) if code == "upload_offset" => {
                offset = there;
                got(offset);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Sent { location })
}

/// The size of the next piece, after one took so long.
fn sized(piece: usize, took: Duration) -> usize {
    let next = match took {
        took if took < PIECE / 2 => piece * 2,
        took if took > PIECE * 2 => piece / 2,
        _ => piece,
    };
    next.clamp(SMALLEST, LARGEST)
}
