//! The frame's way from the source to the sinks: crop, engine, overlay, stream.
//!
//! The video never waits for the engine longer than `sync.engine_timeout`, and not at all in
//! `latest` mode or once the engine is known to hang. A mask is shown on its own frame (`exact`) or
//! while it is fresh (`latest`); a frame without one carries a badge that says so.

mod crop;
mod mask;
mod overlay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use nervelight_engines::bundle::threshold_byte;
use nervelight_engines::contract;

use crate::config::{Config, SyncMode};
use crate::frame::{Frame, Picture, Region, is_limited};
use crate::infer::{Inference, Job};
use crate::path::crop::Cropper;
use crate::path::mask::Mask;
use crate::path::overlay::{Badge, Colour, Style, draw};
use crate::sink::preview::State;
use crate::sink::{Shown, Sink};
use crate::status::{Ai, Figures};

/// How long all sinks together may take to finish their files.
const FINISH: Duration = Duration::from_secs(20);

/// Everything a frame passes, made for one size and format of frames.
pub struct Way {
    info: Arc<VideoInfo>,
    region: Region,
    cropper: Cropper,
    threshold: u8,
    min_area: u32,
    style: Style,
    off: Badge,
    stale: Badge,
    no_signal: Badge,
    /// Luma of black.
    black: u8,
    mode: SyncMode,
    max_mask_age: Duration,
    engine_timeout: Duration,
    inference: Inference,
    mask: Mask,
    /// When the frame of `mask` arrived; none before the first.
    mask_of: Option<Instant>,
    /// The engine's last answer was an error.
    failing: bool,
    /// Whether the overlay is wanted.
    pub enabled: bool,
    /// State of the overlay on the last frame.
    pub ai: Ai,
    /// Sinks, in the order configured.
    pub outputs: Vec<Box<dyn Sink>>,
    /// What happened up to now.
    pub figures: Figures,
    number: u64,
    /// End of the last frame on the time line, and when it arrived.
    last: Option<(gst::ClockTime, Instant)>,
}

/// Where a nerve begins, unless the configuration says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct ModelDefaults {
    /// Least probability.
    pub threshold: f32,
    /// Least area in pixels.
    pub min_area: u32,
}

impl Way {
    /// Why the GPU can compute nothing for this process any more, if so.
    pub fn device_lost(&self) -> Option<&str> {
        self.inference.lost()
    }

    /// Prepares the way for frames like `info`.
    ///
    /// # Errors
    /// When the frames are smaller than the crop.
    pub fn new(
        config: &Config,
        model: ModelDefaults,
        info: Arc<VideoInfo>,
        inference: Inference,
        outputs: Vec<Box<dyn Sink>>,
    ) -> Result<Self> {
        let region = Region::place(config.x, config.y, info.width() as usize, info.height() as usize)?;
        let limited = is_limited(&info);
        let colour = |rgb| Colour::new(rgb, info.colorimetry().matrix(), limited);
        let (white, red, amber) = (colour([255; 3]), colour([190, 0, 0]), colour([160, 90, 0]));
        Ok(Self {
            region,
            cropper: Cropper::new(region, limited),
            threshold: threshold_byte(config.overlay.threshold.unwrap_or(model.threshold)),
            min_area: config.overlay.min_area.unwrap_or(model.min_area),
            style: Style {
                colour: colour(config.overlay.colour),
                opacity: config.overlay.opacity,
                outline: config.overlay.outline,
            },
            off: Badge::new("AI OFF", white, red),
            stale: Badge::new("AI STALE", white, amber),
            no_signal: Badge::new("NO SIGNAL", white, red),
            black: if limited { 16 } else { 0 },
            info,
            mode: config.sync.mode,
            max_mask_age: config.sync.max_mask_age,
            engine_timeout: config.sync.engine_timeout,
            inference,
            mask: Mask::default(),
            mask_of: None,
            failing: false,
            enabled: config.overlay.enabled,
            ai: Ai::Off,
            outputs,
            figures: Figures::new(),
            number: 0,
            last: None,
        })
    }

