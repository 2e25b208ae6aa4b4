//! `nervelightd cert`: a certificate for the page where nobody gives the cart one.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use nervelight_engines::store::atomic::{self, Access};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use crate::{secret, tls};

/// Browsers trust none that is good for longer.
const MOST_DAYS: u32 = 825;
/// Clocks of browsers and carts differ.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// What to make.
#[derive(clap::Args)]
pub struct Arguments {
    /// A name or address by which browsers and programs reach the cart; may be repeated.
    #[arg(long, required = true, value_name = "NAME")]
    host: Vec<String>,
    /// The folder that gets cert.pem and key.pem.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// For how many days it is good.
    #[arg(long, default_value_t = MOST_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_DAYS)))]
    days: u32,
    /// Replace a certificate that is there. Programs that know the old one's fingerprint have to be told the new one.
    #[arg(long)]
    replace: bool,
}

/// Makes a key (ECDSA P-256) and a certificate that it signs itself.
///
/// # Errors
/// When there is one already, a name is none, or the folder cannot be written to.
pub fn cert(arguments: &Arguments) -> Result<()> {
    let Arguments { host, out, days, replace } = arguments;
    let (certificate, key) = (out.join("cert.pem"), out.join("key.pem"));
    for path in [&certificate, &key] {
        ensure!(
            *replace || !path.exists(),
            "{} exists. Give another folder, or --replace to make a new one in its place",
            path.display()
        );
    }
    let pair = KeyPair::generate().context("no key can be made")?;
    let made = parameters(host, *days)?.self_signed(&pair).context("no certificate can be made")?;
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot be made", out.display()))?;
    write(&key, |path| secret::write(path, pair.serialize_pem().as_bytes()))?;
    write(&certificate, |path| atomic::write(path, Access::Everybody, made.pem().as_bytes()))?;
    errln!("certificate {}, key {}, good for {days} days", certificate.display(), key.display());
    outln!("SHA-256 {}", tls::fingerprint(made.der()));
    Ok(())
}

fn parameters(hosts: &[String], days: u32) -> Result<CertificateParams> {
    for host in hosts {
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        ensure!(
            !host.is_empty() && host.chars().all(is_good),
            "--host {host}: must be a name such as cart7.example.org, or an address, without scheme and port"
        );
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        ensure!(is_address || !host.contains(':'), "--host {host}: must be without a port");
    }
    let mut parameters = CertificateParams::new(hosts).context("--host")?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, hosts.first().map_or("nervelight", String::as_str));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    parameters.not_before = (now - BEFORE).into();
    parameters.not_after = (now - BEFORE + Duration::from_secs(24 * 3600) * days).into();
    Ok(parameters)
}

fn write(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    write(path).with_context(|| format!("{}: cannot be written. Check the folder", path.display()))
}
