//! What an encoder makes, and who takes it.

use crate::sink::feed::{Feed, Taken};

/// One access unit: H.264 as a byte stream, with SPS and PPS before every IDR.
#[derive(Clone)]
pub struct Unit {
    /// The bytes.
    pub buffer: gst::Buffer,
    /// When it is shown, in ns on the frames' time line.
    pub at: u64,
    /// Whether it is an IDR, and needs no unit before it.
    pub is_key: bool,
    /// `buffer` with its caps and segment.
    pub sample: gst::Sample,
}

/// Takes access units, on the encoder's thread. A network sink never waits here; a recording does, if the video is not live.
pub trait Units: Send + Sync {
    /// Takes a unit. After one that was not taken the next is an IDR.
    fn give(&self, unit: &Unit) -> Taken;

    /// Whether a unit would be taken now.
    fn has_room(&self) -> bool;

    /// No unit follows.
    fn end(&self);
}

impl Unit {
    /// What `sample` holds; none if it has no time.
    pub fn read(sample: gst::Sample) -> Option<Self> {
        let buffer = sample.buffer_owned()?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let at = segment.to_running_time(buffer.pts()?)?.nseconds();
        let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        Some(Self { buffer, at, is_key, sample })
    }
}

/// A muxer.
impl Units for Feed {
    fn give(&self, unit: &Unit) -> Taken {
        Self::give(self, |source| source.push_sample(&unit.sample))
    }

    fn has_room(&self) -> bool {
        Self::has_room(self)
    }

    fn end(&self) {
        Self::end(self);
    }
}
