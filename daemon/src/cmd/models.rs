//! `nervelightd models`: what is in the store of models on this machine's disk, or on carts, and which of them runs.

use anyhow::{Result, bail, ensure};
use nervelight_engines::bundle::PublicKey;
use nervelight_engines::store::models::{Catalog, Models, ModelsError, State, Stored};
use serde_json::json;

use crate::cmd::remote::RemoteOptions;
use crate::cmd::remote_models::{What, remote};
use crate::cmd::verify::StorePlace;

/// What to do with which store.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    place: StorePlace,
    #[command(flatten)]
    remote: RemoteOptions,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the stored bundles, and which of them runs; the default.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a stored bundle from the next start on, whatever its serial.
    Use {
        /// Its digest, or 8 digits or more of its beginning.
        digest: String,
    },
    /// Go back to the model before.
    Rollback,
    /// Remove every bundle but the one that runs and the one before it.
    Prune,
    /// With --to: run a stored bundle on spare time beside the one that runs, never shown; end that; or say how they agree.
    Shadow {
        /// The bundle's digest, `off`, or `report`.
        what: String,
    },
}

impl Command {
    /// The same for carts over the network.
    fn what(&self) -> What {
        match self {
            Self::List { .. } => What::List,
            Self::Use { digest } => What::Use(digest.clone()),
            Self::Rollback => What::RollBack,
            Self::Prune => What::Prune,
            Self::Shadow { what } => match what.as_str() {
                "off" => What::Shadow(None),
                "report" => What::ShadowReport,
                digest => What::Shadow(Some(digest.into())),
            },
        }
    }
}

/// Does it. A store that a running daemon holds is only listed.
///
/// # Errors
/// Why it was not done.
pub fn models(arguments: &Arguments) -> Result<()> {
    let list = Command::List { json: false };
    let command = arguments.command.as_ref().unwrap_or(&list);
    if arguments.remote.is_given() {
        ensure!(
            !arguments.place.is_given(),
            "--config and --store name a store on this machine, --to and --carts others"
        );
        return remote(&arguments.remote, &command.what(), matches!(command, Command::List { json: true }));
    }
    let (root, keys) = arguments.place.find()?;
    let open = || Models::open(&root);
    match command {
        Command::List { json } => print(&Catalog::read(&root)?, &keys, *json),
        Command::Use { digest } => {
            let mut models = open()?;
            // Nothing is chosen that cannot be opened.
            let bundle = models.bundle(digest, &keys)?;
            if let Some(left) =
                models.state().rolled_back.as_ref().filter(|left| left.digest == bundle.digest)
            {
                outln!("this model was left because of this: {}", left.why);
            }
            models.use_stored(&bundle.digest)?;
            outln!("{} ({}) runs from the next start on", bundle.model(), bundle.digest);
            Ok(())
        }
        Command::Rollback => {
            let digest = roll_back(&mut open()?)?;
            outln!("{digest} runs from the next start on");
            Ok(())
        }
        Command::Shadow { .. } => {
            bail!("only a running daemon has a shadow. Name it with --to http://127.0.0.1:8321")
        }
        Command::Prune => {
            let gone = open()?.prune(&[])?;
            gone.iter().for_each(|digest| outln!("removed {digest}"));
            outln!("bundles removed: {}", gone.len());
            Ok(())
        }
    }
}

/// Goes back, never to the model that was left last.
fn roll_back(models: &mut Models) -> Result<String> {
    match (models.roll_back("asked for on this machine"), &models.state().rolled_back) {
        (Err(ModelsError::NoPrevious), Some(left)) => bail!(
            "no earlier model is stored but one that was left because of this: {}. To run it all the same, choose it: \
             `nervelightd models use {}`",
            left.why,
            left.digest
        ),
        (done, _) => Ok(done?),
    }
}

/// One line a bundle.
fn print(catalog: &Catalog, keys: &[PublicKey], json: bool) -> Result<()> {
    let (stored, state) = (catalog.list(keys)?, catalog.state());
    if json {
        let rows: Vec<_> = stored
            .iter()
            .map(|s| {
                json!({
                    "digest": s.digest, "name": s.name, "version": s.version, "serial": s.serial,
                    "signer": s.signer, "bytes": s.bytes, "stored_at": s.stored_at, "fault": s.fault,
                    "role": role(state, &s.digest),
                })
            })
            .collect();
        outln!("{}", serde_json::to_string_pretty(&json!({ "state": state, "bundles": rows }))?);
        return Ok(());
    }
    outln!("{}, serials from {} on", catalog.root().display(), state.floor);
    if stored.is_empty() {
        outln!("  no bundles");
    }
    for bundle in &stored {
        outln!("  {}", line(bundle, role(state, &bundle.digest)));
    }
    if let Some(rolled_back) = &state.rolled_back {
        outln!("went back from {}: {}", rolled_back.digest, rolled_back.why);
    }
    Ok(())
}

fn line(bundle: &Stored, role: &str) -> String {
    let Stored { digest, name, version, serial, signer, bytes, fault, .. } = bundle;
    if let Some(fault) = fault {
        return format!("{digest}  {role:<9} damaged: {fault}");
    }
    let serial = serial.map_or("none".into(), |serial| serial.to_string());
    let signer = signer.as_deref().unwrap_or("nobody known");
    format!(
        "{digest}  {role:<9} {name} {version}, serial {serial}, signed by {signer}, {:.1} MB",
        *bytes as f64 / 1e6
    )
}

/// What a bundle is to the store.
fn role(state: &State, digest: &str) -> &'static str {
    let is = |of: &Option<String>| of.as_deref() == Some(digest);
    match state {
        State { probation: Some(_), active, .. } if is(active) => "probation",
        State { active, .. } if is(active) => "active",
        State { previous, .. } if is(previous) => "previous",
        _ => "stored",
    }
}
