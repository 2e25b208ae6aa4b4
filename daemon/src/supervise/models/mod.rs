//! Models that come and go: does what a deployment says, watches probations, and runs models on spare time that are not shown.

mod back;
mod commands;
mod shadow;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::Receiver;
use nervelight_engines::bundle::PublicKey;
use nervelight_engines::store::models::Models;
use nervelight_engines::{Bundle, EngineError};

use crate::config::{Config, Probation as Bounds};
use crate::control::Request;
use crate::deploy::store::{Ask, Store};
use crate::deploy::{Answer, Beside, Deployment, Happened, History, MapFacts, Probation, Told, Watched};
use crate::infer::{Inference, Model, Offer};
use crate::path::Change;
use crate::status::deployment::{ModelFigures, ModelsMoment, ProbationFigures};
use crate::status::models::ModelsView;
use crate::status::{Counters, Events};
use crate::supervise::engine::EngineKeeper;
use crate::supervise::opener::Opener;
use crate::supervise::reaper::Reaper;
use crate::web::Audit;
use shadow::Shadow;

/// Time between two looks at a probation.
const LOOK: Duration = Duration::from_millis(200);
/// Time between two attempts to record what the store could not.
const RETRY: Duration = Duration::from_secs(5);
/// How long going back waits for the model before, which may be at a crop on spare time.
const AT_A_CROP: Duration = Duration::from_secs(3);

/// Models, seen by the supervisor.
pub struct ModelKeeper<'a> {
    reaper: &'a Reaper,
    bounds: Bounds,
    /// None where there is no store: then nothing can be deployed.
    store: Option<Store>,
    view: ModelsView,
    events: Events,
    audit: Audit,
    /// What the store was asked to open, in that order.
    opening: VecDeque<Purpose>,
    deployment: Option<Deployment>,
    deployments: u64,
    ended: BTreeMap<&'static str, u64>,
    /// The model that is to be shown.
    candidate: Option<Opener>,
    building: Option<Receiver<Result<(), EngineError>>>,
    probation: Option<Probation>,
    /// When the store is asked again to keep the model.
    keep_due: Option<Instant>,
    /// How the last probation went.
    probed: Option<ProbationFigures>,
    /// The model before, of which the probation is.
    before: Option<(ModelFigures, History)>,
    going_back: Option<GoingBack>,
    history: History,
    answers: Receiver<Answer>,
    counters: Arc<Counters>,
    /// Frames of the scanner that were shown, and those without a mask, up to the last look.
    seen: [u64; 2],
    beside: Beside,
    shadow: Option<Shadow>,
    /// The model that is shown.
    shown: ModelFigures,
    /// Who asked that the store is pruned; none where nobody did.
    pruning: VecDeque<Option<Request>>,
    look_due: Instant,
}

/// What a bundle is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be shown, by this deployment.
    Deployment(u64),
    /// To run on spare time.
    Shadow,
    /// To stand by, for the probation that began before the daemon was stopped.
    Standby,
    /// To be gone back to.
    WayBack,
}

/// The model before is to be shown again.
struct GoingBack {
    since: Instant,
    why: String,
    /// It does not stand by, and is being opened.
    is_opening: bool,
    /// The model that is left.
    left: String,
    /// The store does not know yet: when it is asked again.
    unrecorded: Option<Instant>,
    /// Why it could not be recorded.
    trouble: Option<String>,
    /// It is shown.
    is_shown: bool,
}

/// What is new for the supervisor.
#[derive(Default)]
pub struct News {
    /// For the frame thread.
    pub changes: Vec<Change>,
    /// Another model is shown from now on.
    pub shown: Option<(Option<Arc<Model>>, ModelFigures)>,
}

/// What is known of a model by its bundle.
pub fn figures_of(bundle: &Bundle) -> ModelFigures {
    ModelFigures::new(&bundle.digest, &bundle.manifest, bundle.signer.as_deref())
}

/// Starts the store's thread, where there is a store.
///
/// # Errors
/// When it cannot be started.
pub fn start_store(config: &Config, models: Option<Models>, view: &ModelsView) -> Result<Option<Store>> {
    let keys: Vec<PublicKey> = config.keys.clone();
    let start = |models| Store::start(models, keys, config.require_signature, view.clone());
    models.map(start).transpose()
}

/// What a keeper of models is made of.
pub struct Parts {
    /// The store's thread.
    pub store: Option<Store>,
    /// Where readers find what is in it.
    pub view: ModelsView,
    /// Where events go.
    pub events: Events,
    /// What the onlooker sees.
    pub watched: Watched,
    /// Takes crops that two models see differently.
    pub offer: Option<Arc<dyn Offer>>,
    /// Where it is written down who did what.
    pub audit: Audit,
    /// The frame thread's counts.
    pub counters: Arc<Counters>,
    /// The model that is shown.
    pub shown: ModelFigures,
}

