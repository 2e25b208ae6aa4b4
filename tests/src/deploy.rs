//! Sends bundles to a running daemon, and asks it about its models, as programs do.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nervelight_engines::digest::sha256;
use serde_json::{Value, json};

use crate::web::{Answer, ask, connect};

/// Asks with a body of any bytes.
///
/// # Errors
/// When there is no answer.
pub fn send(port: u16, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Answer> {
    let mut stream = connect(port)?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n{headers}\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    Answer::read(&answer)
}

/// Asks as the page does; the answer's status and JSON.
///
/// # Errors
/// When there is no answer.
pub fn api(port: u16, method: &str, path: &str) -> Result<(u16, Value)> {
    let (host, origin) = (format!("Host: localhost:{port}"), format!("Origin: http://localhost:{port}"));
    let answer = ask(port, method, path, &[&host, &origin], "")?;
    Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
}

/// Uploads the tar at `path`; returns the upload's address.
///
/// # Errors
/// When the daemon refuses it.
pub fn upload(port: u16, path: &Path) -> Result<String> {
    let bytes = fs::read(path)?;
    let wish = json!({ "bytes": bytes.len(), "sha256": sha256(&bytes) }).to_string();
    let json = ["Content-Type: application/json"];
    let made = send(port, "POST", "/api/v1/uploads", &json, wish.as_bytes())?;
    ensure!(made.status == 201, "{}: {}", made.status, made.text());
    let location =
        made.head.lines().find_map(|line| line.strip_prefix("location:")).context("no location")?;
    let location = location.trim().to_owned();
    let chunk = ["Upload-Offset: 0", "Content-Type: application/offset+octet-stream"];
    let put = send(port, "PATCH", &location, &chunk, &bytes)?;
    ensure!(put.status / 100 == 2, "{}: {}", put.status, put.text());
    Ok(location)
}

/// Uploads the tar at `path` and deploys it; the answer's status and JSON.
///
/// # Errors
/// When it cannot be uploaded.
pub fn deploy(port: u16, path: &Path) -> Result<(u16, Value)> {
    let location = upload(port, path)?;
    api(port, "POST", &format!("{location}/deploy"))
}

/// The present deployment, or the last one.
pub fn deployment(port: u16) -> Option<Value> {
    let (status, deployment) = api(port, "GET", "/api/v1/deployment").ok()?;
    (status == 200).then_some(deployment)
}
