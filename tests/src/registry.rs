//! Programs of others that models go through: an OCI registry on loopback, and what comes with Prometheus.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{free_port, program, wait_for};

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
    /// Its own.
    pub folder: TempDir,
    child: Option<Child>,
}

/// The one user of a registry with log-in, as `user:password`.
pub const USER: &str = "cart7:s3cret-of-the-registry";
/// The same as a registry keeps it, with bcrypt.
const HASHED: &str = "cart7:$2b$04$tUwGf6.mZdd0lTd.iZzyUugJLA4EaGtOuzOmQJNqcGAXNtrcx/3ji\n";

impl Registry {
    /// A registry that runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self> {
        let mut registry = Self { port: free_port()?, folder: tempfile::tempdir()?, child: None };
        registry.configure("")?;
        registry.resume()?;
        Ok(registry)
    }

    /// A registry with TLS as `localhost`, by the certificate `tls/cert.pem` in its folder, for [`USER`] alone.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_closed() -> Result<Self> {
        let mut registry = Self { port: free_port()?, folder: tempfile::tempdir()?, child: None };
        let folder = registry.folder.path().to_owned();
        let mut made = Command::new(program("nervelightd")?);
        made.args(["cert", "--host", "localhost", "--out"]).arg(folder.join("tls"));
        anyhow::ensure!(made.output()?.status.success(), "{made:?}");
        fs::write(folder.join("users"), HASHED)?;
        let folder = folder.display();
        registry.configure(&format!(
            "  tls: {{ certificate: {folder}/tls/cert.pem, key: {folder}/tls/key.pem }}\nauth:\n  htpasswd: {{ realm: \
             models, path: {folder}/users }}\n"
        ))?;
        registry.resume()?;
        Ok(registry)
    }

    /// Writes its configuration; `more` goes on with `http`.
    fn configure(&self, more: &str) -> Result<()> {
        let config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage:\n  filesystem:\n    \
             rootdirectory: {}/data\nhttp:\n  addr: 127.0.0.1:{}\n{more}",
            self.folder.path().display(),
            self.port
        );
        Ok(fs::write(self.folder.path().join("config.yml"), config)?)
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
