//! The store's thread. Disks may be slow, and bundles are large: nothing that is shown waits for them. It holds the store alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};
use jiff::Timestamp;
use nervelight_engines::bundle::{Head, PublicKey, Trust};
use nervelight_engines::store::atomic::{self, Access};
use nervelight_engines::store::models::{Catalog, Floor, Models, ModelsError};
use nervelight_engines::{Bundle, BundleError};

use crate::deploy::failure;
use crate::status::deployment::{Failure, ModelFigures};
use crate::status::models::{ModelsView, RolledBackFigures, StoreFigures, StoredFigures};
use crate::status::shadow::ShadowReport;

/// What the store is asked to do.
#[derive(Debug)]
pub enum Ask {
    /// Take in the bundle in this tar, and remove the tar.
    Stage(PathBuf),
    /// Open the stored bundle with this digest.
    Open(String),
    /// Record that this bundle is about to be shown, by this deployment.
    Begin(String, u64),
    /// Record that an operator chose this bundle.
    Use(String),
    /// Record that the model on probation stays.
    Keep,
    /// Record that the model before runs again, and why.
    GoBack {
        /// Digest of the model that is left. Where another is active, that is recorded already.
        left: String,
        /// Why.
        why: String,
    },
    /// Remove what nothing needs, but these.
    Prune(Vec<String>),
    /// Remove this bundle, which was refused before it was shown, if nothing needs it. Nothing is told.
    Remove(String),
    /// Keep a shadow's report.
    Save(Arc<ShadowReport>),
    /// The daemon stops in order: a probation begins again with the next start.
    Stop,
}

/// What came of it: a few words a day.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Told {
    /// Signature and manifest of a bundle are good.
    Verified(ModelFigures),
    /// A bundle is open; it was staged, or was there.
    Opened(Result<Bundle, Failure>),
    /// The store has recorded what is about to be shown.
    Recorded(Result<(), Failure>),
    /// The store has recorded that the model stays.
    Kept(Result<(), Failure>),
    /// The store has recorded that the model before runs again.
    WentBack(Result<(), Failure>),
    /// The digests of what was removed.
    Pruned(Result<Vec<String>, Failure>),
}

/// The thread, seen from outside.
pub struct Store {
    asks: Sender<Ask>,
    told: Receiver<Told>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Starts the thread, which keeps `models`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(models: Models, keys: Vec<PublicKey>, required: bool, view: ModelsView) -> Result<Self> {
        let (asks, asked) = unbounded();
        let (tell, told) = unbounded();
        let mut keeper = Keeper { models, keys, required, view, tell };
        keeper.look_up();
        let run = move || {
            // Digesting a bundle takes a core for a while.
            let _ = rustix::process::nice(15);
            asked.into_iter().for_each(|ask| keeper.carry_out(ask));
        };
        let thread =
            thread::Builder::new().name("store".into()).spawn(run).context("cannot start a thread")?;
        Ok(Self { asks, told, thread })
    }

    /// Asks; what comes of it is told in its turn.
    pub fn ask(&self, ask: Ask) {
        // The thread lives as long as this.
        let _ = self.asks.send(ask);
    }

    /// What came of it since the last time.
    pub fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }

    /// Waits until everything is done that was asked.
    pub fn end(self) {
        drop(self.asks);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the model store crashed");
        }
    }
}

struct Keeper {
    models: Models,
    keys: Vec<PublicKey>,
    required: bool,
    view: ModelsView,
    tell: Sender<Told>,
}

impl Keeper {
    fn carry_out(&mut self, ask: Ask) {
        let told = match ask {
            Ask::Stage(tar) => Told::Opened(self.stage(&tar)),
            Ask::Open(digest) => {
                Told::Opened(self.models.bundle(&digest, &self.keys).map_err(|error| refused(&error)))
            }
            Ask::Begin(digest, deployment) => {
                Told::Recorded(recorded(self.models.begin_probation(&digest, deployment)))
            }
            Ask::Use(digest) => Told::Recorded(recorded(self.models.use_stored(&digest))),
            Ask::Keep => Told::Kept(recorded(self.models.keep())),
            Ask::GoBack { left, why } => Told::WentBack(self.go_back(&left, &why)),
            Ask::Prune(keep) => Told::Pruned(self.models.prune(&keep).map_err(|error| refused(&error))),
            Ask::Remove(digest) => return self.remove(&digest),
            Ask::Save(report) => return self.save(&report),
            Ask::Stop => return self.stop(),
        };
        self.look_up();
        // At the end nobody listens any more.
        let _ = self.tell.send(told);
    }