    /// Whether `frame` fits the way; another size, format or colorimetry needs a new one. The rate
    /// may change: every frame has its own time.
    pub fn fits(&self, frame: &Frame) -> bool {
        let what = |info: &VideoInfo| (info.width(), info.height(), info.format(), info.colorimetry());
        Arc::ptr_eq(&frame.info, &self.info) || what(&frame.info) == what(&self.info)
    }

    /// Takes a frame all the way; returns it as it was shown.
    ///
    /// # Errors
    /// When the frame's memory cannot be mapped.
    pub fn pass(&mut self, mut frame: Frame) -> Result<gst::Buffer> {
        let begun = Instant::now();
        self.number += 1;
        self.read_answers();
        let waited = match self.mode {
            _ if !self.inference.is_open() => {
                self.figures.crops_skipped += 1;
                Duration::ZERO
            }
            SyncMode::Latest => {
                self.submit(&frame)?;
                Duration::ZERO
            }
            SyncMode::Exact => self.submit_and_wait(&frame)?,
        };
        let arrived = frame.arrived;
        let end = frame.buffer.pts().map(|pts| pts + frame.buffer.duration().unwrap_or_default());
        self.last = end.map(|end| (end, arrived));
        self.ai = self.judge(arrived);
        self.score(&frame);
        self.annotate(&mut frame)?;
        for output in &mut self.outputs {
            let state = State { ai: self.ai, signal: true, arrived };
            output.push(Shown { buffer: &frame.buffer, info: &self.info, state });
        }
        self.figures.shown(arrived.elapsed(), begun.elapsed().saturating_sub(waited));
        Ok(frame.buffer)
    }

    /// The source is silent: shows a black frame that says so, in the place of the one that stands
    /// still on the monitor. Recordings do not get it. Returns it as it was shown.
    ///
    /// # Errors
    /// When there is no memory for a frame.
    pub fn show_no_signal(&mut self, now: Instant) -> Result<gst::Buffer> {
        let mut buffer = gst::Buffer::with_size(self.info.size()).context("no memory for a frame")?;
        let writable = buffer.make_mut();
        if let Some((end, arrived)) = self.last {
            let silence = now.saturating_duration_since(arrived);
            writable.set_pts(end + gst::ClockTime::try_from(silence)?);
        }
        let mut mapped = VideoFrameRef::from_buffer_ref_writable(writable, &self.info)
            .context("a frame's memory cannot be written")?;
        let [luma, chroma @ ..] = mapped.planes_data_mut();
        luma.fill(self.black);
        chroma.into_iter().for_each(|plane| plane.fill(128));
        self.no_signal.draw(&mut Picture::of(&mut mapped), self.region);
        drop(mapped);
        self.ai = Ai::Off;
        self.mask_of = None;
        self.figures.inserted += 1;
        for output in &mut self.outputs {
            let state = State { ai: self.ai, signal: false, arrived: now };
            output.push(Shown { buffer: &buffer, info: &self.info, state });
        }
        Ok(buffer)
    }

    /// Takes in what the engine answered in the meantime.
    fn read_answers(&mut self) {
        while let Some(job) = self.inference.answer(Duration::ZERO) {
            // In exact mode an answer that comes now is too late for its frame.
            let usable = self.mode == SyncMode::Latest;
            self.read(job, usable);
        }
    }

    fn read(&mut self, job: Job, usable: bool) {
        match &job.outcome {
            Ok(took) => {
                self.figures.engine(*took);
                if self.failing {
                    tracing::info!("the engine answers again");
                }
                self.failing = false;
                if usable {
                    self.mask.update(&job.map, self.threshold, self.min_area);
                    self.mask_of = Some(job.arrived);
                }
            }
            Err(error) => {
                self.figures.engine_errors += 1;
                if !self.failing {
                    tracing::error!(%error, frame = job.number, "the engine failed; the video goes on without overlay");
                }
                self.failing = true;
            }
        }
        self.inference.recycle(job);
    }

