//! Follows a deployment on a cart to its end.

use std::time::{Duration, Instant};

use crate::client::answers::Deployment;
use crate::client::cart::{Cart, ClientError};

/// Between looks.
const LOOK: Duration = Duration::from_millis(300);
/// Between looks while the cart does not answer.
const LOOK_LOST: Duration = Duration::from_secs(2);

/// A cart shows a deployment within it.
const UNSEEN: Duration = Duration::from_secs(5);

/// What a deployment came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The model passed its probation, and runs.
    Kept,
    /// The cart did not take it; why.
    Refused(String),
    /// It did not get as far as running; why.
    Failed(String),
    /// It ran, and the old one runs again; why.
    RolledBack(String),
}

impl Outcome {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::RolledBack(_) => "rolled back",
        }
    }

    /// Why, if not.
    pub fn why(&self) -> &str {
        match self {
            Self::Kept => "",
            Self::Refused(why) | Self::Failed(why) | Self::RolledBack(why) => why,
        }
    }

    fn of(deployment: &Deployment) -> Option<Self> {
        let why = || {
            deployment.failed.as_ref().map_or_else(|| "no reason was given".into(), |failed| failed.words())
        };
        Some(match deployment.state.as_str() {
            "kept" => Self::Kept,
            "refused" => Self::Refused(why()),
            "failed" => Self::Failed(why()),
            "rolled_back" => Self::RolledBack(why()),
            _ => return None,
        })
    }
}

/// Follows deployment `id` of the bundle `digest` to its end; `at` hears each look, and why there is none. It is given up
/// when the cart has not answered for `patience`.
///
/// # Errors
/// When the cart cannot be reached for so long, or refuses to say.
pub async fn watch(
    cart: &Cart,
    id: u64,
    digest: &str,
    patience: Duration,
    mut at: impl FnMut(Result<&Deployment, &str>),
) -> Result<Outcome, ClientError> {
    let mut last = Instant::now();
    // Since when something else is seen.
    let mut other: Option<Instant> = None;
    loop {
        let looked = match cart.deployment().await {
            // Its digest is known once its head was read; a daemon that was started again counts from 1 again.
            Ok(Some(deployment))
                if deployment.digest.as_ref().map_or(deployment.id == id, |of| of == digest) =>
            {
                other = None;
                at(Ok(&deployment));
                Ok(Outcome::of(&deployment))
            }
            // It may not be seen yet.
            Ok(_) if other.get_or_insert_with(Instant::now).elapsed() < UNSEEN => Ok(None),
            // The daemon was started again, or somebody did something else: what runs now is what came of it.
            Ok(_) => cart.active().await.map(|active| match active {
                Some(active) if active == digest => Some(Outcome::Kept),
                Some(_) => {
                    Some(Outcome::RolledBack("another model was chosen, or the daemon started again".into()))
                }
                None => None,
            }),
            Err(error) => Err(error),
        };
        match looked {
            Ok(Some(outcome)) => return Ok(outcome),
            Ok(None) => {
                last = Instant::now();
                tokio::time::sleep(LOOK).await;
            }
            Err(error) if error.is_passing() && last.elapsed() < patience => {
                at(Err(&error.to_string()));
                tokio::time::sleep(LOOK_LOST).await;
            }
            Err(error) => return Err(error),
        }
    }
}
