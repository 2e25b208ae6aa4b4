//! The supervisor opens and closes everything, and is the only one that knows all rooms. It may block for a moment; the
//! video does not notice. [`run`] tells startup, ready, running and ordered shutdown from top to bottom.

mod backoff;
mod engine;
mod errand;
mod models;
mod opener;
mod priority;
mod reaper;
mod report;
pub mod signals;
mod sinks;
mod source;
mod supervisor;
mod systemd;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::unbounded;
use tokio::sync::watch;

use crate::config::{Config, Sink};
use crate::control::control;
use crate::deploy;
use crate::deploy::store::{Ask, Store};
use crate::follow::Follower;
use crate::harvest::Harvest;
use crate::infer::{Offer, Onlooker, Onlookers};
use crate::model::{self, First};
use crate::path::{self, FramePath, PathSettings};
use crate::sink::{self, Encoders, SinkContext, Whep};
use crate::source::slot::FrameCounts;
use crate::status::models::ModelsView;
use crate::status::{Events, FollowCell, LiveFigures, RunInfo, SignalLog, StatusCell, prometheus, tally};
use crate::supervise::engine::EngineKeeper;
use crate::supervise::models::ModelKeeper;
use crate::supervise::reaper::Reaper;
use crate::supervise::sinks::SinkKeeper;
use crate::supervise::source::SourceKeeper;
use crate::supervise::supervisor::Supervisor;
use crate::upload::Uploads;
use crate::web::{Audit, Entrance, Page};

/// How long the end waits for engines and pipelines that hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the daemon until its source ends or a signal comes.
///
/// # Errors
/// What kept it from starting, what ended it early, and sinks that failed on the way.
pub fn run(config: &Config) -> Result<()> {
    // Startup. What is missing is found before anything runs. Certificates have figures, too.
    let metrics = prometheus::install()?;
    config.sinks.iter().try_for_each(sink::refuse_misconfigured)?;
    let stop = signals::listen()?;
    let entrance = config.http.as_ref().map(Entrance::open).transpose()?;
    let audit = entrance.as_ref().map_or_else(|| Audit::open(None), |entrance| Ok(entrance.audit()))?;
    let First { bundle, models, fault } = model::first(config)?;
    let (view, happenings) = (ModelsView::default(), Events::default());
    if let Some(fault) = &fault {
        view.put_fault(fault);
    }
    let store = models::start_store(config, models, &view)?;
    let shown = models::figures_of(&bundle);
    let reaper = Reaper::start()?;
    let (watch, watched) = deploy::watch();
    let watch = store.is_some().then(|| Arc::new(watch) as Arc<dyn Onlooker>);
    let harvest = config.harvest.as_ref().map(|of| Harvest::start(of, config.source.kind())).transpose()?;
    let keeps = harvest.iter().map(|harvest| harvest.watcher() as Arc<dyn Onlooker>);
    let onlookers: Onlookers = watch.into_iter().chain(keeps).collect();
    let Some((engine, inference, first)) = EngineKeeper::start(config, bundle, onlookers, &stop)? else {
        return stopped_early(store);
    };
    let frames = Arc::new(FrameCounts::default());
    let Some((source, slot)) = SourceKeeper::start(config, &frames, &stop)? else {
        return stopped_early(store);
    };
    let (tally, counters, samples) = tally();
    let (events, heard) = unbounded();
    let live = config.source.is_live();
    let frame_path = FramePath::new(PathSettings::of(config), inference, tally, events);
    let thread = path::start(frame_path, live, stop.clone(), priority::put_video_first)?;
    let (pictures, _) = watch::channel(None);
    let whep = Whep::new(Instant::now());
    let (cell, (control, requests)) = (StatusCell::default(), control());
    let uploads = config.store.as_ref().map(|store| Uploads::open(&store.join("uploads")));
    // The video does not wait for a store that is out of order.
    let uploads = uploads.filter(|opened| opened.is_ok() || fault.is_none()).transpose()?;
    let follow = FollowCell::default();
    if let (Some(what), Some(store)) = (&config.follow, &config.store) {
        let (control, cell, follow) = (control.clone(), cell.clone(), follow.clone());
        Follower::new(what.clone(), store.clone(), control, cell, follow, stop.clone()).start()?;
    }
    if let Some(entrance) = entrance {
        let has_preview = config.sinks.iter().any(|sink| matches!(sink, Sink::Preview));
        let page = Page {
            status: cell.clone(),
            pictures: has_preview.then(|| pictures.clone()),
            whep: config.sinks.iter().any(|sink| matches!(sink, Sink::Webrtc(_))).then(|| whep.clone()),
            control,
            metrics: metrics.clone(),
            begun: whep.begun,
            audit: audit.clone(),
            models: view.clone(),
            events: happenings.clone(),
            uploads,
        };
        tracing::info!("page at {}", entrance.describe()?);
        entrance.serve(page)?;
    }
    let run_info = RunInfo::new(
        config.source.to_string(),
        first.engine,
        shown.clone(),
        first.generation,
        config.sync.mode,
    );
    let source_name = run_info.shown().source.into();
    let context = SinkContext {
        live,
        pictures,
        whep,
        stop: stop.clone(),
        encoders: Encoders::default(),
        source: source_name,
    };
    let parts = models::Parts {
        store,
        view,
        events: happenings.clone(),
        watched,
        offer: harvest.as_ref().map(|harvest| harvest.watcher() as Arc<dyn Offer>),
        audit: audit.clone(),
        counters: counters.clone(),
        shown,
    };
    let mut supervisor = Supervisor {
        config,
        changes: thread.changes.clone(),
        heard,
        requests,
        engine,
        models: ModelKeeper::new(config, &reaper, parts)?,
        events: happenings,
        harvest,
        source,
        sinks: SinkKeeper::new(&config.sinks, context),
        reaper: &reaper,
        figures: LiveFigures::new(counters.clone(), frames.clone(), samples),
        counters,
        frames,
        run_info,
        signal: SignalLog::new(Instant::now()),
        overlay: config.overlay.enabled,
        asked: VecDeque::new(),
        unsent: VecDeque::new(),
        follow,
        cell,
        metrics,
        stop,
    };

    // Ready. Frames come when they come.
    systemd::ready();
    if let Some(slot) = slot {
        supervisor.begin(slot);
    }

    // Running.
    let ended = supervisor.run();

    // Shutdown: no frame comes any more, every sink is finished, then the report is written.
    systemd::stopping();
    // The thread ends when nobody can send it a change.
    supervisor.changes = crossbeam_channel::bounded(0).0;
    let left = thread.end();
    let (inference, sinks, slot) = match left {
        Some(left) => (Some(left.inference), left.sinks, left.slot),
        None => (None, vec![], None),
    };
    // A model on probation is tried anew after an orderly stop, and given up after any other end.
    supervisor.models.end(ended.is_ok());
    // The slot first: a source that waits for room in it could not be stopped.
    drop(slot);
    let outcome = supervisor.finish(sinks, ended);
    let harvest = supervisor.harvest.take();
    drop(supervisor);
    reaper.take(inference);
    reaper.finish(PATIENCE);
    // Nothing shows it pictures any more.
    harvest.into_iter().for_each(Harvest::finish);
    audit.finish();
    outcome
}

fn stopped_early(store: Option<Store>) -> Result<()> {
    if let Some(store) = store {
        store.ask(Ask::Stop);
        store.end();
    }
    tracing::info!("stopped before the first frame");
    Ok(())
}
