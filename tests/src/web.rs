//! Asks a program's local page as a browser there would, or as others do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::wait_for_line;

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// What follows.
    pub body: Vec<u8>,
}

impl Answer {
    /// Takes the bytes of an answer apart.
    ///
    /// # Errors
    /// When they have no head, or no status in it.
    pub fn read(answer: &[u8]) -> Result<Self> {
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("no head")? + 4;
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Self { status, head, body: answer[end..].to_vec() })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into()
    }
}

/// A connection to the page with bounded waits.
///
/// # Errors
/// When nobody listens.
pub fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Asks with exactly these `headers`, each `Name: value`.
///
/// # Errors
/// When there is no answer.
pub fn ask(port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> Result<Answer> {
    let mut stream = connect(port)?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    Answer::read(&whole(&mut stream)?)
}

/// An answer up to its stated length, for servers that keep the connection; without one up to the connection's end.
fn whole(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut answer = vec![];
    let mut piece = [0; 65536];
    loop {
        let length = match stream.read(&mut piece)? {
            0 => return Ok(answer),
            length => length,
        };
        answer.extend_from_slice(&piece[..length]);
        let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let stated = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if stated.is_some_and(|stated: usize| answer.len() >= end + 4 + stated) {
            return Ok(answer);
        }
    }
}

/// Asks as the page itself does; the body of a good answer.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> Option<Vec<u8>> {
    let (host, origin) = (format!("Host: localhost:{port}"), format!("Origin: http://localhost:{port}"));
    let answer = ask(port, method, path, &[&host, &origin], body).ok()?;
    (answer.status / 100 == 2).then_some(answer.body)
}

/// `/status`.
pub fn status(port: u16) -> Option<Value> {
    serde_json::from_slice(&request(port, "GET", "/status", "")?).ok()
}

/// A program of the trainer that serves a page. It is killed when this is dropped.
pub struct Served {
    program: Child,
    /// Where its page is.
    pub address: String,
}

impl Served {
    /// Starts `command` and waits for the line that says where the page is.
    ///
    /// # Errors
    /// When it cannot be started, or says nothing of a page.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut program = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let said = program.stdout.take().context("no output")?;
        let mut served = Self { program, address: String::new() };
        served.address = wait_for_line(said, |line| {
            line.strip_prefix("open ").and_then(|rest| rest.split(';').next()).map(str::to_owned)
        })?;
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
