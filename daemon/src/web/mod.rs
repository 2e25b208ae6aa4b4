//! The page and the API: live picture, figures, Prometheus metrics, commands, for those who may. Never on a frame's path.
//! It may use the status, control and pictures of the preview, and nothing else of the daemon.

mod api;
mod audit;
pub mod auth;
mod refusals;
mod routes;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use nervelight_web::{Acceptor, Guard};

use crate::config::Http;
use crate::control::Control;
use crate::sink::Whep;
use crate::sink::preview::Pictures;
use crate::status::models::ModelsView;
use crate::status::{Events, StatusCell};
use crate::tls::Identity;
use crate::upload::Uploads;
use crate::web::auth::Gate;

pub use audit::Audit;

/// Time between two looks at the tokens: one that is revoked is so within it.
const LOOK: Duration = Duration::from_millis(500);

/// Time between two looks for uploads that nobody goes on with.
const SWEEP: Duration = Duration::from_secs(3600);

/// What the page shows and whom it tells.
#[derive(Clone)]
pub struct Page {
    /// The newest figures.
    pub status: StatusCell,
    /// The newest picture; none where no preview is configured.
    pub pictures: Option<Pictures>,
    /// Where viewers come in by WebRTC; none where no such sink is configured.
    pub whep: Option<Whep>,
    /// Commands to the daemon.
    pub control: Control,
    /// Renders the Prometheus text format.
    pub metrics: PrometheusHandle,
    /// Where the pictures' time line begins.
    pub begun: Instant,
    /// Where it is written down who did what.
    pub audit: Audit,
    /// The stored models, and the shadow's report.
    pub models: ModelsView,
    /// What happens.
    pub events: Events,
    /// Bundles on their way in; none where there is no store of models.
    pub uploads: Option<Uploads>,
}

/// The way in: port, certificate, tokens and audit log.
pub struct Entrance {
    listener: TcpListener,
    proxy_hosts: Vec<String>,
    identity: Option<Arc<Identity>>,
    gate: Arc<Gate>,
    audit: Audit,
}

impl Entrance {
    /// Takes the port and reads the files. Done before anything else starts, so that what is missing is known at once.
    ///
    /// # Errors
    /// When the address cannot be bound, or a file cannot be used.
    pub fn open(http: &Http) -> Result<Self> {
        Ok(Self {
            identity: http.tls.as_ref().map(Identity::read).transpose().context("http")?.map(Arc::new),
            gate: Arc::new(Gate::open(http).context("http.tokens")?),
            listener: bind(http.listen)?,
            proxy_hosts: http.proxy_hosts.clone(),
            audit: Audit::open(http.audit.as_deref())?,
        })
    }

    /// Where it is written down who did what.
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// How browsers reach it, and what else is to be known.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn describe(&self) -> Result<String> {
        let address = self.listener.local_addr()?;
        Ok(match &self.identity {
            Some(identity) => {
                format!("https://{address}, certificate with SHA-256 {}", identity.fingerprint())
            }
            None => format!("http://{address}"),
        })
    }

    /// Serves the page on a thread of its own until the process ends, to those who may ask.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started.
    pub fn serve(self, page: Page) -> Result<()> {
        let Self { listener, proxy_hosts, identity, gate, audit } = self;
        let mut guard = Guard::behind(listener.local_addr()?.port(), &proxy_hosts);
        let mut acceptor: Option<Acceptor> = None;
        if let Some(identity) = identity {
            let named = identity.clone();
            guard = guard.certified(move |host| named.is_for(host));
            acceptor = Some(Arc::new(move || identity.acceptor()));
        }
        let uploads = page.uploads.clone();
        let router = routes::router(page, gate.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("http".into()).spawn(move || {
            runtime.spawn(async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    gate.look();
                    audit.look();
                }
            });
            if let Some(uploads) = uploads {
                runtime.spawn(async move {
                    loop {
                        tokio::time::sleep(SWEEP).await;
                        let uploads = uploads.clone();
                        // A disk may be slow.
                        let _ = tokio::task::spawn_blocking(move || uploads.sweep()).await;
                    }
                });
            }
            if let Err(error) = runtime.block_on(nervelight_web::serve(listener, guard, acceptor, router)) {
                tracing::error!(%error, "the page is not served; the video goes on");
            }
        })?;
        Ok(())
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!(
            "http.listen = \"{address}\" cannot be used. Stop the program that holds the port, or set another \
             address"
        )
    })
}
