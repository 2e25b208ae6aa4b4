//! Watches a card's input while its frames are taken.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::frame::InputStatus;
use crate::source::failure::SourceError;
use crate::source::slot::SlotSender;
use crate::source::v4l2::card::Card;
use crate::source::v4l2::ffi::Device;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// Looks in which the input has another mode than the card before the card is opened anew: a mode settles.
const SETTLED: u32 = 2;

/// Looks at a card now and then.
struct Watcher<C> {
    card: C,
    status: InputStatus,
    differs: u32,
}

impl<C: Card> Watcher<C> {
    fn new(card: C) -> Self {
        Self { card, status: InputStatus::Unknown, differs: 0 }
    }

    /// The input's status, if it is another than before, and whether the card has to be opened anew.
    fn look(&mut self) -> (Option<InputStatus>, bool) {
        let status = self.card.input_status();
        let news = (std::mem::replace(&mut self.status, status) != status).then_some(status);
        let is_usable = matches!(status, InputStatus::Present | InputStatus::Unknown);
        let is_told = self.card.has_changed();
        let is_other = match self.card.modes() {
            Some((card, input)) => {
                self.differs = if card.is_like(&input) { 0 } else { self.differs + 1 };
                self.differs >= SETTLED
            }
            // Without timings the driver's word is all there is.
            None => is_told,
        };
        (news, is_other && is_usable)
    }
}

/// A thread that watches a card; it ends when this is dropped.
pub struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Watches `device`: what its driver says goes to the slot, and when the input's mode changes the source ends, so
    /// that it is opened anew. A card that cannot be asked is not watched.
    pub fn start(device: &Path, name: &str, sender: SlotSender) -> Option<Self> {
        let card = Device::open(device)
            .inspect_err(|error| tracing::debug!(%error, "the card's driver is not asked about its input"))
            .ok()?;
        card.subscribe();
        let ended = Arc::new(AtomicBool::new(false));
        let (name, theirs, mut watcher) = (name.to_owned(), ended.clone(), Watcher::new(card));
        let run = move || {
            while !theirs.load(Ordering::Relaxed) {
                let (status, is_other) = watcher.look();
                if let Some(status) = status {
                    tracing::info!(source = name, ?status, "the card's input");
                    sender.set_input(status);
                }
                if is_other {
                    let message = "its input has another mode now".into();
                    let remedy = "It is opened anew by itself".into();
                    return sender.end(Err(SourceError::Failed { name, message, remedy }));
                }
                thread::sleep(INTERVAL);
            }
        };
        thread::Builder::new().name("card".into()).spawn(run).ok()?;
        Some(Self(ended))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::v4l2::card::Mode;

    const HD: Mode = Mode { width: 1920, height: 1080, interlaced: 0, clock: 148_500_000 };

    struct Fake {
        status: InputStatus,
        modes: Option<(Mode, Mode)>,
        changed: bool,
    }

    impl Card for Fake {
        fn input_status(&mut self) -> InputStatus {
            self.status
        }

        fn modes(&mut self) -> Option<(Mode, Mode)> {
            self.modes
        }

        fn has_changed(&mut self) -> bool {
            std::mem::take(&mut self.changed)
        }
    }

    fn watched(modes: Option<(Mode, Mode)>) -> Watcher<Fake> {
        Watcher::new(Fake { status: InputStatus::Present, modes, changed: false })
    }

    #[test]
    fn a_status_is_news_once() {
        let mut watcher = watched(None);
        assert_eq!(watcher.look(), (Some(InputStatus::Present), false));
        assert_eq!(watcher.look(), (None, false));
        watcher.card.status = InputStatus::NoLock;
        assert_eq!(watcher.look(), (Some(InputStatus::NoLock), false));
        watcher.card.status = InputStatus::Present;
        assert_eq!(watcher.look(), (Some(InputStatus::Present), false));
    }

    #[test]
    fn another_mode_opens_the_card_anew_once_it_has_settled() {
        let mut watcher = watched(Some((HD, HD)));
        let measured = Mode { clock: 148_352_000, ..HD };
        watcher.card.modes = Some((HD, measured));
        assert!(!watcher.look().1 && !watcher.look().1 && !watcher.look().1, "clocks differ a little");
        let other = Mode { width: 1280, height: 720, clock: 74_250_000, ..HD };
        watcher.card.modes = Some((HD, other));
        assert!(!watcher.look().1, "once is not settled");
        watcher.card.modes = Some((HD, HD));
        assert!(!watcher.look().1);
        watcher.card.modes = Some((HD, other));
        assert!(!watcher.look().1 && watcher.look().1);
    }

    #[test]
    fn without_timings_the_drivers_word_counts_and_none_without_signal() {
        let mut watcher = watched(None);
        watcher.card.changed = true;
        assert!(watcher.look().1);
        watcher.card.changed = true;
        watcher.card.status = InputStatus::NoSignal;
        assert!(!watcher.look().1, "nothing to open");
    }
}
