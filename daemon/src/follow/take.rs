//! Fetches a model, has it deployed, and waits for what becomes of it.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use nervelight_engines::store::disk;
use nervelight_engines::store::models::{self, Catalog, RESERVE};
use nervelight_registry::{Offered, Registry};

use crate::control::{Command, ControlError, ErrorKind, ModelCommand, Reply};
use crate::follow::Follower;
use crate::status::FollowState;
use crate::status::deployment::{DeploymentFigures, State};

/// Between two looks at a deployment.
const LOOK: Duration = Duration::from_millis(500);
/// A deployment that the daemon did not survive so often is given up.
const MOST_TRIES: u32 = 3;
/// The ending of what is being fetched.
const FETCHED: &str = "fetched";

/// What became of a deployment.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Kept,
    Rejected(String),
}

impl Follower {
    /// Fetches what is offered and deploys it, up to its end.
    pub(super) async fn take(&mut self, registry: &Registry, offered: &Offered) -> Result<()> {
        let folder = Catalog::read(&self.store)?.uploads();
        let fetched = folder.join(&offered.digest).with_extension(FETCHED);
        self.forget_others(&folder, &fetched);
        let have = fs::metadata(&fetched).map_or(0, |meta| meta.len());
        // The tar, and the bundle in it.
        let (needed, free) = ((2 * offered.bytes).saturating_sub(have) + RESERVE, disk::free(&folder)?);
        ensure!(
            free >= needed,
            "the model needs {needed} free bytes in {} and there are {free}. Remove old ones with `nervelightd models \
             prune`",
            folder.display()
        );
        self.stand(FollowState::Taking, "fetching it", offered);
        let figures = self.figures.clone();
        registry.pull(offered, &fetched, |bytes| figures.change(|now| now.fetched = Some(bytes))).await?;

        let whole = fetched.with_extension("tar");
        fs::rename(&fetched, &whole)?;
        self.memory.try_it(&offered.digest)?;
        let deploy =
            ModelCommand::Deploy { bundle: whole.clone(), who: format!("follow {}", self.follow.tag) };
        let id = match self.control.ask(Command::Model(deploy)).await {
            Ok(Reply::Deploying { deployment }) => deployment,
            Ok(_) => 0,
            Err(ControlError { kind: ErrorKind::Conflict | ErrorKind::Unavailable, message }) => {
                // Another deployment is under way. It was not tried.
                self.memory.untry(false)?;
                fs::rename(&whole, &fetched)?;
                self.stand(FollowState::Taking, &format!("waits: {message}"), offered);
                return Ok(());
            }
            Err(error) => {
                self.memory.end(&offered.digest, false, &error.message)?;
                return Ok(fs::remove_file(&whole)?);
            }
        };
        self.stand(FollowState::Taking, "deploying it", offered);
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
            let deployment = self.status.get().and_then(|snapshot| snapshot.models.deployment);
            match deployment {
                Some(now) if now.id == id => {
                    if let Some(end) = end(&now) {
                        self.end(&offered.digest, end)?;
                        return self.publish(registry, &offered.digest).await;
                    }
                }
                // Somebody did something else since: the store knows how this one ended.
                Some(now) if now.id > id => return self.settle(),
                _ => {}
            }
        }
        Ok(())
    }

    /// Finds out what became of the deployment that the daemon before this one began.
    pub(super) fn settle(&mut self) -> Result<()> {
        let Some(trying) = self.memory.trying().cloned() else { return Ok(()) };
        let state = Catalog::read(&self.store)?.state().clone();
        match settled(&state, &trying.digest) {
            Settled::Goes => Ok(()),
            Settled::Ended(end) => self.end(&trying.digest, end),
            Settled::Unknown if trying.times >= MOST_TRIES => {
                let why = format!("the daemon ended {MOST_TRIES} times while it was deployed");
                self.end(&trying.digest, End::Rejected(why))
            }
            // It is tried once more.
            Settled::Unknown => Ok(self.memory.untry(true)?),
        }
    }

    fn end(&mut self, digest: &str, end: End) -> Result<()> {
        let (kept, why) = match end {
            End::Kept => (true, String::new()),
            End::Rejected(why) => (false, why),
        };
        Ok(self.memory.end(digest, kept, &why)?)
    }

    /// Removes what was being fetched when the tag moved on.
    fn forget_others(&self, folder: &Path, but: &Path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_other = |path: &std::path::PathBuf| {
            path != but && path.extension().is_some_and(|ending| ending == FETCHED)
        };
        for path in entries.filter(is_other) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an unfinished model cannot be removed");
            }
        }
    }
}

/// What a deployment came to, if it did.
fn end(deployment: &DeploymentFigures) -> Option<End> {
    let why = || {
        deployment
            .failed
            .as_ref()
            .map_or_else(String::new, |failed| format!("{}: {}", failed.gate, failed.message))
    };
    match deployment.state {
        state if !state.is_over() => None,
        State::Kept => Some(End::Kept),
        _ => Some(End::Rejected(why())),
    }
}

/// What the store knows of a deployment that a daemon before this one began.
#[derive(Debug, PartialEq, Eq)]
enum Settled {
    /// It goes on.
    Goes,
    /// It ended.
    Ended(End),
    /// Nothing: it did not get that far.
    Unknown,
}

fn settled(state: &models::State, digest: &str) -> Settled {
    let is = |other: &Option<String>| other.as_deref() == Some(digest);
    let tried = state.probation.as_ref().map(|probation| probation.digest.clone());
    match &state.rolled_back {
        _ if is(&tried) => Settled::Goes,
        _ if is(&state.active) => Settled::Ended(End::Kept),
        Some(left) if left.digest == digest => Settled::Ended(End::Rejected(left.why.clone())),
        _ => Settled::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use nervelight_engines::store::models::{Probation, RolledBack};

    use super::*;

    #[test]
    fn what_became_of_a_deployment_is_seen_in_the_store() {
        let digest = |c: &str| c.repeat(64);
        let active = |c: &str| models::State { active: Some(digest(c)), ..models::State::default() };
        let tried = Probation { digest: digest("a"), deployment: 1, begun: 0, stopped: true };
        let on_probation = models::State { probation: Some(tried), ..active("a") };
        assert_eq!(settled(&on_probation, &digest("a")), Settled::Goes);
        assert_eq!(settled(&active("a"), &digest("a")), Settled::Ended(End::Kept));
        let left = RolledBack { digest: digest("a"), why: "golden".into(), when: 0 };
        let back = models::State { rolled_back: Some(left), ..active("b") };
        assert_eq!(settled(&back, &digest("a")), Settled::Ended(End::Rejected("golden".into())));
        assert_eq!(settled(&active("b"), &digest("a")), Settled::Unknown);
    }
}
