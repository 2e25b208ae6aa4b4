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
        let mut state = self.state().clone();
        state.approve(&probation.digest);
        (state.probation, state.floor) = (None, state.floor.max(serial));
        self.become_state(state)
    }

    /// Goes back to [`previous_model`](super::Catalog::previous_model); returns its digest. What is left is gone back to no
    /// more, until it is kept or chosen anew.
    ///
    /// # Errors
    /// When there is none.
    pub fn roll_back(&mut self, why: &str) -> Result<String, ModelsError> {
        let to = self.previous_model().ok_or(ModelsError::NoPrevious)?.to_owned();
        self.go_back_to(&to, why)?;
        Ok(to)
    }

    /// Leaves the active model for this one.
    pub(super) fn go_back_to(&mut self, digest: &str, why: &str) -> Result<(), ModelsError> {
        let mut state = self.state().clone();
        let left = state.active.replace(digest.into()).ok_or(ModelsError::NoPrevious)?;
        state.kept.retain(|kept| *kept != left);
        let others = state.kept.iter().rev().filter(|kept| *kept != digest);
        state.previous = others.into_iter().find(|kept| self.is_stored(kept)).cloned();
        state.probation = None;
        state.rolled_back = Some(RolledBack { digest: left, why: why.into(), when: now() });
        self.become_state(state)
    }

    /// The stored bundle with this digest, or this beginning of one, runs from now on: an operator's choice, which may be
    /// below the floor. Returns its digest.
    ///
    /// # Errors
    /// When it is not stored, or runs already.
    pub fn use_stored(&mut self, digest: &str) -> Result<String, ModelsError> {
        let mut state = self.with_active(digest)?;
        let digest = state.active.clone().unwrap_or_default();
        state.approve(&digest);
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
        let mut state = self.state().clone();
        if state.active.as_ref() == Some(&digest) {
            return Err(ModelsError::Active { digest });
        }
        // Stores of earlier versions did not remember what was kept.
        if let (Some(active), None) = (&state.active, &state.probation)
            && !state.kept.contains(active)
        {
            let active = active.clone();
            state.approve(&active);
        }
        Ok(State { previous: state.active, active: Some(digest), ..state })
    }

    /// Writes the state, and has it only once it is written.
    pub(super) fn become_state(&mut self, state: State) -> Result<(), ModelsError> {
        state.write(&self.root().join("state.json"))?;
        self.catalog.state = state;
        self.catalog.is_lost = false;
        Ok(())
    }
}
