//! `nervelightd deploy`: a bundle to carts, all at once, until each has kept it or not.

mod board;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nervelight_engines::Bundle;
use nervelight_registry::{Place, read_layout};
use tokio::task::LocalSet;

use crate::client::{self, Cart, ClientError, Outcome, Tar};
use crate::cmd::remote::RemoteOptions;
use board::{Board, Row};

/// What to deploy, and where.
#[derive(clap::Args)]
pub struct Arguments {
    /// A bundle from `nervelight-train export`, directory or tar; or oci:FOLDER:TAG, as `nervelight-train push` writes it.
    bundle: PathBuf,
    #[command(flatten)]
    remote: RemoteOptions,
    /// Come back when the deployments have begun; `GET /api/v1/deployment` says how they go on.
    #[arg(long)]
    no_wait: bool,
    /// Give a cart up that has not answered for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
    /// Print what became of each cart as JSON.
    #[arg(long)]
    json: bool,
}

/// What became of a cart.
enum End {
    /// It runs the model already.
    Already,
    /// The deployment has begun, and is not waited for.
    Begun,
    /// It came to its end.
    Over(Outcome),
    /// It could not be asked.
    Lost(ClientError),
}

/// Deploys to every cart at once, and prints a table at the end.
///
/// # Errors
/// When the bundle or an argument is bad, and when any cart did not keep the model.
pub fn deploy(arguments: &Arguments) -> Result<()> {
    let bundle = open(&arguments.bundle)?;
    let carts = arguments.remote.carts()?;
    ensure!(!carts.is_empty(), "name a cart: --to https://CART:PORT, or --carts FILE");
    let tar =
        Rc::new(Tar::of(&bundle).context("the bundle cannot be packed: is there room for temporary files?")?);
    let model = bundle.model();
    let board = Rc::new(Board::new(
        carts.iter().map(|cart| cart.address.to_string()).collect(),
        tar.bytes,
        arguments.json,
    )?);
    board.say(&format!("{model}, digest {}, {:.1} MB", bundle.digest, tar.bytes as f64 / 1e6));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let job = Job {
        tar,
        digest: bundle.digest.clone(),
        patience: Duration::from_secs(arguments.patience),
        waits: !arguments.no_wait,
        board: board.clone(),
    };
    let rows: Vec<Row> = LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = carts
            .into_iter()
            .enumerate()
            .map(|(place, cart)| tokio::task::spawn_local(job.clone().one(place, cart)))
            .collect();
        let mut rows = vec![];
        for task in tasks {
            rows.push(task.await.context("a deployment's task died")?);
        }
        anyhow::Ok(rows)
    })?;
    let missed = rows.iter().filter(|row| !row.is_good).count();
    board.finish(&bundle, rows)?;
    if missed > 0 {
        bail!("{missed} of the carts did not take {model}");
    }
    Ok(())
}

/// The bundle, which may lie in a layout.
fn open(path: &std::path::Path) -> Result<Bundle> {
    let text = path.to_string_lossy();
    if !text.starts_with("oci:") {
        return Ok(Bundle::open(path)?);
    }
    match text.parse()? {
        Place::Layout { folder, tag } => {
            let (offered, tar) = read_layout(&folder, &tag)?;
            let bundle = Bundle::open(tar)?;
            let is_offered = bundle.digest == offered.digest;
            ensure!(is_offered, "{text}: the layout names another bundle than it holds. Write it again");
            Ok(bundle)
        }
        Place::Registry(_) => {
            bail!("{text} is in a registry: carts fetch from there themselves (model.follow)")
        }
    }
}

/// What all carts share.
#[derive(Clone)]
struct Job {
    tar: Rc<Tar>,
    digest: String,
    patience: Duration,
    waits: bool,
    board: Rc<Board>,
}

