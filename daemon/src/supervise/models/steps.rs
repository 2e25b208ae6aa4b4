//! A deployment's steps: what each task asks of store, engine and frame thread, and what comes of it.

use std::sync::Arc;
use std::time::Instant;

use nervelight_engines::{Bundle, EngineError};

use super::{ModelKeeper, News, Purpose, RETRY, figures_of};
use crate::deploy::store::{Ask, Told};
use crate::deploy::{Behaviour, Happened, History, Probation, Task, Verdict, failure};
use crate::infer::Model;
use crate::path::Change;
use crate::status::deployment::{Failure, Kind, State};
use crate::supervise::engine::EngineKeeper;
use crate::supervise::errand;

impl ModelKeeper<'_> {
    /// Something has happened to the deployment: takes the next step.
    pub(super) fn happen(
        &mut self,
        what: Happened,
        engine: &mut EngineKeeper,
        now: Instant,
        news: &mut News,
    ) {
        let Some(deployment) = &mut self.deployment else { return };
        let before = deployment.state();
        let task = deployment.happen(what, now);
        let state = deployment.state();
        // Who hears that a probation has begun hears its figures, too.
        let (first, then) = if task == Some(Task::Watch) { (task, None) } else { (None, task) };
        if let Some(task) = first {
            self.carry_out_task(task, engine, now, news);
        }
        let Some(deployment) = &self.deployment else { return };
        if state != before {
            if state.is_over() {
                *self.ended.entry(state.name()).or_default() += 1;
                let model = deployment.model.as_ref();
                let named =
                    model.map_or_else(String::new, |m| format!(" of {} {} {}", m.name, m.version, m.digest));
                let why =
                    deployment.failed().map_or_else(String::new, |failed| format!(": {}", failed.message));
                let what = format!("deployment {}{named}", deployment.id);
                self.audit.outcome(&deployment.who, &what, &format!("{}{why}", state.name()));
            }
            self.tell(now);
        }
        if let Some(task) = then {
            self.carry_out_task(task, engine, now, news);
        }
    }

    /// Says where the deployment stands.
    pub(super) fn tell(&self, now: Instant) {
        let Some(figures) = self.moment(now).deployment else { return };
        let (id, who, state) = (figures.id, &figures.who, figures.state.name());
        let (model, digest) = (figures.model.as_deref(), figures.digest.as_deref());
        match &figures.failed {
            None => tracing::info!(id, who, state, model, digest, "deployment"),
            Some(Failure { gate, message, remedy, .. }) => {
                tracing::error!(id, who, state, model, digest, gate, "deployment: {message}. {remedy}");
            }
        }
        self.events.send("deployment", &figures);
        self.view.put_deployment(figures);
    }

    fn carry_out_task(&mut self, task: Task, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        match task {
            Task::Build => self.build(engine, now, news),
            Task::Prove => {
                let Some(candidate) = &self.candidate else { return };
                let started = engine.try_out(candidate.clone());
                if let Err(error) = started {
                    let failed = failure::of("engine", &format!("{error:#}"));
                    self.happen(Happened::Failed(failed), engine, now, news);
                }
            }
            Task::Record => self.record(engine, now, news),
            Task::Swap => self.swap(engine, now, news),
            Task::Watch => {
                let baseline = self.before.as_ref().map(|(_, history)| history.recent());
                self.begin_probation(baseline, now);
            }
            Task::Keep => {
                // Where the store could not, it is tried again.
                if self.keep_due.is_none_or(|due| now >= due) {
                    self.keep_due = Some(now + RETRY);
                    self.ask(Ask::Keep);
                }
            }
            Task::Finish => {
                self.probed = self.probation.take().map(|probation| probation.figures(now));
                (self.before, self.candidate) = (None, None);
                self.beside.halt();
                if self.deployment.as_ref().is_some_and(|now| now.kind == Kind::Deploy) {
                    self.prune(None);
                }
            }
            Task::Discard => {
                if let Some(candidate) = self.candidate.take() {
                    candidate.cancel();
                    self.remove_refused(candidate.bundle().digest.clone());
                }
                self.building = None;
                self.reaper.take(engine.drop_candidate());
            }
            Task::GoBack => {
                let why = self.deployment.as_ref().and_then(|deployment| deployment.failed());
                let why = why.map_or_else(String::new, |why| format!("{}: {}", why.gate, why.message));
                self.probed = self.probation.take().map(|probation| probation.figures(now));
                self.candidate = None;
                self.beside.halt();
                self.record_way_back(self.shown.digest.clone(), why, false, now);
            }
        }
    }

    pub(super) fn ask(&self, ask: Ask) {
        if let Some(store) = &self.store {
            store.ask(ask);
        }
    }

    /// Has a stored bundle opened.
    pub(super) fn open(&mut self, purpose: Purpose, digest: String) {
        self.opening.push_back(purpose);
        self.ask(Ask::Open(digest));
    }

    /// What the store has done.
    pub(super) fn look_at_store(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        let told = self.store.as_ref().map_or_else(Vec::new, |store| store.told());
        for told in told {
            match told {
                Told::Verified(model) => self.happen(Happened::Verified(model), engine, now, news),
                Told::Opened(opened) => match self.opening.pop_front() {
                    Some(Purpose::Deployment(id)) if id == self.deployments => {
                        self.opened(opened, engine, now, news);
                    }
                    // Of one that was ended meanwhile.
                    Some(Purpose::Deployment(_)) => {}
                    Some(Purpose::Shadow) => self.begin_shadow(opened, engine),
                    Some(purpose) => self.open_before(purpose, opened, engine),
                    None => {}
                },
                Told::Recorded(Ok(())) => self.happen(Happened::Recorded, engine, now, news),
                Told::Recorded(Err(failed)) => self.happen(Happened::Failed(failed), engine, now, news),
                Told::Kept(Ok(())) => self.happen(Happened::Kept, engine, now, news),
                Told::Kept(Err(failed)) => tracing::error!("{}. {}", failed.message, failed.remedy),
                Told::WentBack(Ok(())) => {
                    if let Some(going_back) = &mut self.going_back {
                        (going_back.unrecorded, going_back.trouble) = (None, None);
                    }
                }
                Told::WentBack(Err(failed)) => self.not_recorded(&failed),
                Told::Pruned(pruned) => self.pruned(pruned),
            }
        }
    }

    /// The bundle to be shown is in the store, or was not accepted.
    fn opened(
        &mut self,
        opened: Result<Bundle, Failure>,
        engine: &mut EngineKeeper,
        now: Instant,
        news: &mut News,
    ) {
        let bundle = match opened {
            Ok(bundle) if bundle.digest == self.shown.digest => {
                let failed = failure::of("same", "this model is shown already. There is nothing to do");
                return self.happen(Happened::Failed(failed), engine, now, news);
            }
            Ok(bundle) => bundle,
            Err(failed) => return self.happen(Happened::Failed(failed), engine, now, news),
        };
        let is_awaited = self
            .deployment
            .as_ref()
            .is_some_and(|deployment| matches!(deployment.state(), State::Verifying | State::Staging));
        if !is_awaited {
            return;
        }
        let figures = figures_of(&bundle);
        self.candidate = Some(engine.opener(bundle));
        self.happen(Happened::Stored(figures), engine, now, news);
    }

    /// Builds the candidate's engine on a thread that yields to everything else.
    fn build(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        let Some(candidate) = &self.candidate else { return };
        if !candidate.needs_build() {
            return self.happen(Happened::Built, engine, now, news);
        }
        let opener = candidate.clone();
        let build = move || {
            let _ = rustix::process::nice(15);
            opener.build()
        };
        match errand::run("build", build) {
            Ok(built) => self.building = Some(built),
            Err(error) => {
                let failed = failure::of("engine", &format!("{error:#}"));
                self.happen(Happened::Failed(failed), engine, now, news);
            }
        }
    }

    pub(super) fn look_at_build(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        let Some(built) = self.building.as_ref().and_then(|building| building.try_recv().ok()) else {
            return;
        };
        self.building = None;
        let what = match built {
            Ok(()) => Happened::Built,
            Err(error) => Happened::Failed(failure::of_engine(&error)),
        };
        self.happen(what, engine, now, news);
    }

    /// The candidate's engine is open and proven, or is not.
    pub fn candidate(
        &mut self,
        opened: Result<Arc<Model>, EngineError>,
        engine: &mut EngineKeeper,
        now: Instant,
    ) -> News {
        let mut news = News::default();
        if let Some(going_back) = &self.going_back {
            if let Err(error) = opened {
                tracing::error!(%error, why = %going_back.why, "the model before cannot be opened; the new one stays");
                self.reaper.take(engine.drop_candidate());
                self.going_back = None;
            } else if let Some((inference, over)) = engine.swap_in() {
                news.changes.push(Change::Model(inference));
                over.into_iter().for_each(|over| self.reaper.take(over));
                self.is_back(engine, &mut news);
            }
            return news;
        }
        let what = match opened {
            Ok(_) => Happened::Proven,
            Err(error) => Happened::Failed(failure::of_engine(&error)),
        };
        self.happen(what, engine, now, &mut news);
        news
    }

    /// Records what is about to be shown. A way back is not held up by the store: it is shown first.
    fn record(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        let (Some(deployment), Some(candidate)) = (&self.deployment, &self.candidate) else { return };
        let digest = candidate.bundle().digest.clone();
        match deployment.kind {
            Kind::Deploy => self.ask(Ask::Begin(digest, deployment.id)),
            Kind::Use => self.ask(Ask::Use(digest)),
            Kind::RollBack => {
                let withdrawn = failure::withdrawn(&deployment.who);
                let why = format!("{}: {}", withdrawn.gate, withdrawn.message);
                self.record_way_back(self.shown.digest.clone(), why, true, now);
                self.happen(Happened::Recorded, engine, now, news);
            }
        }
    }

    fn swap(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        self.end_shadow("another model is shown from now on");
        let Some((inference, over)) = engine.swap_in() else { return };
        over.into_iter().for_each(|over| self.reaper.take(over));
        let shown = figures_of(engine.bundle());
        let history = std::mem::replace(&mut self.history, History::new(now));
        let old = std::mem::replace(&mut self.shown, shown.clone());
        self.before = Some((old, history));
        news.changes.push(Change::Model(inference));
        news.shown = Some((engine.model().cloned(), shown));
    }

    pub(super) fn begin_probation(&mut self, baseline: Option<Behaviour>, now: Instant) {
        (self.probed, self.keep_due) = (None, None);
        // What was shown up to now is not the new model's doing.
        self.read_answers(now);
        self.probation = Some(Probation::new(self.bounds, baseline.unwrap_or_default(), now));
    }

    pub(super) fn look_at_probation(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        let Some(probation) = &self.probation else { return };
        match probation.look(now) {
            Verdict::GoesOn => {}
            Verdict::Passed => self.happen(Happened::Passed, engine, now, news),
            Verdict::Tripped(failed) => self.happen(Happened::Failed(failed), engine, now, news),
        }
    }

    /// The shown engine is at one crop for so long.
    pub fn hangs(&mut self, seconds: f64, engine: &mut EngineKeeper, now: Instant) -> News {
        let mut news = News::default();
        if self.probation.is_none() {
            engine.reopen();
            return news;
        }
        let said = format!(
            "the engine is at one frame for {seconds:.1} s. Test the bundle with `nervelightd check --deep`"
        );
        let failed = Failure { figure: Some(seconds), ..failure::of("hang", &said) };
        self.happen(Happened::Failed(failed), engine, now, &mut news);
        news
    }
}
