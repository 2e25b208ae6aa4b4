//! What is seen of a frame: what the signal is doing, and where the ultrasound picture lies.

use std::time::Instant;

use anyhow::{Context as _, Result};
use gst_video::VideoFrameRef;

use crate::frame::{Frame, InputStatus, SignalState};
use crate::path::change::Event;
use crate::path::frame_path::FramePath;
use crate::path::observer::{Observation, Samples};

impl FramePath {
    /// Looks at a frame.
    ///
    /// # Errors
    /// When its memory cannot be mapped, or a plane is missing.
    pub(super) fn observe(&mut self, frame: &Frame) -> Result<()> {
        let (Some(layout), Some(observer)) = (&self.layout, &mut self.observer) else { return Ok(()) };
        let mapped = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &layout.info)
            .context("a frame's memory cannot be read")?;
        let seen = observer.look(&Samples::of(&mapped)?);
        if let (Some(finder), Some(pts), Some(_)) = (&mut self.finder, frame.buffer.pts(), seen.changed) {
            self.found = finder.look(pts.into(), &observer.grid()).or(self.found);
        }
        // What is not live has no signal: what a file shows is what was recorded.
        let seen = match self.settings.is_live {
            true => seen,
            false => Observation { luma: seen.luma, ..Observation::default() },
        };
        let before = self.signal.state();
        let has_picture = self.signal.frame(frame.arrived, seen).has_picture();
        self.tally.luma(self.signal.luma());
        self.report_signal(before);
        if !has_picture {
            // Neither a mask of before nor one of this belongs to what comes.
            self.forget_mask();
        }
        Ok(())
    }

    /// Takes the crop from where the ultrasound picture was found.
    pub(super) fn move_crop(&mut self, at: Instant) {
        let Some(sector) = self.found.take() else { return };
        let (Some(layout), Some(observer)) = (&mut self.layout, &mut self.observer) else { return };
        layout.take_from(sector, self.settings.layout.scale);
        layout.aim(observer);
        let moved = layout.crop.as_ref().ok().map(|crop| (crop.area(), crop.scale()));
        if std::mem::replace(&mut self.has_sector, true) {
            self.signal.geometry(at);
        }
        self.forget_mask();
        if let Some((crop, scale)) = moved {
            self.report(Event::Sector { sector, crop, scale });
        }
    }

    /// The source's driver says this of its input.
    pub fn input(&mut self, status: InputStatus) {
        self.signal.input(status);
    }

    pub(super) fn report_signal(&self, before: SignalState) {
        let state = self.signal.state();
        if state != before {
            self.report(Event::Signal(state));
        }
    }
}
