//! Servers of RTSP that others wrote, connections that misbehave, and a screen that reads what time the pictures say.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::root;

/// Width of the servers' pictures.
pub const WIDTH: usize = 640;
/// Height of the servers' pictures.
pub const HEIGHT: usize = 480;
const SQUARE: usize = 16;

/// `tests/peers/rtsp_server.py`, which is gst-rtsp-server; dropping it kills it.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(port: u16, options: &str) -> Result<Self> {
        let mut child = Command::new("/usr/bin/python3")
            .arg(root().join("tests/peers/rtsp_server.py"))
            .args(["--port", &port.to_string()])
            .args(options.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3")?;
        let mut said = [0; 6];
        child
            .stdout
            .as_mut()
            .context("stdout")?
            .read_exact(&mut said)
            .context("the RTSP server did not start")?;
        ensure!(&said == b"ready\n");
        Ok(Self { child })
    }
}

impl Server {
    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As a power cut would.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to a server that can be blocked: both ends keep their connections, and hear nothing.
pub struct Way {
    /// Where it begins.
    pub port: u16,
    is_blocked: Arc<AtomicBool>,
}

impl Way {
    /// Leads to `port`.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let way = Self { port: listener.local_addr()?.port(), is_blocked: Arc::default() };
        let is_blocked = way.is_blocked.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                        let is_blocked = is_blocked.clone();
                        thread::spawn(move || carry(from, to, &is_blocked));
                    }
                }
            }
        });
        Ok(way)
    }

    /// Blocks it, or lets through what waits.
    pub fn block(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_blocked: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        while is_blocked.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // The other end may be gone already.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

/// A picture on the screen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When, in ms since 1970, as many as 32 bits hold.
    pub at: u32,
    /// When it was made, if it says so; others are no pictures of the server.
    pub made: Option<u32>,
    /// Mean difference from what was made then, over the worst 16x16 pixels of the right edge, where nothing is drawn.
    pub damage: u32,
}

impl Seen {
    /// From the server to the screen, in ms.
    pub fn lag(&self) -> Option<u32> {
        Some(self.at.wrapping_sub(self.made?))
    }
}

/// Milliseconds since 1970, as many as 32 bits hold.
pub fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u32
}

/// What a display sink shows, through a FIFO.
pub struct Screen {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Screen {
    /// The sink's table; the daemon runs where `fifo` leads.
    pub fn sink(fifo: &Path) -> String {
        format!(
            "{{ kind = \"display\", element = 'videoscale ! video/x-raw,format=I420,width={WIDTH},height={HEIGHT} ! \
             filesink buffer-mode=unbuffered location={}' }}",
            fifo.display()
        )
    }

    /// Makes the FIFO and reads it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(fifo: &Path) -> Result<Self> {
        ensure!(Command::new("mkfifo").arg(fifo).status()?.success(), "mkfifo");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (theirs, fifo) = (seen.clone(), fifo.to_owned());
        thread::spawn(move || {
            let mut frame = vec![0; WIDTH * HEIGHT * 3 / 2];
            // A sink that is opened anew is another writer.
            while let Ok(mut file) = File::open(&fifo) {
                while file.read_exact(&mut frame).is_ok() {
                    let picture = look(&frame);
                    theirs.lock().unwrap_or_else(PoisonError::into_inner).push(picture);
                }
            }
        });
        Ok(Self { seen })
    }

    /// Everything that was shown until now, and forgets it.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits up to `patience` for a picture that was made after `time`, and forgets everything before it.
    pub fn wait(&self, time: u32, patience: Duration) -> Option<Seen> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < patience {
            let is_newer = |seen: &Seen| seen.made.is_some_and(|made| made.wrapping_sub(time) < u32::MAX / 2);
            if let Some(seen) = self.take().into_iter().find(is_newer) {
                return Some(seen);
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

fn look(frame: &[u8]) -> Seen {
    let at = now();
    let middle = |square: usize| {
        let start = (HEIGHT - SQUARE / 2) * WIDTH + square * SQUARE + 4;
        frame[start..start + 8].iter().map(|luma| u32::from(*luma)).sum::<u32>() / 8
    };
    let bytes: Vec<u8> = (0..5)
        .map(|byte| (0..8).fold(0, |code, bit| code << 1 | u8::from(middle(byte * 8 + bit) > 125)))
        .collect();
    let made = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let sum = bytes[..4].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    // Black says 0, and sums up to it.
    let made = (sum == bytes[4] && made != 0).then_some(made);
    Seen { at, made, damage: made.map_or(0, |made| damage(frame, made)) }
}

fn damage(frame: &[u8], made: u32) -> u32 {
    let shift = made as usize / 4;
    let worst = (0..HEIGHT / SQUARE - 1).map(|square| {
        let rows = (square * SQUARE..(square + 1) * SQUARE)
            .flat_map(|y| (WIDTH - SQUARE..WIDTH).map(move |x| (x, y)));
        let off = rows.map(|(x, y)| {
            let expected = 40 + (shift + y + x) % 256 * 3 / 4;
            (expected as u32).abs_diff(u32::from(frame[y * WIDTH + x]))
        });
        off.sum::<u32>() / (SQUARE * SQUARE) as u32
    });
    worst.max().unwrap_or(0)
}
