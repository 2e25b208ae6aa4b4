//! Watching a run while it trains: a terminal, a local page, event files for TensorBoard.

mod events;
mod live;
mod page;
mod screen;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use image::ImageFormat;
use tch::{Device, Kind, Tensor};

use crate::data::Frame;
use crate::metrics::SoftMetrics;
use crate::train::Settings;
use crate::train::{RunDir, Validation};
use crate::util::Progress;
use crate::util::local_page;
use crate::util::overlay;
use events::Events;
use live::{Live, Picture};
use page::Source;
use screen::Screen;

pub use screen::{possible as screen_possible, restore, shown};

/// Where the page is unless the user says otherwise.
pub const PORT: &str = "6007";
/// Frames on the page.
const PICTURES: usize = 4;

/// Serves a page that shows the run in `root` by its files, until the process ends.
pub fn serve_files(root: &Path, port: u16) -> Result<()> {
    let (run, settings, _) = RunDir::open(root)?;
    // Where it is now, not where it was trained.
    let settings = Settings { run: root.to_owned(), ..settings };
    run.read_metrics()?;
    let listener = local_page::bind("--port", port)?;
    outln!("open http://{}; Ctrl-C ends", listener.local_addr()?);
    page::serve(listener, Source::Files(Arc::new((run, settings))))
}

/// How a run is watched, besides event files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// On the whole terminal, instead of lines.
    pub screen: bool,
    /// On a page at this port of 127.0.0.1.
    pub port: Option<u16>,
}

/// Shows a run to whoever watches. When something here fails, a line says so and the run goes on.
#[derive(Debug)]
pub struct Watch {
    live: Arc<Mutex<Live>>,
    begun: Instant,
    /// Nobody needs overlays otherwise.
    page: bool,
    events: Option<Events>,
    screen: Option<Screen>,
    /// Lines that were said before the screen was up.
    told: usize,
    progress: Option<Progress>,
}

impl Watch {
    /// Of a run that has got as far as `history`.
    pub fn new(settings: &Settings, history: &[Validation]) -> Self {
        Self {
            live: Arc::new(Mutex::new(Live::new(settings, history))),
            begun: Instant::now(),
            page: false,
            events: None,
            screen: None,
            told: 0,
            progress: None,
        }
    }

    /// Begins to show it, with event files in `folder` from step `next` on. `stop` says that the run
    /// was asked to end.
    pub fn start(&mut self, options: Options, folder: &Path, next: i64, stop: &Arc<AtomicBool>) {
        self.begun = Instant::now();
        match Events::create(folder, next) {
            Ok(events) => self.events = Some(events),
            Err(error) => self.say(&format!("warning: {}: no event files: {error}", folder.display())),
        }
        if let Some(port) = options.port {
            match self.serve(port) {
                Ok(address) => {
                    self.page = true;
                    self.say(&format!("watch at http://{address}"));
                }
                Err(error) => self.say(&format!("warning: no page: {error:#}")),
            }
        }
        if options.screen {
            self.told = lock(&self.live).lines.len();
            match Screen::start(Arc::clone(&self.live), self.begun, Arc::clone(stop)) {
                Ok(screen) => self.screen = Some(screen),
                Err(error) => self.say(&format!("warning: no screen: {error}")),
            }
        }
    }

    fn serve(&self, port: u16) -> Result<std::net::SocketAddr> {
        let listener = local_page::bind("--watch", port)?;
        let address = listener.local_addr()?;
        let source = Source::Live(Arc::clone(&self.live), self.begun);
        std::thread::Builder::new().name("page".into()).spawn(move || page::serve(listener, source))?;
        Ok(address)
    }

    /// `epoch`, from 0, goes on after `done` of its `frames`.
    pub fn begin_epoch(&mut self, epoch: usize, done: usize, frames: usize) {
        let mut live = lock(&self.live);
        live.begin_epoch(epoch, done, frames, self.begun.elapsed());
        if self.screen.is_none() {
            let what = format!("epoch {}/{}", epoch + 1, live.epochs);
            self.progress = Some(Progress::new(what, done, frames));
        }
    }

    /// Step number `step` ended: its loss, learning rate, and how many frames it took.
    pub fn step(&mut self, step: i64, loss: f64, rate: f64, frames: usize) {
        lock(&self.live).step(step, loss, rate, frames, self.begun.elapsed());
        if let Some(progress) = &mut self.progress {
            progress.say(format!("loss {loss:.4}"));
            progress.advance(frames);
        }
        self.log(step, [("training/loss", loss), ("training/learning_rate", rate)]);
    }

    /// A validation ended.
    pub fn validated(&mut self, row: &Validation) {
        // Part of the frames is another measure than all.
        let group = if row.full { "validation" } else { "validation_part" };
        let tags = SoftMetrics::NAMES.map(|name| format!("{group}/{name}"));
        let loss = format!("{group}/loss");
        let figures = tags.iter().map(String::as_str).zip(row.figures);
        self.log(row.step, figures.chain([(loss.as_str(), row.loss)]));
        lock(&self.live).validated(row.clone(), self.begun.elapsed());
    }

    /// All steps of the epoch are done.
    pub fn end_epoch(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    /// The first of `frames`, `width` pixels wide, and how probable the network finds nerve in each
    /// pixel of them, `[N, 1, H, W]`.
    pub fn found(&mut self, frames: &[&Frame], probability: &Tensor, width: usize) {
        if !self.page {
            return;
        }
        let shown = probability.ge(0.5).to_kind(Kind::Uint8).to_device(Device::Cpu);
        let picture = |(place, frame): (usize, &&Frame)| -> Result<Picture> {
            let shown = Vec::<u8>::try_from(shown.get(place as i64).flatten(0, -1))?;
            let mut png = std::io::Cursor::new(vec![]);
            overlay(&frame.luma, &frame.nerve, &shown, width).write_to(&mut png, ImageFormat::Png)?;
            Ok(Picture { name: frame.name.clone(), png: png.into_inner().into() })
        };
        let pictures: Result<Vec<_>> = frames.iter().enumerate().take(PICTURES).map(picture).collect();
        match pictures {
            Ok(pictures) => lock(&self.live).pictures = pictures,
            Err(error) => self.say(&format!("warning: no overlays on the page: {error}")),
        }
    }

    /// Says `line` to the person at the terminal.
    pub fn say(&mut self, line: &str) {
        lock(&self.live).lines.push(line.to_owned());
        if self.screen.is_none() {
            errln!("{line}");
        }
    }

    fn log<'a>(&mut self, step: i64, values: impl IntoIterator<Item = (&'a str, f64)>) {
        let Some(events) = &mut self.events else { return };
        if let Err(error) = events.scalars(step, values) {
            self.events = None;
            self.say(&format!("warning: event files end at step {step}: {error}"));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // What was said on the screen went with it.
        if self.screen.take().is_some() {
            lock(&self.live).lines[self.told..].iter().for_each(|line| errln!("{line}"));
        }
    }
}

fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    // A drawing that panicked has changed nothing.
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub use events::tests::series as tests_series;
#[cfg(test)]
mod tests;
