//! Models come and go on a running cart, over HTTP: good ones stay, each bad one goes back by its own gate, and the video does
//! not notice.
#![allow(clippy::unwrap_used)]

mod back;
mod crash;
mod gates;
mod operator;
mod page;
mod shadow;
mod swaps;
#[cfg(feature = "tensorrt")]
mod tensorrt;

use std::path::PathBuf;

use nervelight_tests::bundles::Recipe;
use nervelight_tests::deploy::{deploy, deployment};
use nervelight_tests::web::status;
use nervelight_tests::{Cart, Running, free_port, wait_for};
use serde_json::Value;

/// The model that every cart here begins with.
pub const FIRST: Recipe =
    Recipe { a: 1.0, b: 0.0, rounds: 0, fails: false, hangs: false, lies: false, serial: None };

/// A running cart with a store, whose first model is [`FIRST`].
pub struct Ward {
    /// Its folder.
    pub cart: Cart,
    /// Its page.
    pub port: u16,
    /// The daemon, while it runs.
    pub running: Option<Running>,
}

/// What differs from cart to cart.
pub struct Setting<'a> {
    /// `[source]`
    pub source: &'a str,
    /// `[deploy]`
    pub deploy: &'a str,
    /// `[sync]`
    pub sync: &'a str,
    /// `[engine]`
    pub engine: &'a str,
    /// `[model]`
    pub model: &'a str,
    /// `sinks`
    pub sinks: &'a str,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            source: "{ kind = \"phantom\", fps = 30, seed = 7 }",
            deploy: "{ probation_s = 2, probation_frames = 40, max_latency_factor = 1000 }",
            // However busy the machine is; so is the factor.
            sync: "{ mode = \"latest\", max_mask_age_ms = 5000, engine_timeout_ms = 5000 }",
            engine: "{ backend = \"onnx\", threads = 1 }",
            model: "{ bundle = \"first.tar\", store = \"store\" }",
            sinks: "{ kind = \"null\" }",
        }
    }
}

impl Ward {
    /// Starts one.
    pub fn new(setting: Setting<'_>) -> Self {
        Self::with(setting, FIRST)
    }

    /// Starts one with another first model.
    pub fn with(setting: Setting<'_>, first: Recipe) -> Self {
        let mut ward = Self::prepared(setting);
        first.write(&ward.cart.path("first.tar"), "1").unwrap();
        ward.running = Some(ward.cart.start().unwrap());
        ward
    }

    /// One that does not run yet, and has no model.
    pub fn prepared(setting: Setting<'_>) -> Self {
        let port = free_port().unwrap();
        let Setting { source, deploy, sync, engine, model, sinks } = setting;
        let cart = Cart::new(&format!(
            "source = {source}\nmodel = {model}\nengine = {engine}\nsync = {sync}\ndeploy = {deploy}\n\
             http = {{ listen = \"127.0.0.1:{port}\" }}\nreport = {{ path = \"report.json\" }}\nsinks = [{sinks}]\n\
             overlay = {{ outline = false }}\n"
        ))
        .unwrap();
        Self { cart, port, running: None }
    }

    /// Waits until the first model has answered some frames.
    pub fn settled(self) -> Self {
        self.until("a history", |s| s["ai"] == "on" && s["frames_masked"].as_u64() > Some(70));
        self
    }

    /// A bundle that was made of a recipe.
    pub fn bundle(&self, name: &str, recipe: Recipe) -> PathBuf {
        let path = self.cart.path(&format!("{name}.tar"));
        recipe.write(&path, name).unwrap();
        path
    }

    /// Deploys a bundle that is made of `recipe`; returns the number of the deployment.
    pub fn deploy(&self, name: &str, recipe: Recipe) -> u64 {
        let (status, answer) = deploy(self.port, &self.bundle(name, recipe)).unwrap();
        assert_eq!(status, 202, "{answer}");
        let id = answer["deploying"]["deployment"].as_u64().unwrap();
        assert_eq!(deployment(self.port).unwrap()["id"], id, "it is known at once");
        id
    }

    /// `/status`, once `is_so` of it.
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || status(self.port).filter(&is_so)).unwrap_or_else(|error| {
            panic!("{error}: {:#}", status(self.port).unwrap_or_default());
        })
    }

    /// The deployment, once it is in one of these states.
    pub fn until_state(&self, states: &[&str]) -> Value {
        let is_so = |d: &Value| states.iter().any(|state| d["state"] == *state);
        wait_for(&states.join(" or "), || deployment(self.port).filter(is_so)).unwrap_or_else(|error| {
            panic!("{error}: {:#}", deployment(self.port).unwrap_or_default());
        })
    }

    /// Its end.
    pub fn ended(&self) -> Value {
        self.until_state(&["kept", "refused", "failed", "rolled_back"])
    }

    /// The version of the model that is shown.
    pub fn shown(&self) -> String {
        status(self.port).unwrap()["model"]["version"].as_str().unwrap().into()
    }

    /// Stops the daemon in order; its report.
    pub fn stop(mut self) -> Value {
        let ended = self.running.take().unwrap().terminate().unwrap();
        assert!(ended.success, "{}", ended.stderr);
        let report = self.cart.report().unwrap();
        let number = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(number("frames_in"), number("frames_out") + number("dropped"), "{report:#}");
        report
    }
}
