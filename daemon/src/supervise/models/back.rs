//! The way back to the model before: it is shown first, and recorded as often as that takes.

use std::time::Instant;

use nervelight_engines::Bundle;

use super::{AT_A_CROP, GoingBack, ModelKeeper, News, Purpose, RETRY, figures_of};
use crate::deploy::store::Ask;
use crate::path::Change;
use crate::status::deployment::Failure;
use crate::supervise::engine::EngineKeeper;

impl ModelKeeper<'_> {
    /// Has the store record, as often as it takes, that a model is left for the one before.
    pub(super) fn record_way_back(&mut self, left: String, why: String, is_shown: bool, now: Instant) {
        self.ask(Ask::GoBack { left: left.clone(), why: why.clone() });
        self.going_back = Some(GoingBack {
            since: now,
            why,
            is_opening: false,
            left,
            unrecorded: Some(now + RETRY),
            trouble: None,
            is_shown,
        });
    }

    /// Says so once, until it is something else.
    pub(super) fn not_recorded(&mut self, failed: &Failure) {
        let Some(going_back) = &mut self.going_back else { return };
        let trouble = format!(
            "That the model before is shown again cannot be recorded: {}. {}. Until then, a restart would bring back the \
             model that was left",
            failed.message,
            failed.remedy.trim_end_matches('.')
        );
        if going_back.trouble.as_ref() != Some(&trouble) {
            tracing::error!(left = %going_back.left, "{trouble}");
            going_back.trouble = Some(trouble);
        }
    }

    /// Opens the engine of the model before, to stand by or to be gone back to.
    pub(super) fn open_before(
        &mut self,
        purpose: Purpose,
        opened: Result<Bundle, Failure>,
        engine: &mut EngineKeeper,
    ) {
        let started = opened.map_err(|failed| failed.message).and_then(|bundle| {
            let opener = engine.opener(bundle);
            let started = match purpose {
                Purpose::Standby => engine.stand_by(opener),
                _ => engine.try_out(opener),
            };
            started.map_err(|error| format!("{error:#}"))
        });
        if let Err(error) = started {
            tracing::error!(%error, "the model before cannot be opened");
            if purpose == Purpose::WayBack {
                self.going_back = None;
            }
        }
    }

    /// Shows the model before again: at once where it stands by, else when it is open.
    pub(super) fn go_back(&mut self, engine: &mut EngineKeeper, now: Instant, news: &mut News) {
        let Some(going_back) = &mut self.going_back else { return };
        if going_back.unrecorded.is_some_and(|due| now >= due) {
            going_back.unrecorded = Some(now + RETRY);
            let (left, why) = (going_back.left.clone(), going_back.why.clone());
            self.ask(Ask::GoBack { left, why });
        }
        let Some(going_back) = &mut self.going_back else { return };
        if going_back.is_shown {
            if going_back.unrecorded.is_none() {
                self.going_back = None;
            }
            return;
        }
        if let Some((inference, over)) = engine.way_back() {
            news.changes.push(Change::Model(inference));
            over.into_iter().for_each(|over| self.reaper.take(over));
            self.is_back(engine, news);
        } else if !going_back.is_opening
            && (!self.beside.is_lent() || now.saturating_duration_since(going_back.since) > AT_A_CROP)
        {
            going_back.is_opening = true;
            let before = self.before.as_ref().map(|(model, _)| model.digest.clone());
            // The store may know of the change already, or not yet.
            let others = self.view.store().map(|store| [store.active, store.previous]);
            let other = others.into_iter().flatten().flatten().find(|digest| *digest != self.shown.digest);
            if let Some(digest) = before.or(other) {
                tracing::warn!("the model before does not stand by, and is opened");
                self.open(Purpose::WayBack, digest);
            }
        }
    }

    /// The frame thread is given the model before.
    pub(super) fn is_back(&mut self, engine: &EngineKeeper, news: &mut News) {
        self.shown = figures_of(engine.bundle());
        if let Some((_, history)) = self.before.take() {
            self.history = history;
        }
        if let Some(going_back) = &mut self.going_back {
            going_back.is_shown = true;
        }
        tracing::info!(model = %self.shown.name, version = %self.shown.version, "the model before is shown again");
        news.shown = Some((engine.model().cloned(), self.shown.clone()));
    }
}