    fn submit(&mut self, frame: &Frame) -> Result<()> {
        let readable = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &self.info)
            .context("a frame's memory cannot be read")?;
        let stride = readable.plane_stride()[0] as usize;
        let luma = readable.plane_data(0).context("a frame has no luma")?;
        let fill = |crop: &mut contract::Plane| self.cropper.copy(luma, stride, crop);
        self.figures.crops_skipped += self.inference.submit(self.number, frame.arrived, fill);
        Ok(())
    }

    /// Exact mode: the frame's own mask, or none. Returns the time spent waiting.
    fn submit_and_wait(&mut self, frame: &Frame) -> Result<Duration> {
        self.mask_of = None;
        if !self.inference.is_idle() {
            // It hangs over an earlier frame: waiting again would stop the video.
            self.figures.crops_skipped += 1;
            return Ok(Duration::ZERO);
        }
        self.submit(frame)?;
        let begun = Instant::now();
        if let Some(job) = self.inference.answer(self.engine_timeout) {
            let waited = begun.elapsed();
            self.read(job, true);
            return Ok(waited);
        }
        tracing::error!(
            frame = self.number,
            timeout_ms = self.engine_timeout.as_millis() as u64,
            "the engine hangs; the video goes on without overlay"
        );
        Ok(begun.elapsed())
    }

    fn judge(&self, arrived: Instant) -> Ai {
        let hangs = self.inference.busy_for() > self.engine_timeout;
        match self.mask_of {
            _ if !self.enabled => Ai::Disabled,
            _ if self.failing || hangs => Ai::Off,
            None => Ai::Off,
            Some(of) if arrived.saturating_duration_since(of) > self.max_mask_age => Ai::Stale,
            Some(_) => Ai::On,
        }
    }

    fn annotate(&mut self, frame: &mut Frame) -> Result<()> {
        let badge = match self.ai {
            Ai::Disabled => return Ok(()),
            Ai::On => None,
            Ai::Off => Some(&self.off),
            Ai::Stale => Some(&self.stale),
        };
        match badge {
            None => {
                self.figures.masked += 1;
                let age = self.mask_of.map_or(Duration::ZERO, |of| of.elapsed());
                self.figures.mask_age(age);
                if self.mask.area == 0 {
                    return Ok(());
                }
            }
            Some(_) => self.figures.badged += 1,
        }
        // A decoder may still refer to the buffer for the next frames; then this copies it.
        let mut writable = VideoFrameRef::from_buffer_ref_writable(frame.buffer.make_mut(), &self.info)
            .context("a frame's memory cannot be written")?;
        let mut picture = Picture::of(&mut writable);
        match badge {
            None => draw(&mut picture, self.region, &self.mask, &self.style),
            Some(badge) => badge.draw(&mut picture, self.region),
        }
        Ok(())
    }

    /// Compares what is shown with the source's truth, where there is one.
    fn score(&mut self, frame: &Frame) {
        if let (Some(truth), Ai::On) = (&frame.truth, self.ai)
            && truth.iter().any(|&t| t != 0)
        {
            self.figures.dice(contract::dice(&self.mask.inside[..], &truth[..], 1));
        }
    }

    /// Ends every sink, each file whole. Sinks finish side by side.
    pub fn finish(&mut self) {
        let deadline = Instant::now() + FINISH;
        self.outputs.iter_mut().for_each(|output| output.end());
        self.outputs.iter_mut().for_each(|output| output.finish(deadline));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use crossbeam_channel::{Receiver, Sender, unbounded};
    use gst_video::VideoFormat;
    use nervelight_engines::{Engine, EngineError, EngineInfo, EngineSettings, Plane, Precision, WIDTH};

    use super::*;
    use crate::config::{Overlay, Source, Sync};
    use crate::infer::OpenEngine;

    /// Longer than a busy machine keeps a thread waiting.
    const TIMEOUT: Duration = Duration::from_millis(1000);
    const MAX_AGE: Duration = Duration::from_millis(100);

    /// Marks as nerve what is bright; does what the test says before each answer.
    struct Fake {
        info: EngineInfo,
        orders: Receiver<Order>,
    }

    enum Order {
        Answer,
        Fail,
    }

    impl Engine for Fake {
        fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError> {
            // Hangs until there is an order.
            match self.orders.recv() {
                Ok(Order::Answer) => {
                    map.copy_from_slice(crop);
                    Ok(())
                }
                Ok(Order::Fail) | Err(_) => Err(EngineError::Infer("ordered to fail".into())),
            }
        }

        fn info(&self) -> &EngineInfo {
            &self.info
        }
    }

    struct Bench {
        way: Way,
        orders: Sender<Order>,
        start: Instant,
        openings: Arc<AtomicU32>,
    }

    impl Bench {
        fn new(mode: SyncMode) -> Self {
            gst::init().unwrap();
            let (orders, taken) = unbounded();
            let info = EngineInfo {
                runtime: "fake".into(),
                provider: "CPU".into(),
                precision: Precision::Fp32,
                threads: 1,
                model: "fake 1".into(),
                digest: "0".into(),
            };
            let openings = Arc::new(AtomicU32::new(0));
            let counter = openings.clone();
            let open: OpenEngine = Box::new(move || {
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(Box::new(Fake { info: info.clone(), orders: taken.clone() }))
            });
            let (inference, _) = Inference::start(open, &AtomicBool::new(false)).unwrap().unwrap();
            let config = Config {
                source: Source::Pipeline { pipeline: String::new(), live: true },
                bundle: PathBuf::new(),
                engine: EngineSettings::default(),
                x: None,
                y: None,
                pad: false,
                sync: Sync { mode, max_mask_age: MAX_AGE, engine_timeout: TIMEOUT },
                overlay: Overlay {
                    enabled: true,
                    opacity: 0.5,
                    colour: [255, 208, 0],
                    outline: true,
                    threshold: None,
                    min_area: None,
                },
                sinks: vec![],
                listen: None,
                proxy_hosts: vec![],
                report: None,
                log_interval: Duration::from_secs(1),
            };
            let model = ModelDefaults { threshold: 0.5, min_area: 0 };
            let info = VideoInfo::builder(VideoFormat::I420, 580, 420)
                .colorimetry(&"1:4:0:0".parse().unwrap())
                .build()
                .unwrap();
            let way = Way::new(&config, model, Arc::new(info), inference, vec![]).unwrap();
            Self { way, orders, start: Instant::now(), openings }
        }

        /// Shows a dark frame with a bright block of 64x64 at column `x`, `at` on the time line.
        fn show(&mut self, x: usize, at: Duration) -> Seen {
            let mut buffer = gst::Buffer::with_size(self.way.info.size()).unwrap();
            let info = self.way.info.clone();
            {
                let writable = buffer.make_mut();
                let mut mapped = VideoFrameRef::from_buffer_ref_writable(writable, &info).unwrap();
                let stride = mapped.plane_stride()[0] as usize;
                let [luma, u, v, _] = mapped.planes_data_mut();
                luma.fill(20);
                (100..164).for_each(|row| luma[row * stride + x..][..64].fill(250));
                u.fill(128);
                v.fill(128);
            }
            let frame = Frame { buffer, info: info.clone(), arrived: self.start + at, truth: None };
            let buffer = self.way.pass(frame).unwrap();
            self.look_at(&buffer, x)
        }

        fn look_at(&self, buffer: &gst::Buffer, x: usize) -> Seen {
            let info = &self.way.info;
            let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
            let stride = mapped.plane_stride()[1] as usize;
            let u = mapped.plane_data(1).unwrap();
            let tinted = |col: usize, row: usize| u[row / 2 * stride + col / 2] != 128;
            Seen {
                block: tinted(x + 32, 132),
                badge: tinted(self.way.region.x + 20, self.way.region.y + 20),
                elsewhere: tinted((x + 200) % WIDTH, 132),
            }
        }
    }

    /// What can be seen in a shown frame.
    #[derive(Debug, PartialEq)]
    struct Seen {
        block: bool,
        badge: bool,
        elsewhere: bool,
    }

    const NERVE: Seen = Seen { block: true, badge: false, elsewhere: false };
    const BADGE: Seen = Seen { block: false, badge: true, elsewhere: false };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn exact_shows_every_frame_with_its_own_mask() {
        let mut bench = Bench::new(SyncMode::Exact);
        for (n, x) in [40, 300, 140, 400].into_iter().enumerate() {
            bench.orders.send(Order::Answer).unwrap();
            assert_eq!(bench.show(x, ms(33 * n as u64)), NERVE, "frame {n}");
        }
        assert_eq!(bench.way.figures.masked, 4);
    }

    #[test]
    fn exact_goes_on_under_a_badge_while_the_engine_hangs_and_recovers() {
        let mut bench = Bench::new(SyncMode::Exact);
        assert_eq!(bench.show(40, ms(0)), BADGE, "waits for the timeout, then goes on");
        let begun = Instant::now();
        for n in 1..20 {
            assert_eq!(bench.show(40, ms(33 * n)), BADGE);
        }
        assert!(begun.elapsed() < TIMEOUT * 19, "a hang is waited for once, not for every frame");
        bench.orders.send(Order::Answer).unwrap();
        // The late answer is for a frame long gone; it is never shown.
        while !bench.way.inference.is_idle() {
            bench.way.read_answers();
            std::thread::yield_now();
        }
        bench.orders.send(Order::Answer).unwrap();
        assert_eq!(bench.show(300, ms(1000)), NERVE);
        assert_eq!(bench.way.figures.badged, 20);
    }

    #[test]
    fn a_failing_engine_is_badged_opened_anew_and_shown_again() {
        let mut bench = Bench::new(SyncMode::Exact);
        for n in 0..5 {
            bench.orders.send(Order::Fail).unwrap();
            assert_eq!(bench.show(40, ms(33 * n)), BADGE);
        }
        assert_eq!(bench.way.figures.engine_errors, 5);
        bench.orders.send(Order::Answer).unwrap();
        assert_eq!(bench.show(40, ms(500)), NERVE);
        assert_eq!(bench.openings.load(Ordering::Relaxed), 2, "opened anew once, after three failures");
    }

    #[test]
    fn latest_never_waits_and_shows_the_newest_mask_until_it_is_stale() {
        let mut bench = Bench::new(SyncMode::Latest);
        assert_eq!(bench.show(40, ms(0)), BADGE, "no mask yet");
        bench.orders.send(Order::Answer).unwrap();
        while bench.way.mask_of.is_none() {
            bench.way.read_answers();
            std::thread::yield_now();
        }
        assert_eq!(bench.show(40, ms(33)), NERVE);
        assert_eq!(bench.show(40, ms(100)), NERVE, "100 ms old is fresh enough");
        assert_eq!(bench.way.ai, Ai::On);
        assert_eq!(bench.show(40, ms(101)), BADGE);
        assert_eq!(bench.way.ai, Ai::Stale);
        assert!(bench.way.figures.crops_skipped > 0, "crops the engine never began");
        // It hangs over the frame of 33 ms: after the timeout that is more than stale.
        while bench.way.inference.busy_for() <= TIMEOUT {
            std::thread::yield_now();
        }
        bench.show(40, ms(133));
        assert_eq!(bench.way.ai, Ai::Off);
    }

    #[test]
    fn silence_is_shown_without_the_old_mask() {
        let mut bench = Bench::new(SyncMode::Latest);
        bench.show(40, ms(0));
        bench.orders.send(Order::Answer).unwrap();
        while bench.way.mask_of.is_none() {
            bench.way.read_answers();
            std::thread::yield_now();
        }
        assert_eq!(bench.show(40, ms(33)), NERVE);
        let shown = bench.way.show_no_signal(bench.start + ms(2000)).unwrap();
        assert_eq!(bench.look_at(&shown, 40), BADGE);
        assert_eq!((bench.way.figures.inserted, bench.way.figures.frames_out), (1, 2));
        assert_eq!(bench.show(40, ms(2033)), BADGE, "the old mask does not come back with the signal");
    }

    #[test]
    fn a_disabled_overlay_changes_no_pixel() {
        let mut bench = Bench::new(SyncMode::Exact);
        bench.way.enabled = false;
        bench.orders.send(Order::Answer).unwrap();
        assert_eq!(bench.show(40, ms(0)), Seen { block: false, badge: false, elsewhere: false });
    }
}