impl<'a> ModelKeeper<'a> {
    /// Of the model that is shown first.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(config: &Config, reaper: &'a Reaper, parts: Parts) -> Result<Self> {
        let Parts { store, view, events, watched, offer, audit, counters, shown } = parts;
        let now = Instant::now();
        let mut keeper = Self {
            reaper,
            bounds: config.probation,
            store,
            view,
            events,
            audit,
            opening: VecDeque::new(),
            deployment: None,
            deployments: 0,
            ended: BTreeMap::new(),
            candidate: None,
            building: None,
            probation: None,
            keep_due: None,
            probed: None,
            before: None,
            going_back: None,
            history: History::new(now),
            answers: watched.answers,
            counters,
            seen: [0; 2],
            beside: Beside::start(watched.crops, offer)?,
            shadow: None,
            shown,
            pruning: VecDeque::new(),
            look_due: now,
        };
        keeper.resume(now);
        Ok(keeper)
    }

    /// A model on probation begins that again; the one before it is opened to stand by.
    fn resume(&mut self, now: Instant) {
        let Some(state) = self.view.store() else { return };
        if state.probation.is_none() || state.probation != state.active {
            return;
        }
        self.deployments += 1;
        self.deployment = Some(Deployment::resumed(self.deployments, self.shown.clone(), now));
        self.begin_probation(None, now);
        if let Some(previous) = state.previous {
            self.open(Purpose::Standby, previous);
        }
        tracing::info!(model = %self.shown.name, version = %self.shown.version, "the probation begins again");
    }

    /// Looks at everything.
    pub fn look(&mut self, engine: &mut EngineKeeper, now: Instant) -> News {
        let mut news = News::default();
        self.look_at_store(engine, now, &mut news);
        self.look_at_build(engine, now, &mut news);
        self.read_answers(now);
        self.look_beside(engine);
        self.go_back(engine, now, &mut news);
        if now >= self.look_due {
            self.look_due = now + LOOK;
            self.look_at_probation(engine, now, &mut news);
            self.look_at_shadow(now);
            if let Some(figures) = self.moment(now).deployment {
                self.view.put_deployment(figures);
            }
        }
        news
    }

    /// Takes in what the shown engine answered, and what became of frames.
    fn read_answers(&mut self, now: Instant) {
        for answer in self.answers.try_iter() {
            let is_shown = |map: &MapFacts| map.model.engine.digest == self.shown.digest;
            // The last answers of the model before may come late. Who failed is not known.
            if !answer.map.as_ref().is_none_or(is_shown) {
                continue;
            }
            match &mut self.probation {
                Some(probation) => {
                    probation.new.take(&answer);
                    if answer.map.as_ref().is_some_and(|map| map.is_scan) {
                        probation.answered(now);
                    }
                }
                None => self.history.at(now).take(&answer),
            }
        }
        let scans = self.counters.scans.each_ref().map(|n| n.load(Ordering::Relaxed));
        let [shown, without] = [0, 1].map(|n| scans[n].saturating_sub(self.seen[n]));
        self.seen = scans;
        match &mut self.probation {
            Some(probation) => probation.new.take_shown(shown, without),
            None => self.history.at(now).take_shown(shown, without),
        }
    }

    /// The thread of the model that is not shown: what it found, and which engine it has.
    fn look_beside(&mut self, engine: &mut EngineKeeper) {
        let told: Vec<_> = self.beside.told().collect();
        for told in told {
            match told {
                Told::Pair { pair, shown } if shown.engine.digest == self.shown.digest => {
                    match (&mut self.probation, &mut self.shadow) {
                        (Some(probation), _) => probation.compare(&pair),
                        (None, Some(shadow)) => shadow.agreement.take(&pair),
                        (None, None) => {}
                    }
                }
                Told::Pair { .. } => {}
                Told::Failed(why) => {
                    if let (None, Some(shadow)) = (&self.probation, &mut self.shadow) {
                        shadow.failed(why);
                    }
                }
            }
        }
        if let Some(inference) = self.beside.back()
            && let Some(over) = engine.retired(inference)
        {
            self.reaper.take(over);
        }
        if self.beside.is_lent() {
            return;
        }
        if self.probation.is_some() {
            let is_wanted = self.going_back.is_none();
            if is_wanted && let Some(inference) = engine.lend_standby() {
                self.beside.run(inference);
            }
        } else {
            self.run_shadow();
            let is_swapping = self.deployment.as_ref().is_some_and(|now| !now.state().is_over());
            // That it is recorded may take until a disk has room.
            if !is_swapping && self.going_back.as_ref().is_none_or(|going_back| going_back.is_shown) {
                self.reaper.take(engine.release_standby());
            }
        }
    }

    /// The frame thread gave an engine back.
    pub fn retired(&mut self, engine: &mut EngineKeeper, inference: Inference, now: Instant) -> News {
        let mut news = News::default();
        match engine.retired(inference) {
            None => self.happen(Happened::Shown, engine, now, &mut news),
            Some(over) => self.reaper.take(over),
        }
        news
    }

    /// How far the build of a candidate is, as part of its step.
    fn progress(&self) -> Option<f32> {
        Some(self.candidate.as_ref()?.progress()?.done)
    }

    /// For the status.
    pub fn moment(&self, now: Instant) -> ModelsMoment {
        let probation = self.probation.as_ref().map(|probation| probation.figures(now));
        let probation = probation.or_else(|| self.probed.clone());
        let figures = |deployment: &Deployment| deployment.figures(now, self.progress(), probation);
        ModelsMoment {
            deployment: self.deployment.as_ref().map(figures),
            deployments: self.ended.clone(),
            shadow: self.shadow.as_ref().map(Shadow::figures),
            can_go_back: self.can_go_back(),
            unrecorded: self.going_back.as_ref().and_then(|going_back| going_back.trouble.clone()),
            store_failed: self.view.fault(),
        }
    }

    /// The run has ended. Where that was in order, a probation begins again with the next start.
    pub fn end(&mut self, in_order: bool) {
        if let Some(shadow) = self.shadow.take() {
            self.save(&shadow, false);
        }
        let Some(store) = self.store.take() else { return };
        // One that went back already is not to come again.
        if let Some(GoingBack { left, why, unrecorded: Some(_), .. }) = &self.going_back {
            store.ask(Ask::GoBack { left: left.clone(), why: why.clone() });
        }
        if in_order {
            store.ask(Ask::Stop);
        }
        store.end();
    }
}
