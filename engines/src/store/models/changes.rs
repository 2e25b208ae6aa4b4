//! What may become of the state. Each change is one replaced file, or none.

use super::{Models, ModelsError, Probation, RolledBack, State};
use crate::store::engines::now;

impl Models {
    /// The bundle with this digest runs from now on, and is tried; what ran before is kept to go back to.
    ///
    /// # Errors
    /// When it is not stored, or runs already.
    pub fn begin_probation(&mut self, digest: &str, deployment: u64) -> Result<(), ModelsError> {
        let mut state = self.with_active(digest)?;
        let digest = state.active.clone().unwrap_or_default();
        state.probation = Some(Probation { digest, deployment, begun: now(), stopped: false });
        self.become_state(state)
    }

    /// The model on probation is kept: it raises the floor to its serial.
    ///
    /// # Errors
    /// When none is on probation.
    pub fn keep(&mut self) -> Result<(), ModelsError> {
        let probation = self.state().probation.as_ref().ok_or(ModelsError::NoProbation)?;
        let serial = self.serial(&probation.digest)?;
        let floor = self.state().floor.max(serial);
        self.become_state(State { probation: None, floor, ..self.state().clone() })
    }

    /// Goes back to the model before; returns its digest.
    ///
    /// # Errors
    /// When there is none.
    pub fn roll_back(&mut self, why: &str) -> Result<String, ModelsError> {
        let State { active, previous, .. } = self.state().clone();
        let (Some(left), Some(now_active)) = (active, previous) else {
            return Err(ModelsError::NoPrevious);
        };
        let rolled_back = RolledBack { digest: left.clone(), why: why.into(), when: now() };
        self.become_state(State {
            active: Some(now_active.clone()),
            previous: Some(left),
            probation: None,
            rolled_back: Some(rolled_back),
            ..self.state().clone()
        })?;
        Ok(now_active)
    }

    /// The stored bundle with this digest, or this beginning of one, runs from now on: an operator's choice, which may be
    /// below the floor. Returns its digest.
    ///
    /// # Errors
    /// When it is not stored, or runs already.
    pub fn use_stored(&mut self, digest: &str) -> Result<String, ModelsError> {
        let state = self.with_active(digest)?;
        let digest = state.active.clone().unwrap_or_default();
        self.become_state(State { probation: None, ..state })?;
        Ok(digest)
    }

    /// The daemon stops in order while a model is on probation; it will begin again.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn stop_probation(&mut self) -> Result<(), ModelsError> {
        self.mark_probation(true)
    }

    /// It has begun again.
    pub(super) fn resume_probation(&mut self) -> Result<(), ModelsError> {
        self.mark_probation(false)
    }

    fn mark_probation(&mut self, stopped: bool) -> Result<(), ModelsError> {
        let Some(probation) = self.state().probation.clone() else { return Ok(()) };
        self.become_state(State {
            probation: Some(Probation { stopped, ..probation }),
            ..self.state().clone()
        })
    }

    /// The state with another active bundle.
    fn with_active(&self, digest: &str) -> Result<State, ModelsError> {
        let digest = self.find(digest)?;
        let state = self.state().clone();
        if state.active.as_ref() == Some(&digest) {
            return Err(ModelsError::Active { digest });
        }
        Ok(State { previous: state.active, active: Some(digest), ..state })
    }

    /// Writes the state, and has it only once it is written.
    pub(super) fn become_state(&mut self, state: State) -> Result<(), ModelsError> {
        state.write(&self.root().join("state.json"))?;
        self.catalog.state = state;
        Ok(())
    }
}
