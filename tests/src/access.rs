//! A daemon that others reach over the network: with TLS, and a token for each role. It is asked with `curl`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::web::Answer;
use crate::{Cart, Running, free_port, program, run, wait_for};

/// A name that the certificate is for.
pub const NAME: &str = "cart7.example.org";

/// The daemon, its folder and its tokens.
pub struct Exposed {
    /// The folder, with `cert.pem`, `key.pem`, `tokens.json` and `audit.jsonl`.
    pub cart: Cart,
    /// Where it listens, on every address.
    pub port: u16,
    /// Tokens of `viewer`, `operator` and `deployer`.
    pub tokens: [String; 3],
}

impl Exposed {
    /// Makes certificate, tokens and a configuration; `more` is added to its beginning.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn new(more: &str) -> Result<Self> {
        let port = free_port()?;
        let cart = Cart::new(&format!(
            r#"
            source = {{ kind = "phantom", fps = 15 }}
            model = {{ bundle = "BUNDLE" }}
            engine = {{ precision = "int8" }}
            sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
            {more}
            [http]
            listen = "0.0.0.0:{port}"
            certificate = "cert.pem"
            key = "key.pem"
            tokens = "tokens.json"
            audit = "audit.jsonl"
            "#
        ))?;
        let mut exposed = Self { cart, port, tokens: Default::default() };
        exposed.certify(&[])?;
        exposed.tokens = [
            exposed.add_token("viewer", "view")?,
            exposed.add_token("operator", "operate")?,
            exposed.add_token("deployer", "deploy")?,
        ];
        Ok(exposed)
    }

    /// Runs `nervelightd cert`; returns the fingerprint.
    ///
    /// # Errors
    /// When it fails.
    pub fn certify(&self, more: &[&str]) -> Result<String> {
        let mut command = Command::new(program("nervelightd")?);
        command.args(["cert", "--host", NAME, "--host", "127.0.0.1", "--host", "localhost", "--out"]);
        let ended = run(command.arg(self.cart.dir.path()).args(more))?;
        ensure!(ended.success, "{}", ended.stderr);
        Ok(ended.stdout.trim().trim_start_matches("SHA-256 ").to_owned())
    }

    /// Runs `nervelightd token` with these arguments.
    ///
    /// # Errors
    /// When it fails.
    pub fn token(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program("nervelightd")?);
        let ended =
            run(command.arg("token").args(arguments).arg("--file").arg(self.cart.path("tokens.json")))?;
        ensure!(ended.success, "{}", ended.stderr);
        Ok(ended.stdout.trim().to_owned())
    }

    /// Makes a token.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn add_token(&self, name: &str, role: &str) -> Result<String> {
        self.token(&["add", name, "--role", role])
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&self) -> Result<Running> {
        let running = self.cart.start()?;
        wait_for("the daemon", || {
            let status = self.with(0, "GET", "/api/v1/status", "").ok()?;
            (status.status == 200 && !status.text().contains("\"ai\":\"waiting\"")).then_some(())
        })?;
        Ok(running)
    }

    /// The address as others know it.
    pub fn address(&self) -> String {
        format!("https://{NAME}:{}", self.port)
    }

    /// Asks with the token of this place in [`Self::tokens`].
    ///
    /// # Errors
    /// When there is no answer.
    pub fn with(&self, token: usize, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.ask(method, path, &[&format!("Authorization: Bearer {}", self.tokens[token])], body)
    }

    /// Asks with exactly these headers besides `curl`'s own, over TLS that is verified.
    ///
    /// # Errors
    /// When there is no answer within some seconds.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Result<Answer> {
        let mut command = self.curl();
        command.args(["--request", method, "--max-time", "15", "--include"]);
        if !headers.iter().any(|header| header.starts_with("Content-Type:")) {
            command.args(["--header", "Content-Type: application/json"]);
        }
        headers.iter().for_each(|header| _ = command.args(["--header", header]));
        if method == "HEAD" {
            command.arg("--head");
        }
        command.args(["--data", body]).arg(format!("{}{path}", self.address()));
        let output = command.output().context("curl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl {method} {path}: {said}");
        Answer::read(&output.stdout)
    }

    /// `curl` that knows certificate and address.
    pub fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--cacert"])
            .arg(self.cart.path("cert.pem"))
            .args(["--resolve", &format!("{NAME}:{}:127.0.0.1", self.port)]);
        command
    }

    /// The lines of the audit log.
    ///
    /// # Errors
    /// When one is no JSON.
    pub fn audit(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.audit_path()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    fn audit_path(&self) -> PathBuf {
        self.cart.path("audit.jsonl")
    }

    /// Longer than a running daemon takes to know that a token was revoked.
    pub const REVOKED: Duration = Duration::from_millis(1500);
}

/// The problem's code in an answer that is one.
///
/// # Errors
/// When it is none.
pub fn code(answer: &Answer) -> Result<String> {
    ensure!(answer.head.contains("content-type: application/problem+json"), "{answer:?}");
    let problem: Value = serde_json::from_slice(&answer.body)?;
    ensure!(problem["status"] == answer.status, "{problem}");
    ensure!(
        problem["detail"].as_str().is_some_and(|detail| detail.len() > 10),
        "a sentence for people: {problem}"
    );
    Ok(problem["code"].as_str().context("no code")?.to_owned())
}
