//! What a person wants of the frame path, whatever frames come.

use std::time::Duration;

use crate::config::{Config, Source, SyncMode};

/// What a person wants of the frame path.
#[derive(Debug, Clone)]
pub struct PathSettings {
    /// Where the crop lies and how the nerve is drawn.
    pub layout: LayoutSettings,
    /// How masks and frames are matched.
    pub mode: SyncMode,
    /// `latest`: a mask older than this is not shown.
    pub max_mask_age: Duration,
    /// An engine that takes longer for a frame counts as hung.
    pub engine_timeout: Duration,
    /// Whether the nerve is measured.
    pub measure: bool,
    /// A pixel's width and height in mm, whatever the source says.
    pub spacing: Option<[f32; 2]>,
    /// Row of the frame where the skin lies.
    pub skin_y: usize,
    /// Whether the overlay is wanted at the start.
    pub enabled: bool,
    /// Whether a source that sends nothing has no signal. One that is not live may take its time.
    pub is_live: bool,
}

impl PathSettings {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            layout: LayoutSettings::of(config),
            mode: config.sync.mode,
            max_mask_age: config.sync.max_mask_age,
            engine_timeout: config.sync.engine_timeout,
            measure: config.overlay.measure,
            spacing: config.region.spacing_mm,
            skin_y: config.skin_y,
            enabled: config.overlay.enabled,
            is_live: config.source.is_live(),
        }
    }
}

/// Where the crop lies and how the nerve is drawn.
#[derive(Debug, Clone)]
pub struct LayoutSettings {
    /// Left edge of the crop; centred when absent.
    pub x: Option<usize>,
    /// Top edge of the crop; centred when absent.
    pub y: Option<usize>,
    /// Find the ultrasound picture in the frame, and take the crop from its middle.
    pub auto: bool,
    /// Scale that picture to the size of those that the model was trained on.
    pub scale: bool,
    /// R'G'B' of tint and outline.
    pub colour: [u8; 3],
    /// Weight of the colour in the tint, 0..1.
    pub opacity: f32,
    /// One-pixel outline.
    pub outline: bool,
}

impl LayoutSettings {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let overlay = &config.overlay;
        Self {
            x: config.x,
            y: config.y,
            // The phantom's frames are nothing but its picture.
            auto: config.region.auto && !matches!(config.source, Source::Phantom(_)),
            scale: config.region.scale,
            colour: overlay.colour,
            opacity: overlay.opacity,
            outline: overlay.outline,
        }
    }
}
