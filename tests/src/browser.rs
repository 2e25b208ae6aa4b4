//! A headless Chromium that tests drive as a person would: it clicks, types and looks.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, Key, TypingData, WebDriver, WebElement};
use tokio::runtime::Runtime;

use crate::web::ask;
use crate::{Cart, free_port, wait_for};

/// A page loads and answers well within it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser of its own: fresh profile, one window.
pub struct Browser {
    runtime: Runtime,
    driver: Option<WebDriver>,
    server: Child,
    port: u16,
    _profile: TempDir,
}

impl Browser {
    /// Starts `chromedriver`, and Chromium with a window of 1500 by 950 pixels. None, with the reason
    /// printed, where no `chromedriver` is installed.
    ///
    /// # Errors
    /// When it is installed and does not start.
    pub fn open() -> Result<Option<Self>> {
        let port = free_port()?;
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: no chromedriver in PATH; on Debian, ./setup.sh test installs it");
                return Ok(None);
            }
            server => server.context("chromedriver")?,
        };
        let profile = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut browser = Self { runtime, driver: None, server, port, _profile: profile };
        wait_for("chromedriver", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        let mut wanted = DesiredCapabilities::chrome();
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        for argument in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Pages with a certificate that signs itself.
            "--ignore-certificate-errors",
            "--window-size=1500,950",
            &profile,
        ] {
            wanted.add_arg(argument)?;
        }
        let address = format!("http://127.0.0.1:{port}");
        browser.driver = Some(browser.runtime.block_on(WebDriver::new(address, wanted))?);
        Ok(Some(browser))
    }

    fn driver(&self) -> Result<&WebDriver> {
        self.driver.as_ref().context("the browser is closed")
    }

    /// Opens an address.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn go(&self, address: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.driver()?.goto(address))?)
    }

    /// Waits until the CSS selector finds an element whose text contains `text`.
    ///
    /// # Errors
    /// When there is none for 20 s; says what the page has there instead.
    pub fn see(&self, selector: &str, text: &str) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let there = self.texts(selector)?;
            if there.iter().any(|found| found.contains(text)) {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                let mut said = String::new();
                let _ = write!(said, "{there:?}");
                bail!("no {selector} says {text:?}, but {said}");
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The visible text of every element that the CSS selector finds.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn texts(&self, selector: &str) -> Result<Vec<String>> {
        let script = format!(
            "return [...document.querySelectorAll({})].map(element => element.innerText)",
            Value::from(selector)
        );
        Ok(serde_json::from_value(self.run(&script)?)?)
    }

    /// Clicks the middle of the first element that the CSS selector finds, with the mouse.
    ///
    /// # Errors
    /// When there is none, or something lies over it.
    pub fn click(&self, selector: &str) -> Result<()> {
        self.runtime.block_on(async {
            let element: WebElement = self.driver()?.find(By::Css(selector)).await?;
            element.click().await.with_context(|| format!("click {selector}"))
        })
    }

    /// Types keys, wherever the focus is.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn press(&self, keys: impl Into<TypingData>) -> Result<()> {
        Ok(self.runtime.block_on(self.driver()?.action_chain().send_keys(keys).perform())?)
    }

    /// Types a key while another, such as [`Key::Shift`], is held.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn press_with(&self, held: Key, key: char) -> Result<()> {
        let chain = self.driver()?.action_chain().key_down(held.clone()).send_keys(key).key_up(held);
        Ok(self.runtime.block_on(chain.perform())?)
    }

    /// Draws along `points` of the window with a pointer of this `kind`: `mouse`, `touch` or `pen`.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn stroke(&self, kind: &str, points: &[(i64, i64)]) -> Result<()> {
        let mut actions = vec![];
        for (n, (x, y)) in points.iter().enumerate() {
            actions.push(json!({ "type": "pointerMove", "duration": 30, "x": x, "y": y }));
            if n == 0 {
                actions.push(json!({ "type": "pointerDown", "button": 0 }));
            }
        }
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let parameters = json!({ "pointerType": kind });
        self.act(&json!([{ "type": "pointer", "id": kind, "parameters": parameters, "actions": actions }]))
    }

    /// Presses each of `keys` while `held` is held.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn press_while(&self, held: char, keys: &[char]) -> Result<()> {
        let press = |key: &char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let mut actions = vec![json!({ "type": "keyDown", "value": held })];
        actions.extend(keys.iter().flat_map(press));
        actions.push(json!({ "type": "keyUp", "value": held }));
        self.act(&json!([{ "type": "key", "id": "keys", "actions": actions }]))
    }

    /// Actions as WebDriver has them (w3.org/TR/webdriver2, 15.7); the crate knows no fingers and no pens.
    fn act(&self, actions: &Value) -> Result<()> {
        let path = format!("/session/{}/actions", self.driver()?.session_id());
        let (host, body) =
            (format!("Host: 127.0.0.1:{}", self.port), json!({ "actions": actions }).to_string());
        let answer = ask(self.port, "POST", &path, &[&host], &body)?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    }

    /// Makes the window as large as that of a device, such as a phone of 390 by 844.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn size(&self, width: u32, height: u32) -> Result<()> {
        Ok(self.runtime.block_on(self.driver()?.set_window_rect(0, 0, width, height))?)
    }

    /// What a script returns.
    ///
    /// # Errors
    /// When it throws.
    pub fn run(&self, script: &str) -> Result<Value> {
        Ok(self.runtime.block_on(self.driver()?.execute(script, vec![]))?.json().clone())
    }

    /// Writes what the window shows as PNG.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn picture(&self, path: &Path) -> Result<()> {
        Ok(self.runtime.block_on(self.driver()?.screenshot(path))?)
    }

    /// The same, into the folder that PICTURES names; nothing where it names none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, name: &str) -> Result<()> {
        match std::env::var_os("PICTURES") {
            Some(pictures) => self.picture(&Path::new(&pictures).join(name)),
            None => Ok(()),
        }
    }
}

/// A cart with a page at `port` that shows the overlay however busy the machine is, with a preview and `sinks` besides.
///
/// # Errors
/// When its folder cannot be made.
pub fn cart(port: u16, sinks: &str) -> Result<Cart> {
    Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 15, seed = 7 }}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        sinks = [{{ kind = "preview" }}, {sinks}]
        http = {{ listen = "127.0.0.1:{port}" }}
        "#
    ))
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.runtime.block_on(driver.quit());
        }
        // It ends browsers that are left; a kill would leave them.
        let _ = kill_process(Pid::from_child(&self.server), Signal::TERM);
        let _ = self.server.wait();
    }
}
