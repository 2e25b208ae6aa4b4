//! `sign`: gives a bundle a serial and a signature.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::Bundle;
use nervelight_engines::store::bundles;

use crate::export::beside;
use crate::sign::{self, SigningKey};

/// Arguments of `sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train sign nerve.bundle --key keys/lab-2026.key
  nervelight-train sign nerve.bundle --key keys/lab-2026.key --out nerve.tar --record change.html

The serial is in the signed manifest, so the bundle's digest becomes another. The password of the key is
asked for, or comes from the environment variable NERVELIGHT_KEY_PASSWORD.")]
pub struct Arguments {
    /// The bundle, a directory or a .tar
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The secret key, a .key file of `keygen` or of minisign
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The serial [default: the seconds since 1970, or one more than the key's last]
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Write the signed bundle there [default: in place of the unsigned one]
    #[arg(long, value_name = "NAME.bundle")]
    out: Option<PathBuf>,
    /// Keep this change record in the bundle: the .html of `compare --record`, and the .json beside it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Signs, and says what became of the bundle.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(out) = &arguments.out
        && out.exists()
    {
        bail!("{}: is there already; remove it or choose another name", out.display());
    }
    let out = arguments.out.as_ref().unwrap_or(&arguments.bundle);
    let key = SigningKey::read(&arguments.key)?;
    let bundle = Bundle::open(&arguments.bundle)?;
    sign(&bundle, &key, arguments.serial, arguments.record.as_deref(), out)
}

/// Signs `bundle` and puts it at `out`, in place of what is there.
pub fn sign(
    bundle: &Bundle,
    key: &SigningKey,
    serial: Option<u64>,
    record: Option<&Path>,
    out: &Path,
) -> Result<()> {
    let (_removed_at_last, unfinished) = beside(out)?;
    let serial = sign::next(&key.path, serial)?;
    let signed = sign::sign(bundle, key, serial, record, &unfinished)?;
    bundles::put(&unfinished, out).with_context(|| format!("{}: cannot be put there", out.display()))?;
    outln!("{} in {}: {}", signed.model(), out.display(), sign::describe(&signed, key, &bundle.digest));
    Ok(())
}
