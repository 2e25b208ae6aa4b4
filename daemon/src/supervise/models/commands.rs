//! What a person or a program asks about models.

use std::time::Instant;

use nervelight_engines::store::models::{self, ModelsError};

use super::{GoingBack, ModelKeeper, News, Purpose};
use crate::control::{Answer, ControlError, ErrorKind, ModelCommand, Reply, Request};
use crate::deploy::store::Ask;
use crate::deploy::{Deployment, Happened, failure};
use crate::status::deployment::{Failure, Kind, State};
use crate::status::models::StoreFigures;
use crate::supervise::engine::EngineKeeper;

fn refuse<T>(kind: ErrorKind, message: impl Into<String>) -> Result<T, ControlError> {
    Err(ControlError::new(kind, message))
}

impl ModelKeeper<'_> {
    /// Carries out a command about models; `request` is answered at once, or when the store has answered.
    pub fn carry_out(&mut self, request: Request, what: ModelCommand, engine: &mut EngineKeeper) -> News {
        let (now, mut news) = (Instant::now(), News::default());
        let Some(store) = self.view.store().filter(|_| self.store.is_some()) else {
            request.answer(refuse(ErrorKind::Conflict, self.view.absence()));
            return news;
        };
        let answer = match what {
            ModelCommand::Deploy { bundle, who } => match self.free() {
                Ok(()) => {
                    self.begin(Kind::Deploy, who, now);
                    self.tell(now);
                    self.opening.push_back(Purpose::Deployment(self.deployments));
                    self.ask(Ask::Stage(bundle));
                    Ok(Reply::Deploying { deployment: self.deployments })
                }
                Err(error) => {
                    // It belongs to the daemon: whoever sent it may send it again.
                    if let Err(error) = std::fs::remove_file(&bundle) {
                        tracing::warn!(%error, tar = %bundle.display(), "cannot be removed");
                    }
                    Err(error)
                }
            },
            ModelCommand::Use { digest, who } => find(&store, &digest)
                .and_then(|digest| self.use_stored(&store, digest, who, engine, now, &mut news)),
            ModelCommand::RollBack { who } => self.roll_back(&store, who, engine, now, &mut news),
            ModelCommand::Shadow { digest: Some(digest) } => {
                find(&store, &digest).and_then(|digest| self.start_shadow(digest))
            }
            ModelCommand::Shadow { digest: None } => match self.shadow.is_some() {
                true => {
                    self.end_shadow("somebody ended it");
                    Ok(Reply::Shadow { digest: None })
                }
                false => refuse(ErrorKind::Conflict, "no shadow runs"),
            },
            ModelCommand::Prune => {
                self.prune(Some(request));
                return news;
            }
        };
        request.answer(answer);
        news
    }

    /// Whether a deployment may begin.
    fn free(&self) -> Result<(), ControlError> {
        if let Some(deployment) = self.deployment.as_ref().filter(|deployment| !deployment.state().is_over())
        {
            let (id, who, state) = (deployment.id, &deployment.who, deployment.state().name());
            return refuse(
                ErrorKind::Conflict,
                format!(
                    "deployment {id} by {who} is at {state}. Wait for its end, or end it: `nervelightd models rollback`"
                ),
            );
        }
        match &self.going_back {
            None => Ok(()),
            Some(GoingBack { is_shown: true, .. }) => refuse(
                ErrorKind::Conflict,
                "the model before is shown again, and the store does not know yet. Wait for it; where its disk is full, \
                 make room",
            ),
            Some(_) => refuse(ErrorKind::Conflict, "the model before is just being shown again. Wait for it"),
        }
    }

    /// Whether [`ModelCommand::RollBack`] would do anything.
    pub(super) fn can_go_back(&self) -> bool {
        if let Some(deployment) = self.deployment.as_ref().filter(|deployment| !deployment.state().is_over())
        {
            return deployment.kind != Kind::RollBack;
        }
        let Some(store) = self.view.store().filter(|_| self.going_back.is_none()) else { return false };
        // The store never leads to what was left.
        store.previous.is_some_and(|previous| previous != self.shown.digest)
    }

    fn begin(&mut self, kind: Kind, who: String, now: Instant) {
        self.deployments += 1;
        self.probed = None;
        self.deployment = Some(Deployment::new(self.deployments, kind, who, now));
    }

    /// Begins to show a stored model.
    fn begin_stored(&mut self, kind: Kind, who: String, store: &StoreFigures, digest: &str, now: Instant) {
        self.begin(kind, who, now);
        let stored = store.models.iter().find(|stored| stored.model.digest == digest);
        if let (Some(deployment), Some(stored)) = (&mut self.deployment, stored) {
            deployment.model = Some(stored.model.clone());
        }
        self.tell(now);
        self.open(Purpose::Deployment(self.deployments), digest.into());
    }

    /// The model before, while it is on its way back.
    fn way_back(&self) -> Option<String> {
        if let Some(going_back) = &self.going_back {
            let before = self.before.as_ref().filter(|_| !going_back.is_shown);
            return Some(before.map_or(&self.shown, |(model, _)| model).digest.clone());
        }
        let is_way_back = |now: &&Deployment| now.kind == Kind::RollBack && !now.state().is_over();
        let deployment = self.deployment.as_ref().filter(is_way_back)?;
        deployment.model.as_ref().map(|model| model.digest.clone())
    }

    /// An operator knows which model to run.
    fn use_stored(
        &mut self,
        store: &StoreFigures,
        digest: String,
        who: String,
        engine: &mut EngineKeeper,
        now: Instant,
        news: &mut News,
    ) -> Answer {
        let is_on_probation = self.probation.is_some();
        if digest == self.shown.digest {
            if !is_on_probation {
                return refuse(ErrorKind::Conflict, "this model is shown already");
            }
            // Whoever says so has seen enough.
            self.happen(Happened::Passed, engine, now, news);
            return Ok(Reply::ModelOpening { digest });
        }
        if is_on_probation && self.before.as_ref().is_some_and(|(model, _)| model.digest == digest) {
            self.happen(Happened::Failed(failure::withdrawn(&who)), engine, now, news);
            return Ok(Reply::ModelOpening { digest });
        }
        self.free()?;
        self.begin_stored(Kind::Use, who, store, &digest, now);
        Ok(Reply::ModelOpening { digest })
    }

    /// Ends what goes on, or goes back to the model before the present one.
    fn roll_back(
        &mut self,
        store: &StoreFigures,
        who: String,
        engine: &mut EngineKeeper,
        now: Instant,
        news: &mut News,
    ) -> Answer {
        // Who asks twice is impatient, and wants the same.
        if let Some(digest) = self.way_back() {
            return Ok(Reply::ModelOpening { digest });
        }
        let state = self.deployment.as_ref().map(Deployment::state);
        match state {
            Some(State::Swapping) => {
                return refuse(ErrorKind::Conflict, "the model is just being swapped. Try again in a second");
            }
            Some(state) if !state.is_over() => {
                let failed = failure::withdrawn(&who);
                let failed = match state {
                    State::Probation => failed,
                    _ => Failure { message: format!("{who} ended it before it was shown"), ..failed },
                };
                self.happen(Happened::Failed(failed), engine, now, news);
                let digest = match &self.before {
                    Some((model, _)) if state == State::Probation => model.digest.clone(),
                    _ => self.shown.digest.clone(),
                };
                return Ok(Reply::ModelOpening { digest });
            }
            _ => self.free()?,
        }
        let Some(previous) = store.previous.clone().filter(|previous| *previous != self.shown.digest) else {
            let message = match &store.rolled_back {
                Some(left) if left.digest != self.shown.digest => format!(
                    "no earlier model is stored, but the one that was left because of this: {}. To run it all the same, \
                     choose it: `nervelightd models use {}`",
                    left.why, left.digest
                ),
                _ => "no earlier model is stored to go back to. Choose one: `nervelightd models use DIGEST`"
                    .into(),
            };
            return refuse(ErrorKind::Conflict, message);
        };
        self.begin_stored(Kind::RollBack, who, store, &previous, now);
        Ok(Reply::ModelOpening { digest: previous })
    }

    fn start_shadow(&mut self, digest: String) -> Answer {
        if digest == self.shown.digest {
            return refuse(ErrorKind::Conflict, "this model is shown; a shadow is another one");
        }
        self.free()?;
        self.open(Purpose::Shadow, digest.clone());
        Ok(Reply::Shadow { digest: Some(digest) })
    }

    /// Removes what nothing needs, and answers who asked for it. Each deployment that stays does so, too.
    pub(super) fn prune(&mut self, request: Option<Request>) {
        self.pruning.push_back(request);
        let candidate = self.candidate.as_ref().map(|candidate| candidate.bundle().digest.clone());
        let shadow = self.shadow.as_ref().map(|shadow| shadow.figures().model.digest);
        let keep = [Some(self.shown.digest.clone()), candidate, shadow];
        self.ask(Ask::Prune(keep.into_iter().flatten().collect()));
    }

    pub(super) fn pruned(&mut self, pruned: Result<Vec<String>, Failure>) {
        let request = self.pruning.pop_front().flatten();
        match (&pruned, &request) {
            (Ok(digests), None) if !digests.is_empty() => {
                tracing::info!(?digests, "removed bundles that nothing needs");
            }
            (Err(failed), None) => tracing::error!("{}. {}", failed.message, failed.remedy),
            _ => {}
        }
        if let Some(request) = request {
            request.answer(match pruned {
                Ok(digests) => Ok(Reply::Pruned { digests }),
                Err(failed) => {
                    refuse(ErrorKind::Unavailable, format!("{}. {}", failed.message, failed.remedy))
                }
            });
        }
    }

    /// A bundle that came by a deployment and was never shown is of no use, but to a shadow.
    pub(super) fn remove_refused(&self, digest: String) {
        let is_deployed = self.deployment.as_ref().is_some_and(|now| now.kind == Kind::Deploy);
        let is_shadow = self.shadow.as_ref().is_some_and(|shadow| shadow.figures().model.digest == digest);
        if is_deployed && !is_shadow && digest != self.shown.digest {
            self.ask(Ask::Remove(digest));
        }
    }
}

/// The stored digest that begins so.
fn find(store: &StoreFigures, beginning: &str) -> Result<String, ControlError> {
    let digests = store.models.iter().map(|stored| stored.model.digest.clone());
    models::find(digests, beginning).or_else(|error| {
        let kind = match error {
            ModelsError::Unknown { .. } => ErrorKind::NotFound,
            _ => ErrorKind::BadRequest,
        };
        refuse(kind, error.to_string())
    })
}
