//! What a capture card's driver can be asked, whoever answers.

use crate::frame::InputStatus;

/// The mode of a video signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whether fields come in turn.
    pub interlaced: u32,
    /// Hz.
    pub clock: u64,
}

impl Mode {
    /// Whether it is the same but for the clocks, which differ a little from what is nominal.
    pub fn is_like(&self, other: &Self) -> bool {
        let what = |mode: &Self| (mode.width, mode.height, mode.interlaced);
        what(self) == what(other) && self.clock.abs_diff(other.clock) <= self.clock / 100
    }
}

/// What a card's driver can be asked.
pub trait Card {
    /// Of the input.
    fn input_status(&mut self) -> InputStatus;

    /// The mode that the card is set to, and its input's; none where the driver does not know.
    fn modes(&mut self) -> Option<(Mode, Mode)>;

    /// Whether the driver reported another resolution of the input since the last time.
    fn has_changed(&mut self) -> bool;
}
