//! Options that commands to carts over the network share.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::client::{Address, Cart, Trust, read_list};
use crate::secret;

/// Which carts, as whom, and how they are known.
#[derive(Debug, clap::Args)]
pub struct RemoteOptions {
    /// A cart, as https://CART:PORT#sha256=FINGERPRINT, or http://127.0.0.1:PORT for this machine. May be given often.
    #[arg(long = "to", value_name = "URL", global = true)]
    to: Vec<String>,
    /// A file with a cart a line, written as for --to.
    #[arg(long, value_name = "FILE", global = true)]
    carts: Option<PathBuf>,
    /// A file that holds the token, as `nervelightd token add` printed it on the carts.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// The fingerprint of the certificate of carts that are named without one.
    #[arg(long, value_name = "SHA256", global = true, conflicts_with_all = ["ca", "trust_new"])]
    fingerprint: Option<String>,
    /// Take certificates that an authority in this file signed, where no fingerprint is named.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "trust_new")]
    ca: Option<PathBuf>,
    /// Take any certificate where no fingerprint is named, and print its fingerprint. Whoever is in between gets the
    /// token and the model: only where nobody can be.
    #[arg(long, global = true)]
    trust_new: bool,
}

impl RemoteOptions {
    /// Whether carts are named.
    pub fn is_given(&self) -> bool {
        !self.to.is_empty() || self.carts.is_some()
    }

    /// The carts; none was asked anything yet.
    ///
    /// # Errors
    /// Which option is bad, and why.
    pub fn carts(&self) -> Result<Vec<Cart>> {
        let mut addresses: Vec<Address> = vec![];
        for text in &self.to {
            addresses.push(text.parse().with_context(|| format!("--to {}", crate::redact::redact(text)))?);
        }
        if let Some(path) = &self.carts {
            addresses.extend(read_list(path).context("--carts")?);
        }
        if let Some(text) = &self.fingerprint {
            let fingerprint = crate::client::fingerprint(text).context("--fingerprint")?;
            for address in addresses.iter_mut().filter(|address| address.is_tls()) {
                address.fingerprint.get_or_insert(fingerprint);
            }
        }
        for (i, address) in addresses.iter().enumerate() {
            ensure!(!addresses[..i].contains(address), "{address} is named twice. Name each cart once");
        }
        let token = self.token_file.as_ref().map(|path| {
            secret::read(path, "token").with_context(|| format!("--token-file {}", path.display()))
        });
        let token = token.transpose()?;
        let trust = match (&self.ca, self.trust_new) {
            (Some(path), _) => Trust::Authority(path.clone()),
            (None, true) => Trust::New,
            (None, false) => Trust::System,
        };
        addresses
            .into_iter()
            .map(|address| {
                ensure!(
                    token.is_some() || !address.is_tls(),
                    "{address} asks for a token. Name its file with --token-file"
                );
                Cart::new(address, token.as_deref(), &trust)
            })
            .collect()
    }
}
