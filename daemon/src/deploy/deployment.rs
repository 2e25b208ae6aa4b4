//! One deployment: a pure state machine. It is told what has happened and says what to do next; it does nothing itself and
//! knows no clock.

use std::time::Instant;

use crate::status::deployment::{
    DeploymentFigures, Failure, Kind, ModelFigures, ProbationFigures, State, Step,
};

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// Signature and manifest are good.
    Verified(ModelFigures),
    /// The bundle is in the store, whole.
    Stored(ModelFigures),
    /// What has to be built is built.
    Built,
    /// The engine is open and agrees with the golden frames.
    Proven,
    /// The store knows that the model is about to be shown.
    Recorded,
    /// The frame thread has it.
    Shown,
    /// The probation is over, and the model has kept to all bounds.
    Passed,
    /// The store knows that the model stays.
    Kept,
    /// A step failed, or a gate of the probation did.
    Failed(Failure),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Build the engine, at low priority.
    Build,
    /// Open and prove it.
    Prove,
    /// Record in the store what is about to be shown.
    Record,
    /// Give the engine to the frame thread.
    Swap,
    /// Watch it.
    Watch,
    /// Record in the store that the model stays.
    Keep,
    /// Let go of the model before it.
    Finish,
    /// Let go of the new model, which was never shown.
    Discard,
    /// Show the model before it again.
    GoBack,
}

/// One deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Counts the deployments of this process, from 1.
    pub id: u64,
    /// What it does.
    pub kind: Kind,
    /// Who asked.
    pub who: String,
    /// The model, once it is known.
    pub model: Option<ModelFigures>,
    state: State,
    since: Instant,
    steps: Vec<Step>,
    failed: Option<Failure>,
}

impl Deployment {
    /// One that begins at `now`, with the first step of its kind.
    pub fn new(id: u64, kind: Kind, who: String, now: Instant) -> Self {
        let state = match kind {
            Kind::Deploy => State::Verifying,
            Kind::Use | Kind::RollBack => State::Staging,
        };
        Self { id, kind, who, model: None, state, since: now, steps: vec![], failed: None }
    }

