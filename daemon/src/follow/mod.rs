//! Follows a registry's tag: when it names another model, the cart fetches and deploys that, in its window and after its
//! canaries. It asks the registry and the supervisor, and is never asked; the video knows nothing of it.
//!
//! Invariant: a model that was tried here and did not do, or that ran here and was replaced, is not taken again by itself.

mod judge;
mod memory;
mod take;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::ZonedDateTime;
use nervelight_engines::store::models::Catalog;
use nervelight_registry::{Credentials, Offered, Outcome, Registry, RegistryError, Verdict};

use crate::config::Follow;
use crate::control::Control;
use crate::redact::{learn_secret, redact};
use crate::status::{FollowCell, FollowState, OfferedFigures, StatusCell};
use judge::{Judgement, judge, weigh};
use memory::Memory;

/// A registry that does not answer is asked again after so many of the usual waits, and after so long, at most.
const MOST_POLLS: u32 = 15;
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// Follows a tag.
pub struct Follower {
    follow: Follow,
    /// The folder of the store of models.
    store: PathBuf,
    control: Control,
    status: StatusCell,
    figures: FollowCell,
    stop: Arc<AtomicBool>,
    memory: Memory,
    /// What was said last, so that it is said once.
    said: String,
}

impl Follower {
    /// Of the store in the folder `store`.
    pub fn new(
        follow: Follow,
        store: PathBuf,
        control: Control,
        status: StatusCell,
        figures: FollowCell,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let memory = Memory::read(&store.join("follow.json"));
        Self { follow, store, control, status, figures, stop, memory, said: String::new() }
    }

    /// Follows on a thread of its own until the process ends.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started.
    pub fn start(mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        self.figures.change(|figures| figures.uri = self.follow.tag.to_string());
        let run = move || runtime.block_on(self.run());
        thread::Builder::new().name("follow".into()).spawn(run).context("cannot start a thread")?;
        Ok(())
    }

