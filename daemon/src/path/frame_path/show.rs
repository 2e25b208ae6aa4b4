//! What is said of a frame that is shown, and who gets it.

use nervelight_engines::contract;

use super::FramePath;
use crate::frame::{Frame, NerveSize, OverlayState};
use crate::path::crop::Cropper;
use crate::sink::Shown;
use crate::sink::preview::State;

impl FramePath {
    /// Hands a frame to every sink.
    pub(super) fn show(&mut self, buffer: &gst::Buffer, state: State, spacing: Option<[f32; 2]>) {
        let Some(layout) = &self.layout else { return };
        let model = self.mask_of.as_ref().map(|(_, model)| model);
        let region = layout.crop.as_ref().ok().map(Cropper::area);
        let mask = (self.state == OverlayState::On).then_some(&*self.mask.inside);
        for (_, sink) in &mut self.sinks {
            sink.push(Shown { buffer, info: &layout.info, state, mask, model, region, spacing });
        }
    }

    /// The size of the nerve that is shown, where it is wanted and a pixel's is known.
    pub(super) fn measure(&self, spacing: Option<[f32; 2]>) -> Option<NerveSize> {
        if !self.settings.measure || self.state != OverlayState::On {
            return None;
        }
        let (largest, crop) = (self.mask.largest?, self.layout.as_ref()?.crop.as_ref().ok()?);
        // In pixels of the crop, which may be larger or smaller than the frame's.
        let (scale, spacing) = (crop.scale(), spacing?);
        let rows = (crop.region().y as f32 - self.settings.skin_y as f32) / scale;
        Some(largest.size(spacing.map(|mm| mm * scale), rows))
    }

    /// Dice of what is shown against the source's truth, where there is one with a nerve.
    pub(super) fn score(&self, frame: &Frame) -> Option<f64> {
        let truth = frame.truth.as_ref().filter(|_| self.state == OverlayState::On)?;
        let has_nerve = truth.iter().any(|&t| t != 0);
        has_nerve.then(|| contract::dice(&self.mask.inside[..], &truth[..], 1))
    }
}