    /// One whose model was on probation when the daemon was stopped in order: that begins again.
    pub fn resumed(id: u64, model: ModelFigures, now: Instant) -> Self {
        let new = Self::new(id, Kind::Deploy, "an earlier run".into(), now);
        Self { model: Some(model), state: State::Probation, ..new }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it failed, if it did.
    pub fn failed(&self) -> Option<&Failure> {
        self.failed.as_ref()
    }

    /// Takes in what has happened at `now`. What cannot happen in this state changes nothing.
    pub fn happen(&mut self, what: Happened, now: Instant) -> Option<Task> {
        let (state, task) = match (self.state, what) {
            (State::Verifying, Happened::Verified(model)) => {
                self.model = Some(model);
                (State::Staging, None)
            }
            (State::Verifying | State::Staging, Happened::Stored(model)) => {
                self.model = Some(model);
                (State::Building, Some(Task::Build))
            }
            (State::Building, Happened::Built) => (State::Proving, Some(Task::Prove)),
            (State::Proving, Happened::Proven) => (State::Swapping, Some(Task::Record)),
            (State::Swapping, Happened::Recorded) => (State::Swapping, Some(Task::Swap)),
            (State::Swapping, Happened::Shown) => match self.kind {
                Kind::Deploy => (State::Probation, Some(Task::Watch)),
                Kind::Use | Kind::RollBack => (State::Kept, Some(Task::Finish)),
            },
            (State::Probation, Happened::Passed) => (State::Probation, Some(Task::Keep)),
            (State::Probation, Happened::Kept) => (State::Kept, Some(Task::Finish)),
            (state, Happened::Failed(failure)) if !state.is_over() => {
                self.failed = Some(failure);
                match state {
                    State::Verifying | State::Staging => (State::Refused, Some(Task::Discard)),
                    State::Probation => (State::RolledBack, Some(Task::GoBack)),
                    _ => (State::Failed, Some(Task::Discard)),
                }
            }
            _ => return None,
        };
        if state != self.state {
            self.steps.push(Step { state: self.state, seconds: self.seconds(now) });
            (self.state, self.since) = (state, now);
        }
        task
    }

    fn seconds(&self, now: Instant) -> f64 {
        (now.saturating_duration_since(self.since).as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// As others see it.
    pub fn figures(
        &self,
        now: Instant,
        progress: Option<f32>,
        probation: Option<ProbationFigures>,
    ) -> DeploymentFigures {
        let model = self.model.as_ref();
        let present = Step { state: self.state, seconds: self.seconds(now) };
        DeploymentFigures {
            id: self.id,
            kind: self.kind,
            who: self.who.clone(),
            digest: model.map(|model| model.digest.clone()),
            model: model.map(|model| format!("{} {}", model.name, model.version)),
            serial: model.and_then(|model| model.serial),
            state: self.state,
            step_since_s: present.seconds,
            progress,
            steps: self.steps.iter().copied().chain([present]).collect(),
            failed: self.failed.clone(),
            probation,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failure(gate: &'static str) -> Happened {
        let (message, remedy) = ("it failed".into(), "do something".into());
        Happened::Failed(Failure { gate, frame: None, figure: None, bound: None, message, remedy })
    }

    /// What each of `happened` makes of a deployment, a second apart.
    fn go(kind: Kind, happened: Vec<Happened>) -> (Deployment, Vec<Option<Task>>, Instant) {
        let start = Instant::now();
        let mut deployment = Deployment::new(7, kind, "anna".into(), start);
        let at = |n: usize| start + Duration::from_secs(n as u64 + 1);
        let end = at(happened.len());
        let tasks =
            happened.into_iter().enumerate().map(|(n, what)| deployment.happen(what, at(n))).collect();
        (deployment, tasks, end)
    }

    fn stored() -> Happened {
        Happened::Stored(ModelFigures { digest: "d".into(), name: "nerve".into(), ..Default::default() })
    }

    fn verified() -> Happened {
        Happened::Verified(ModelFigures { name: "nerve".into(), serial: Some(4), ..Default::default() })
    }

    #[test]
    fn a_refused_bundle_has_a_name_once_its_manifest_was_read() {
        let (deployment, _, end) = go(Kind::Deploy, vec![verified(), failure("serial")]);
        let figures = deployment.figures(end, None, None);
        assert_eq!((figures.state, figures.serial), (State::Refused, Some(4)));
        assert!(figures.model.is_some_and(|model| model.starts_with("nerve")));
    }

    #[test]
    fn a_good_model_goes_all_the_way() {
        use Happened::{Built, Kept, Passed, Proven, Recorded, Shown};
        let way = vec![verified(), stored(), Built, Proven, Recorded, Shown, Passed, Kept];
        let (deployment, tasks, end) = go(Kind::Deploy, way);
        let expected = [
            None,
            Some(Task::Build),
            Some(Task::Prove),
            Some(Task::Record),
            Some(Task::Swap),
            Some(Task::Watch),
            Some(Task::Keep),
            Some(Task::Finish),
        ];
        assert_eq!(tasks, expected);
        let figures = deployment.figures(end, None, None);
        assert_eq!((figures.state, figures.id, figures.failed), (State::Kept, 7, None));
        let steps: Vec<_> = figures.steps.iter().map(|step| (step.state, step.seconds)).collect();
        let seconds = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0];
        let states = State::ALL.into_iter().take(7);
        assert_eq!(steps, states.zip(seconds).collect::<Vec<_>>());
    }

    #[test]
    fn an_operators_choice_has_no_probation() {
        use Happened::{Built, Proven, Recorded, Shown};
        let (deployment, tasks, _) = go(Kind::Use, vec![stored(), Built, Proven, Recorded, Shown]);
        assert_eq!((deployment.state(), tasks[4]), (State::Kept, Some(Task::Finish)));
    }

    #[test]
    fn each_step_fails_into_its_own_end() {
        use Happened::{Built, Proven, Recorded, Shown};
        let way = [verified(), stored(), Built, Proven, Recorded, Shown];
        for (done, state, task) in [
            (0, State::Refused, Task::Discard),
            (1, State::Refused, Task::Discard),
            (2, State::Failed, Task::Discard),
            (3, State::Failed, Task::Discard),
            (4, State::Failed, Task::Discard),
            (6, State::RolledBack, Task::GoBack),
        ] {
            let happened = way[..done].iter().cloned().chain([failure("golden")]).collect();
            let (mut deployment, tasks, end) = go(Kind::Deploy, happened);
            assert_eq!((deployment.state(), tasks[done]), (state, Some(task)), "after {done}");
            assert_eq!(deployment.failed().map(|failure| failure.gate), Some("golden"));
            // What comes late changes nothing any more.
            for late in [failure("other"), Happened::Passed, Happened::Kept, Happened::Shown] {
                assert_eq!(deployment.happen(late, end), None);
            }
            assert_eq!(deployment.failed().map(|failure| failure.gate), Some("golden"));
        }
    }

    #[test]
    fn what_cannot_happen_changes_nothing() {
        let now = Instant::now();
        let mut deployment = Deployment::new(1, Kind::Deploy, "anna".into(), now);
        for what in [Happened::Built, Happened::Proven, Happened::Recorded, Happened::Shown, Happened::Kept] {
            assert_eq!((deployment.happen(what, now), deployment.state()), (None, State::Verifying));
        }
    }
}
