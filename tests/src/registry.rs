//! Programs of others that models go through: an OCI registry on loopback, and what comes with Prometheus.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{free_port, wait_for};

/// A program that `setup.sh test` fetched beside the libraries, or that this system has.
///
/// # Errors
/// When there is none.
pub fn fetched(name: &str) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let system = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(cache.join("nervelight/tools")).chain(std::env::split_paths(&system));
    let found = places.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is missing: run `./setup.sh test`"))
}

/// A registry that keeps what it has in a folder.
pub struct Registry {
    /// Its port on loopback.
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Registry {
    /// A registry that runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self> {
        let mut registry = Self { port: free_port()?, folder: tempfile::tempdir()?, child: None };
        let config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage:\n  filesystem:\n    \
             rootdirectory: {}/data\nhttp:\n  addr: 127.0.0.1:{}\n",
            registry.folder.path().display(),
            registry.port
        );
        fs::write(registry.folder.path().join("config.yml"), config)?;
        registry.resume()?;
        Ok(registry)
    }

    /// The address of a tag in it.
    pub fn uri(&self, tag: &str) -> String {
        format!("oci://127.0.0.1:{}/nervelight/nerve:{tag}", self.port)
    }

    /// Ends it as a power cut does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which a test then finds.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again with what it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn resume(&mut self) -> Result<()> {
        let mut command = Command::new(fetched("docker-registry")?);
        command.arg("serve").arg(self.folder.path().join("config.yml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn()?);
        let port = self.port;
        wait_for("the registry", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs `promtool` in a folder; what it said, if it was content.
///
/// # Errors
/// When it was not, or is not there.
pub fn promtool(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(fetched("promtool")?).current_dir(folder).args(arguments).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "promtool {arguments:?}: {said}");
    Ok(said)
}
