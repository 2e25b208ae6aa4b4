//! `push`: puts a bundle into a registry that carts follow, or into a folder that is carried to one.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use nervelight_engines::Bundle;
use nervelight_registry::{Artifact, Credentials, Place, Registry, write_layout};

/// Arguments of `push`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train push nerve.bundle oci://registry.example.org/nervelight/nerve:1.4.0 --credentials FILE
  nervelight-train push nerve.bundle oci:stick/models:stable      # a folder, for where no network goes
  skopeo copy oci:stick/models:stable docker://registry.example.org/nervelight/nerve:stable

Carts that follow a tag take what it names from then on. Push a bundle under a tag of its own first, and under the
tag that carts follow when it is meant for them: what the registry has already is not sent again.")]
pub struct Arguments {
    /// A bundle, directory or tar
    bundle: PathBuf,
    /// oci://HOST[:PORT]/REPOSITORY:TAG, or oci:FOLDER:TAG
    to: String,
    /// Docker's config.json, or one line user:password; not everybody may read it
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Speak to the registry without TLS; with one on this machine that is done unless it is =false
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    plain_http: Option<bool>,
}

/// Pushes, and prints the artifact's digest.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { bundle, to, credentials, plain_http } = arguments;
    // Not by clap, which would quote a password that does not belong there.
    let to: &Place = &to.parse()?;
    let bundle = Bundle::open(bundle)?;
    let artifact = Artifact::of(&bundle)?;
    if bundle.signature_text()?.is_none() {
        errln!(
            "warning: {} is not signed; carts that follow a registry take only signed bundles (`nervelight-train sign`)",
            bundle.path.display()
        );
    }
    match to {
        Place::Layout { folder, tag } => {
            ensure!(
                credentials.is_none() && plain_http.is_none(),
                "{to} is a folder: it takes no credentials, and no HTTP"
            );
            write_layout(folder, tag, &artifact)?;
        }
        Place::Registry(repository) => {
            let plain = plain_http.unwrap_or(repository.is_loopback());
            ensure!(
                !plain || repository.is_loopback() || credentials.is_none(),
                "--plain-http would send the credentials over the network for everybody to read. Use TLS, or none"
            );
            let credentials = match credentials {
                Some(path) => Credentials::read(path, &repository.host)?,
                None => Credentials::anonymous(),
            };
            let registry = Registry::new(repository.clone(), credentials, plain)?;
            let bar = ProgressBar::new(artifact.bytes);
            bar.set_style(ProgressStyle::with_template(
                "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}",
            )?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let shown = bar.clone();
            let pushed = runtime.block_on(registry.push(&artifact, move |bytes| shown.inc(bytes)));
            bar.finish_and_clear();
            pushed.with_context(|| format!("{to} does not have the bundle"))?;
        }
    }
    outln!("{to}: {}, bundle {}", bundle.model(), bundle.digest);
    outln!("{}", artifact.digest);
    Ok(())
}
