//! Runs the built programs as their users would, and looks at what they made.

pub mod access;
pub mod browser;
pub mod bundles;
pub mod clock;
pub mod deploy;
#[cfg(feature = "tensorrt")]
pub mod fake_tensorrt;
pub mod igtl;
pub mod onnx;
pub mod proof;
pub mod registry;
pub mod rtsp;
pub mod rtsp_server;
pub mod screen;
pub mod video;
pub mod web;
pub mod whep;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The demo model's bundle.
pub fn demo_bundle() -> PathBuf {
    root().join("engines/demo.bundle")
}

/// A program of the workspace, built beside this test.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe()?;
    let path = test.parent().and_then(Path::parent).context("no build folder")?.join(name);
    ensure!(
        path.exists(),
        "{} is not built: run `make test`, or `cargo build -p {name}` first",
        path.display()
    );
    Ok(path)
}

/// A folder with a configuration, in which `nervelightd` runs.
pub struct Cart {
    /// The folder; paths in the configuration are relative to it.
    pub dir: TempDir,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Cart {
    /// A folder of its own that holds `config` as `cart.toml`. `BUNDLE` in it stands for the demo
    /// model.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(config: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let bundle = demo_bundle().canonicalize().unwrap_or_else(|_| demo_bundle());
        let config = config.replace("BUNDLE", &bundle.display().to_string());
        fs::write(dir.path().join("cart.toml"), config)?;
        Ok(Self { dir })
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command `nervelightd VERB --config cart.toml`.
    ///
    /// # Errors
    /// When the daemon has not been built.
    pub fn command(&self, verb: &str) -> Result<Command> {
        let mut command = Command::new(program("nervelightd")?);
        command.args([verb, "--config"]).arg(self.path("cart.toml")).env_remove("NOTIFY_SOCKET");
        Ok(command)
    }

    /// Runs `nervelightd VERB` to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, verb: &str) -> Result<Ended> {
        run(&mut self.command(verb)?)
    }

    /// Runs the daemon and expects it to refuse; returns what it said.
    ///
    /// # Errors
    /// When it did not refuse.
    pub fn refused(&self) -> Result<String> {
        let ended = self.run("run")?;
        ensure!(!ended.success, "it was expected to fail: {ended:?}");
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        Ok(ended.stderr)
    }

    /// Starts `nervelightd run` and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<Running> {
        self.start_as(self.command("run")?)
    }

    /// Starts `command` in the place of `nervelightd run`, and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_as(&self, mut command: Command) -> Result<Running> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().map(read_beside);
        let stderr = child.stderr.take().map(read_beside);
        Ok(Running { child, stdout, stderr })
    }

    /// `report.json` in the folder.
    ///
    /// # Errors
    /// When there is none, or it is no JSON.
    pub fn report(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.path("report.json")).context("report.json")?)?)
    }
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    /// Resident memory in KiB.
    pub resident: i64,
    /// Open descriptors.
    pub descriptors: i64,
    /// Threads.
    pub threads: i64,
}

/// What the process `pid` holds now.
///
/// # Errors
/// When it is gone.
pub fn footprint(pid: Pid) -> Result<Footprint> {
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    let status = fs::read_to_string(format!("{folder}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory")?;
    let count = |name: &str| Ok::<_, anyhow::Error>(fs::read_dir(format!("{folder}/{name}"))?.count() as i64);
    Ok(Footprint {
        resident: resident.trim().trim_end_matches(" kB").parse()?,
        descriptors: count("fd")?,
        threads: count("task")?,
    })
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started.
pub fn run(command: &mut Command) -> Result<Ended> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    Ok(Ended {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into(),
        stderr: String::from_utf8_lossy(&output.stderr).into(),
    })
}

/// Waits up to 60 s for a line of `from` in which `find` finds something; the lines after it are read
/// and forgotten, so that the program never waits for a reader.
///
/// # Errors
/// When there is no such line.
pub fn wait_for_line<T: Send + 'static>(
    from: impl Read + Send + 'static,
    find: impl Fn(&str) -> Option<T> + Send + 'static,
) -> Result<T> {
    let (sender, found) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some(value) = find(&line) {
                // Nobody waits for a second one.
                let _ = sender.send(value);
            }
        }
    });
    found.recv_timeout(Duration::from_secs(60)).context("the program did not say what was waited for")
}

/// Reads all of `from` in a thread of its own, so that the program never waits for a reader.
fn read_beside(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before a failure is shown.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into()
    })
}

/// A daemon that runs until it is told to stop.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Of the daemon.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Stops it as a hanging machine would; [`Signal::CONT`] lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When it does not end within 40 s.
    pub fn terminate(self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        self.end()
    }

    /// Waits for the end after a signal.
    ///
    /// # Errors
    /// When it does not end within 40 s.
    pub fn end(mut self) -> Result<Ended> {
        let deadline = Instant::now() + Duration::from_secs(40);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                bail!("it did not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |said: Option<JoinHandle<String>>| {
            said.and_then(|said| said.join().ok()).context("what it said was not read")
        };
        Ok(Ended {
            success: status.success(),
            code: status.code(),
            stdout: read(self.stdout.take())?,
            stderr: read(self.stderr.take())?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended in the good case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits up to 60 s until `ready` gives something.
///
/// # Errors
/// When it does not.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ready() {
            Some(value) => return Ok(value),
            None if Instant::now() > deadline => bail!("waited 60 s for {what}"),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A TCP port that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
