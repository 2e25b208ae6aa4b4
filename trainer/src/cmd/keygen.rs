//! `keygen`: a key pair to sign bundles with.

use std::path::PathBuf;

use anyhow::Result;

use crate::sign;

/// Arguments of `keygen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  nervelight-train keygen keys/lab-2026

It writes keys/lab-2026.key, which only its owner may read, and keys/lab-2026.pub, in the formats of the
program minisign. The password that encrypts the .key is asked for twice, or comes from the environment
variable NERVELIGHT_KEY_PASSWORD. Carts are given the public key, under [[model.keys]].")]
pub struct Arguments {
    /// The key's name, with the folder to write to
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// Do not encrypt the .key: whoever can read the file can sign
    #[arg(long)]
    no_password: bool,
}

/// Makes the keys, and prints what carts are to be given.
pub fn run(arguments: &Arguments) -> Result<()> {
    let name = &arguments.name;
    let public = sign::make(name, !arguments.no_password)?;
    let shown = name.file_name().unwrap_or_default().to_string_lossy();
    outln!(
        "{0}.key signs: keep it to yourself, and a copy in a safe place.\n{0}.pub is for the carts' configuration:\n\n\
         [[model.keys]]\nname = \"{shown}\"\nkey = \"{public}\"",
        name.display()
    );
    Ok(())
}
