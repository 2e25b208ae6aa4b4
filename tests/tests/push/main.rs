//! Models on their way to carts: uploads, the client that sends them, registries that carts follow, and what a fleet's
//! Prometheus makes of it. The other ends are programs of others: curl, skopeo, docker-registry, promtool.
#![allow(clippy::unwrap_used)]

mod client;
mod fleet;
mod follow;
mod registry;
mod uploads;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nervelight_tests::bundles::Recipe;
use nervelight_tests::web::status;
use nervelight_tests::{Cart, Running, free_port, program, run, wait_for};
use serde_json::Value;

/// The model that every cart here begins with.
pub const FIRST: Recipe =
    Recipe { a: 1.0, b: 0.0, rounds: 0, fails: false, hangs: false, lies: false, serial: Some(1) };

/// Nearly the same.
pub fn good(serial: u64) -> Recipe {
    Recipe { b: 1.0, serial: Some(serial), ..FIRST }
}

/// Proves itself on its golden frames, and fails on those of a patient.
pub fn bad(serial: u64) -> Recipe {
    Recipe { fails: true, serial: Some(serial), ..FIRST }
}

/// A bundle that was made of a recipe, as a tar, in `folder`.
pub fn bundle(folder: &Path, name: &str, recipe: Recipe) -> PathBuf {
    let path = folder.join(format!("{name}.tar"));
    if !path.exists() {
        recipe.write(&path, name).unwrap();
    }
    path
}

/// Writes a file that nobody else may read.
pub fn secret(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    path.into()
}

/// A cart with a store of models.
pub struct Ward {
    /// Its folder.
    pub cart: Cart,
    /// Where its page is.
    pub port: u16,
    /// Its daemon, while that runs.
    pub running: Option<Running>,
}

impl Ward {
    /// Runs with these lines in `[model]`, and these at the end of the file.
    pub fn new(model: &str, more: &str) -> Self {
        let mut ward = Self::stopped(model, more);
        ward.start();
        ward
    }

    /// The same, not running yet.
    pub fn stopped(model: &str, more: &str) -> Self {
        let port = free_port().unwrap();
        let cart = Cart::new(&format!(
            "source = {{ kind = \"phantom\", fps = 8, seed = 7 }}\nengine = {{ backend = \"onnx\", threads = 1 }}\n\
             sync = {{ mode = \"latest\", max_mask_age_ms = 5000, engine_timeout_ms = 5000 }}\n\
             deploy = {{ probation_s = 2, probation_frames = 8, max_latency_factor = 1000.0, max_off_share = 1.0 }}\n\
             http = {{ listen = \"127.0.0.1:{port}\" }}\nsinks = [{{ kind = \"null\" }}]\n\
             [model]\nbundle = \"first.tar\"\nstore = \"store\"\nrequire_signature = false\n{model}\n{more}\n"
        ))
        .unwrap();
        FIRST.write(&cart.path("first.tar"), "1").unwrap();
        Self { cart, port, running: None }
    }

    /// Adds keys to the section `http`, before it runs.
    pub fn set_http(&self, keys: &str) {
        let path = self.cart.path("cart.toml");
        let own = format!("listen = \"127.0.0.1:{}\"", self.port);
        let text = fs::read_to_string(&path).unwrap().replace(&own, &format!("{own}, {keys}"));
        fs::write(path, text).unwrap();
    }

    /// Makes a token with this role; the file that holds it.
    pub fn token(&self, name: &str, role: &str) -> PathBuf {
        let mut command = Command::new(program("nervelightd").unwrap());
        let ended = run(command
            .args(["token", "add", name, "--role", role, "--file"])
            .arg(self.cart.path("tokens.json")));
        secret(&self.cart.path(&format!("{name}.token")), ended.unwrap().stdout.trim())
    }

    /// Starts its daemon, and waits for the page.
    pub fn start(&mut self) {
        self.running = Some(self.cart.start().unwrap());
        wait_for("the page", || status(self.port)).unwrap();
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        drop(self.running.take());
    }

    /// The address of its page.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The version of the model that is shown.
    pub fn shown(&self) -> String {
        status(self.port).unwrap_or_default()["model"]["version"].as_str().unwrap_or_default().into()
    }

    /// `/status`, once `is_so` of it.
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || status(self.port).filter(&is_so)).unwrap_or_else(|error| {
            panic!("{error}: {:#}", status(self.port).unwrap_or_default());
        })
    }

    /// Files in the folder of uploads.
    pub fn uploads(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cart.path("store/uploads")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}
