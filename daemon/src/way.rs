//! The frame's way from the source to the sinks: crop, engine, overlay, stream.
//!
//! The video never waits for the engine longer than `sync.engine_timeout`, and not at all in
//! `latest` mode or once the engine is known to hang. A mask is shown on its own frame (`exact`) or
//! while it is fresh (`latest`); a frame without one carries a badge that says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use nervelight_engines::bundle::threshold_byte;
use nervelight_engines::contract;

use crate::config::{Config, SyncMode};
use crate::crop::Cropper;
use crate::figures::{Ai, Figures};
use crate::frame::{Frame, Picture, Region, is_limited};
use crate::infer::{Inference, Job};
use crate::mask::Mask;
use crate::overlay::{Badge, Colour, Style, draw};
use crate::stream::Output;

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
    pub outputs: Vec<Output>,
    /// What happened up to now.
    pub figures: Figures,
    number: u64,
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
    /// Prepares the way for frames like `info`.
    ///
    /// # Errors
    /// When the frames are smaller than the crop.
    pub fn new(
        config: &Config,
        model: ModelDefaults,
        info: Arc<VideoInfo>,
        inference: Inference,
        outputs: Vec<Output>,
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
        })
    }

    /// Whether `frame` fits the way; another size or format needs a new one.
    pub fn fits(&self, frame: &Frame) -> bool {
        Arc::ptr_eq(&frame.info, &self.info) || *frame.info == *self.info
    }

    /// Takes a frame all the way.
    ///
    /// # Errors
    /// When the frame's memory cannot be mapped.
    pub fn pass(&mut self, mut frame: Frame) -> Result<()> {
        let begun = Instant::now();
        self.number += 1;
        self.read_answers();
        let waited = match self.mode {
            SyncMode::Latest => {
                self.submit(&frame)?;
                Duration::ZERO
            }
            SyncMode::Exact => self.submit_and_wait(&frame)?,
        };
        let arrived = frame.arrived;
        self.ai = self.judge(arrived);
        self.score(&frame);
        self.annotate(&mut frame)?;
        for output in &mut self.outputs {
            output.push(&frame.buffer);
        }
        self.figures.shown(arrived.elapsed(), begun.elapsed().saturating_sub(waited));
        Ok(())
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
        if let (Some(truth), Ai::On) = (&frame.truth, self.ai) {
            if truth.iter().any(|&t| t != 0) {
                let (mut both, mut either) = (0u32, 0u32);
                for (&inside, &t) in self.mask.inside.iter().zip(truth.iter()) {
                    let t = t >> 7;
                    both += u32::from(inside & t);
                    either += u32::from(inside) + u32::from(t);
                }
                self.figures.dice(2.0 * f64::from(both) / f64::from(either));
            }
        }
    }

    /// Counts a frame that was taken and will not be shown.
    pub fn discard(&mut self, frames: u64) {
        self.figures.discarded += frames;
    }

    /// Ends every sink, each file whole.
    pub fn finish(&mut self) {
        self.outputs.iter_mut().for_each(Output::finish);
    }
}
