//! `nervelightd models --to`: the same over the network, on any number of carts.

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Cart, ClientError};
use crate::cmd::remote::RemoteOptions;

/// What to do about the models of carts.
#[derive(Debug, Clone)]
pub enum What {
    /// List them.
    List,
    /// Show the stored one with this digest.
    Use(String),
    /// Show the one before.
    RollBack,
    /// Remove what nothing needs.
    Prune,
    /// Run the stored one with this digest on spare time, or none any more.
    Shadow(Option<String>),
    /// How the one on spare time agrees with the shown one.
    ShadowReport,
}

impl What {
    fn request(&self) -> (Method, String) {
        let at = |rest: &str| format!("/api/v1/{rest}");
        match self {
            Self::List => (Method::GET, at("models")),
            Self::Use(digest) => (Method::POST, at(&format!("models/{digest}/use"))),
            Self::RollBack => (Method::POST, at("models/rollback")),
            Self::Prune => (Method::POST, at("models/prune")),
            Self::Shadow(Some(digest)) => (Method::POST, at(&format!("models/{digest}/shadow"))),
            Self::Shadow(None) => (Method::DELETE, at("shadow")),
            Self::ShadowReport => (Method::GET, at("shadow")),
        }
    }
}

/// Does it on every cart, one after the other, and prints what each answers.
///
/// # Errors
/// When a digest is none, and when a cart did not do it.
pub fn remote(options: &RemoteOptions, what: &What, as_json: bool) -> Result<()> {
    if let What::Use(digest) | What::Shadow(Some(digest)) = what
        && !digest.chars().all(|c| c.is_ascii_hexdigit())
    {
        bail!("{digest:?} is no digest. `nervelightd models list` shows those that are stored");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let carts = options.carts()?;
    let mut answers = vec![];
    let mut failed = 0;
    for cart in &carts {
        let name = cart.address.to_string();
        match runtime.block_on(ask(cart, what)) {
            Ok(answer) if as_json => answers.push(json!({ "cart": name, "answer": answer })),
            Ok(answer) => out!("{name}\n{}", describe(what, &answer)),
            Err(error) => {
                failed += 1;
                answers.push(json!({ "cart": name, "error": error.to_string() }));
                errln!("{name}: {error}");
            }
        }
    }
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&answers)?);
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} carts did not do it", carts.len()),
    }
}

async fn ask(cart: &Cart, what: &What) -> Result<Value, ClientError> {
    let (method, path) = what.request();
    cart.answer(cart.request(method, &path)).await
}

/// An answer for people.
fn describe(what: &What, answer: &Value) -> String {
    match what {
        What::List => table(answer),
        What::ShadowReport => format!("{answer:#}\n"),
        What::Use(_) | What::RollBack => {
            "  the model is being opened, and is shown once it is proven\n".into()
        }
        What::Prune => {
            let digests = answer["pruned"]["digests"].as_array().map_or(0, Vec::len);
            format!("  {digests} bundles removed\n")
        }
        What::Shadow(Some(_)) => "  it runs on spare time once it is open\n".into(),
        What::Shadow(None) => "  none runs on spare time any more\n".into(),
    }
}

fn table(store: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut table = String::new();
    for model in store["models"].as_array().into_iter().flatten() {
        let digest = text(&model["digest"]);
        let is = |key: &str| store[key] == digest.as_str();
        let mark = match () {
            () if is("probation") => "on probation",
            () if is("active") => "active",
            () if is("previous") => "previous",
            () => "",
        };
        let serial = model["serial"].as_u64().map_or_else(|| "none".into(), |serial| serial.to_string());
        let signer = model["signer"].as_str().unwrap_or("nobody known");
        let fault = model["fault"].as_str().map_or(String::new(), |fault| format!(": {fault}"));
        table += &format!(
            "  {}  {} {}, serial {serial}, signed by {signer}, {:.1} MB, {mark}{fault}\n",
            digest.get(..12).unwrap_or(&digest),
            text(&model["name"]),
            text(&model["version"]),
            model["bytes"].as_f64().unwrap_or(0.0) / 1e6,
        );
    }
    if let Some(why) = store["rolled_back"]["why"].as_str() {
        table += &format!(
            "  went back from {}: {why}\n",
            text(&store["rolled_back"]["digest"]).get(..12).unwrap_or("")
        );
    }
    table
}