impl Job {
    /// One cart, from the first question to the end.
    async fn one(self, place: usize, cart: Cart) -> Row {
        let begun = Instant::now();
        let end = self.reach(place, &cart).await.unwrap_or_else(End::Lost);
        if let Some(pinned) = cart.newly_pinned() {
            self.board.say(&format!(
                "{} has a new certificate. Write this into the list of carts: {pinned}",
                cart.address
            ));
        }
        let (outcome, message) = match &end {
            End::Already => ("kept", "it ran this model already".to_owned()),
            End::Begun => ("begun", String::new()),
            End::Over(outcome) => (outcome.word(), outcome.why().to_owned()),
            End::Lost(error @ ClientError::Refused { .. }) => ("refused", error.to_string()),
            End::Lost(error) => ("not reached", error.to_string()),
        };
        let is_good = matches!(end, End::Already | End::Begun | End::Over(Outcome::Kept));
        self.board.ended(place, outcome);
        Row {
            cart: cart.address.to_string(),
            outcome,
            is_good,
            seconds: begun.elapsed().as_secs_f64(),
            message,
        }
    }

    async fn reach(&self, place: usize, cart: &Cart) -> Result<End, ClientError> {
        let board = &self.board;
        let under_way = self.patiently(place, || self.under_way(cart)).await?;
        let id = match under_way {
            UnderWay::Runs => return Ok(End::Already),
            UnderWay::Deployment(id) => id,
            UnderWay::Nothing => self.upload(place, cart).await?,
        };
        if !self.waits {
            return Ok(End::Begun);
        }
        let at = |looked: Result<&client::Deployment, &str>| match looked {
            Ok(deployment) => board.step(place, &deployment.state, deployment.progress),
            Err(why) => board.waits(place, why),
        };
        client::watch(cart, id, &self.digest, self.patience, at).await.map(End::Over)
    }

    /// What an earlier call may have begun.
    async fn under_way(&self, cart: &Cart) -> Result<UnderWay, ClientError> {
        let deployment = cart.deployment().await?;
        let of_this = deployment.filter(|deployment| deployment.digest.as_ref() == Some(&self.digest));
        if let Some(deployment) = of_this.filter(|deployment| !deployment.is_over()) {
            return Ok(UnderWay::Deployment(deployment.id));
        }
        let runs = cart.active().await?.as_ref() == Some(&self.digest);
        Ok(if runs { UnderWay::Runs } else { UnderWay::Nothing })
    }

    /// Sends the bundle and begins its deployment; the number of it.
    async fn upload(&self, place: usize, cart: &Cart) -> Result<u64, ClientError> {
        let board = &self.board;
        let mut again = true;
        loop {
            let at = |offset: u64, why: Option<&str>| match why {
                None => board.sent(place, offset),
                Some(why) => board.waits(place, why),
            };
            let sent = client::send(cart, &self.tar, self.patience, at).await?;
            match cart.deploy(&sent).await {
                // It was damaged on the cart's disk; nothing of it was kept there.
                Err(error) if error.is_code("upload_digest") && again => again = false,
                // The answer was lost and the deployment may have begun, or it has not and the upload is there.
                Err(error) if error.is_passing() || error.is_code("upload_unknown") => {
                    match self.patiently(place, || self.under_way(cart)).await? {
                        UnderWay::Deployment(id) => return Ok(id),
                        UnderWay::Runs | UnderWay::Nothing if again => again = false,
                        _ => return Err(error),
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Asks until there is an answer.
    async fn patiently<T>(
        &self,
        place: usize,
        ask: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let (begun, mut wait) = (Instant::now(), Duration::from_millis(500));
        loop {
            match ask().await {
                Err(error) if error.is_passing() && begun.elapsed() + wait < self.patience => {
                    self.board.waits(place, &error.to_string());
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(15));
                }
                answer => return answer,
            }
        }
    }
}

/// What a cart does with the bundle at present.
enum UnderWay {
    /// Nothing.
    Nothing,
    /// It runs the model.
    Runs,
    /// It deploys it.
    Deployment(u64),
}