    async fn run(&mut self) {
        let mut wait = Duration::ZERO;
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(jittered(wait)).await;
            wait = match self.look().await {
                Ok(()) => {
                    self.figures.change(|figures| figures.reachable = true);
                    self.follow.poll
                }
                Err(error) => {
                    let text = redact(&format!("{error:#}")).into_owned();
                    let is_registrys = error.downcast_ref().is_some_and(RegistryError::is_of_registry);
                    self.figures.change(|figures| {
                        (figures.reachable, figures.message) = (!is_registrys, text.clone());
                        figures.failures += 1;
                    });
                    self.say(format!("{} cannot be followed at present: {text}", self.follow.tag));
                    let Follow { poll, .. } = self.follow;
                    (wait * 2).clamp(poll, (poll * MOST_POLLS).min(LONGEST_WAIT).max(poll))
                }
            };
        }
    }

    /// Looks at the tag once, and does what follows.
    async fn look(&mut self) -> Result<()> {
        self.settle()?;
        if self.memory.trying().is_some() {
            return Ok(());
        }
        let registry = self.registry()?;
        let offered = match registry.offered().await {
            Err(error) if error.is_absent() => {
                self.figures.change(|figures| {
                    (figures.state, figures.message) = (FollowState::Unknown, error.to_string());
                });
                self.say(error.to_string());
                return Ok(());
            }
            offered => offered?,
        };
        self.figures.change(|figures| {
            figures.reachable = true;
            figures.offered = Some(OfferedFigures {
                name: offered.name.clone(),
                version: offered.version.clone(),
                serial: offered.serial,
                digest: offered.digest.clone(),
                bytes: offered.bytes,
            });
        });
        let catalog = Catalog::read(&self.store)?;
        let bundle = (offered.digest.as_str(), offered.serial);
        let judgement =
            judge(&self.follow, bundle, catalog.state(), &self.memory, ZonedDateTime::now().time());
        match judgement {
            Judgement::Current => self.memory.end(&offered.digest, true, "")?,
            Judgement::Refused(_) if self.memory.ended(&offered.digest).is_none() => {
                if let Some(left) =
                    catalog.state().rolled_back.clone().filter(|left| left.digest == offered.digest)
                {
                    self.memory.end(&offered.digest, false, &left.why)?;
                }
            }
            _ => {}
        }
        self.publish(&registry, &offered.digest).await?;
        match judgement {
            Judgement::Current => self.stand(FollowState::Current, "", &offered),
            Judgement::OnProbation => self.stand(FollowState::Taking, "on probation", &offered),
            Judgement::Refused(why) => self.stand(FollowState::Refused, &why, &offered),
            Judgement::Window(why) => self.stand(FollowState::Window, &why, &offered),
            Judgement::Ask => match weigh(&self.follow, &self.verdicts(&registry, &offered).await?) {
                Some((why, is_refusal)) => {
                    let state = if is_refusal { FollowState::Refused } else { FollowState::Canaries };
                    self.stand(state, &why, &offered);
                }
                None => self.take(&registry, &offered).await?,
            },
            Judgement::Take => self.take(&registry, &offered).await?,
        }
        Ok(())
    }

    /// The registry as the credentials in the file open it: they may have been changed.
    fn registry(&self) -> Result<Registry> {
        let Follow { tag, credentials, plain, .. } = &self.follow;
        let credentials = match credentials {
            Some(path) => Credentials::read(path, &tag.host)?,
            None => Credentials::anonymous(),
        };
        if let Some(secret) = credentials.secret() {
            learn_secret(secret);
        }
        Ok(Registry::new(tag.clone(), credentials, *plain)?)
    }

    /// What the canaries said so far.
    async fn verdicts(&self, registry: &Registry, offered: &Offered) -> Result<Vec<Verdict>> {
        let mut verdicts = vec![];
        for canary in &self.follow.canaries {
            verdicts.extend(registry.verdict(&offered.digest, canary).await?);
        }
        Ok(verdicts)
    }

    /// A canary says what became of the model, once.
    async fn publish(&mut self, registry: &Registry, digest: &str) -> Result<()> {
        let Some(ended) = self.memory.ended(digest) else { return Ok(()) };
        if ended.published || !self.follow.is_canary() {
            return Ok(());
        }
        let verdict = Verdict {
            digest: digest.into(),
            cart: self.follow.cart.clone(),
            outcome: if ended.kept { Outcome::Kept } else { Outcome::Rejected },
            message: redact(&ended.why).into_owned(),
        };
        registry
            .publish(&verdict)
            .await
            .context("what became of the model here cannot be said to the others")?;
        tracing::info!(%digest, kept = ended.kept, "said to the other carts what became of the model");
        Ok(self.memory.published(digest)?)
    }

    /// Shows how it stands, and says it once.
    fn stand(&mut self, state: FollowState, message: &str, offered: &Offered) {
        self.figures.change(|figures| {
            (figures.state, figures.message, figures.fetched) = (state, message.to_owned(), None);
        });
        let Offered { name, version, .. } = offered;
        let more = if message.is_empty() { String::new() } else { format!(": {message}") };
        self.say(match state {
            FollowState::Current => format!("{} names {name} {version}, which runs", self.follow.tag),
            FollowState::Refused => {
                format!("{} names {name} {version}, which is not taken{more}", self.follow.tag)
            }
            _ => format!("{} names {name} {version}{more}", self.follow.tag),
        });
    }

    /// Says something new.
    fn say(&mut self, text: String) {
        if self.said != text {
            let is_bad =
                self.figures.get().is_some_and(|now| now.state == FollowState::Refused || !now.reachable);
            match is_bad {
                true => tracing::warn!("{text}"),
                false => tracing::info!("{text}"),
            }
            self.said = text;
        }
    }
}

/// A wait, give or take a fifth, so that carts do not all ask at once.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    wait.mul_f64(0.8 + 0.4 * random)
}