    fn stage(&mut self, tar: &Path) -> Result<Bundle, Failure> {
        let trust = Trust { keys: &self.keys, required: self.required };
        let verified = Head::read(tar, trust).map_err(|error| refused(&error.into()));
        if let Ok(head) = &verified {
            let _ = self.tell.send(Told::Verified(ModelFigures::new(
                &head.digest,
                &head.manifest,
                head.signer.as_deref(),
            )));
        }
        let staged = verified.and_then(|_| {
            let staged = self.models.stage(tar, &self.keys, self.required, Floor::Held);
            staged.map_err(|error| refused(&error))
        });
        if let Err(error) = fs::remove_file(tar) {
            tracing::warn!(%error, tar = %tar.display(), "a bundle that was sent here cannot be removed");
        }
        staged
    }

    /// Asking twice does not go back twice.
    fn go_back(&mut self, left: &str, why: &str) -> Result<(), Failure> {
        match self.models.state().active.as_deref() == Some(left) {
            true => recorded(self.models.roll_back(why)),
            false => Ok(()),
        }
    }

    /// With a followed tag, refused bundles would fill the disk.
    fn remove(&mut self, digest: &str) {
        match self.models.remove(digest) {
            Ok(true) => tracing::info!(digest, "removed the bundle that was refused"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, digest, "the bundle that was refused cannot be removed"),
        }
        self.look_up();
    }

    /// Brings what others see up to date.
    fn look_up(&self) {
        match figures(&self.models, &self.keys) {
            Ok(figures) => self.view.put_store(figures),
            Err(error) => tracing::error!(%error, "the model store cannot be read"),
        }
    }

    /// A report is small, and one for each model.
    fn save(&self, report: &ShadowReport) {
        let folder = self.models.root().join("shadow");
        let path = folder.join(format!("{}.json", report.shadow.digest));
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&folder)?;
            atomic::write(&path, Access::Everybody, &serde_json::to_vec_pretty(report)?)
        };
        if let Err(error) = write() {
            tracing::error!(%error, path = %path.display(), "the shadow's report cannot be written");
        }
    }

    fn stop(&mut self) {
        if let Err(error) = self.models.stop_probation() {
            tracing::error!(%error, "the next start will not begin the probation again, but go back");
        }
    }
}

/// What others see of a store.
///
/// # Errors
/// When it cannot be read.
pub fn figures(catalog: &Catalog, keys: &[PublicKey]) -> Result<StoreFigures, ModelsError> {
    let state = catalog.state();
    let time = |seconds: u64| {
        Timestamp::from_second(seconds as i64).map_or_else(|_| String::new(), |time| time.to_string())
    };
    let models = catalog.list(keys)?.into_iter().map(|stored| StoredFigures {
        model: ModelFigures {
            digest: stored.digest,
            name: stored.name,
            version: stored.version,
            serial: stored.serial,
            signer: stored.signer,
        },
        bytes: stored.bytes,
        stored_at: time(stored.stored_at),
        fault: stored.fault,
    });
    Ok(StoreFigures {
        active: state.active.clone(),
        previous: catalog.previous_model().map(str::to_owned),
        probation: state.probation.as_ref().map(|probation| probation.digest.clone()),
        floor: state.floor,
        rolled_back: state.rolled_back.as_ref().map(|left| RolledBackFigures {
            digest: left.digest.clone(),
            why: left.why.clone(),
            when: time(left.when),
        }),
        models: models.collect(),
    })
}

fn recorded<T>(done: Result<T, ModelsError>) -> Result<(), Failure> {
    done.map(drop).map_err(|error| refused(&error))
}

/// Which gate a bundle did not pass, in the store's own words.
fn refused(error: &ModelsError) -> Failure {
    let said = error.to_string();
    let gate = match error {
        ModelsError::Bundle(BundleError::Geometry { .. }) => "geometry",
        _ => error.code(),
    };
    failure::of(gate, &said)
}
