//! Who did what, when, and what came of it: one line of JSON each, in a file that only grows, up to a limit.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::http::StatusCode;
use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::{Timestamp, Unit};
use nervelight_engines::store::{atomic, disk};
use nervelight_web::Problem;
use serde::Serialize;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tracing::field::display;

use super::auth::caller::{Caller, Role};
use super::refusals::Refusals;
use crate::lock::lock;
use crate::redact::redact;

/// A file of this size gives way to the next; one before it is kept.
const LONGEST: u64 = 8 << 20;
/// Lines that may wait for the disk.
const WAITING: usize = 256;
/// A disk that takes longer is full or broken.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a handler did, in a few words, as an extension of its answer where the path alone does not say it.
#[derive(Debug, Clone)]
pub struct About(pub String);

/// The audit log. Without a file it is a part of the program's log, where every line of it goes too.
#[derive(Clone)]
pub struct Audit {
    lines: Option<Sender<Line>>,
    refusals: Arc<Mutex<Refusals>>,
}

struct Line {
    text: String,
    /// Who waits until it is on the disk.
    written: Option<oneshot::Sender<bool>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    when: String,
    who: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    what: &'a str,
    result: &'a str,
}

impl Audit {
    /// Writes to the file at `path`, if there is one, on a thread of its own. A file that cannot be written now may be later.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let lines = path.map(|path| {
            let (lines, waiting) = bounded(WAITING);
            let file = File { path: path.into(), is_failing: false };
            thread::Builder::new().name("audit".into()).spawn(move || file.keep(&waiting))?;
            anyhow::Ok(lines)
        });
        Ok(Self { lines: lines.transpose()?, refusals: Arc::default() })
    }

    /// Writes down what `caller` asked for and its `result`.
    pub fn record(&self, caller: &Caller, what: &str, result: &str) {
        self.note(&caller.name, Some(caller.role), Some(caller.address), what, result);
    }

    /// Writes down something that was done for `who` later, such as the end of a deployment.
    pub fn outcome(&self, who: &str, what: &str, result: &str) {
        self.note(who, None, None, what, result);
    }

    /// Writes down what `caller` is about to do; it is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written: then it must not be done.
    pub async fn promise(&self, caller: &Caller, what: &str) -> Result<(), Problem> {
        let (name, role, address) = (caller.name.as_str(), Some(caller.role), Some(caller.address));
        let text = said(name, role, address, what, "begun");
        let Some(lines) = &self.lines else { return Ok(()) };
        let (written, is_written) = oneshot::channel();
        let sent = lines.try_send(Line { text, written: Some(written) }).is_ok();
        if sent && tokio::time::timeout(PATIENCE, is_written).await.is_ok_and(|written| written == Ok(true)) {
            return Ok(());
        }
        let detail = "the audit log cannot be written, and without it no model is changed. Make room on its disk; the \
                      daemon's log says what is wrong";
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_audited", detail))
    }

    /// Writes down that somebody was refused. Who guesses does not fill the log: after some lines in an hour they are counted.
    pub fn refused(&self, address: IpAddr, what: &str, why: &str) {
        if lock(&self.refusals).add(address, why) {
            self.note("unknown", None, Some(address), what, why);
        }
    }

    /// Writes down how many more were refused, once an hour. Called now and then.
    pub fn look(&self) {
        let count = lock(&self.refusals).look();
        if let Some(what) = count {
            self.note("unknown", None, None, &what, "refused");
        }
    }

    /// Waits until all lines are on the disk, for some seconds.
    pub fn finish(&self) {
        let Some(lines) = &self.lines else { return };
        let deadline = Instant::now() + PATIENCE;
        let (written, mut is_written) = oneshot::channel();
        // Without a text: it only comes after all others.
        if lines.send_timeout(Line { text: String::new(), written: Some(written) }, PATIENCE).is_ok() {
            while matches!(is_written.try_recv(), Err(TryRecvError::Empty)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    fn note(&self, who: &str, role: Option<Role>, address: Option<IpAddr>, what: &str, result: &str) {
        let text = said(who, role, address, what, result);
        // The program's log has it in any case.
        let _ = self.lines.as_ref().map(|lines| lines.try_send(Line { text, written: None }));
    }
}

/// Says it in the program's log; returns the line for the file.
fn said(who: &str, role: Option<Role>, address: Option<IpAddr>, what: &str, result: &str) -> String {
    let what = redact(what);
    let now = Timestamp::now();
    let when = now.round(Unit::Millisecond).unwrap_or(now).to_string();
    let (shown_role, shown_address) = (role.map(display), address.map(display));
    tracing::info!(target: "audit", who, role = shown_role, address = shown_address, what = %what, result);
    serde_json::to_string(&Entry { when, who, role, address, what: &what, result }).unwrap_or_default() + "\n"
}

/// The file, opened for each line: it may be moved away, or its disk be full for a while.
struct File {
    path: PathBuf,
    is_failing: bool,
}

impl File {
    fn keep(mut self, waiting: &Receiver<Line>) {
        for Line { text, written } in waiting {
            let done = if text.is_empty() { Ok(()) } else { self.append(&text) };
            match &done {
                Err(error) if !self.is_failing => {
                    let path = self.path.display();
                    tracing::error!(%error, %path, "the audit log cannot be written; no model is changed until it can");
                }
                Ok(()) if self.is_failing => tracing::info!("the audit log is written again"),
                _ => {}
            }
            self.is_failing = done.is_err();
            if let Some(written) = written {
                // Whoever asked may have gone.
                let _ = written.send(done.is_ok());
            }
        }
    }

    fn append(&self, text: &str) -> io::Result<()> {
        let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path);
        let mut file = open()?;
        let mut length = file.metadata()?.len();
        if length + text.len() as u64 > LONGEST {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            fs::rename(&self.path, before)?;
            file = open()?;
            length = file.metadata()?.len();
        }
        let is_new = length == 0;
        let mut line = text.to_owned();
        if !is_new {
            // A power cut may have left half a line.
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, '\n');
            }
        }
        if let Err(error) = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()) {
            let _ = file.set_len(length);
            return Err(error);
        }
        if is_new { disk::sync(atomic::directory(&self.path)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller::new("alice", Role::Deploy, [10, 0, 0, 1].into())
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_promise_is_on_the_disk_when_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(Some(&path)).unwrap();
        audit.promise(&caller(), "POST /api/v1/models/rollback").await.unwrap();
        let written = lines(&path);
        assert_eq!((&written[0]["who"], &written[0]["result"]), (&"alice".into(), &"begun".into()));
        assert_eq!((&written[0]["role"], &written[0]["address"]), (&"deploy".into(), &"10.0.0.1".into()));
        audit.record(&caller(), "say nvl_0a1b2c3d_dGhpcyBpcyBhIHNlY3JldCBv", "200");
        audit.promise(&caller(), "last").await.unwrap();
        assert_eq!(lines(&path)[1]["what"], "say ***");
    }

    #[tokio::test]
    async fn without_room_nothing_is_promised_and_no_half_line_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent/audit.jsonl");
        let audit = Audit::open(Some(&path)).unwrap();
        assert_eq!(audit.promise(&caller(), "x").await.unwrap_err().code, "not_audited");
        fs::create_dir(folder.path().join("absent")).unwrap();
        fs::write(&path, "{\"who\":\"half").unwrap();
        audit.promise(&caller(), "y").await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        // A device that is always full.
        let full = Audit::open(Some(Path::new("/dev/full"))).unwrap();
        assert_eq!(full.promise(&caller(), "x").await.unwrap_err().code, "not_audited");
        Audit::open(None).unwrap().promise(&caller(), "x").await.unwrap();
    }

    #[test]
    fn a_full_file_gives_way_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, vec![b'\n'; LONGEST as usize - 5]).unwrap();
        let file = File { path: path.clone(), is_failing: false };
        file.append("123456\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"123456\n");
        assert_eq!(fs::metadata(folder.path().join("audit.jsonl.1")).unwrap().len(), LONGEST - 5);
    }
}
