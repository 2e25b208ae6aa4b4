//! When frames were made: the cine module's times (PS3.3, C.7.6.5).

use std::time::Duration;

use dicom_dictionary_std::tags;

use crate::attributes::Attributes;

/// A frame's time where the file states none.
const DEFAULT: f64 = 40.0;

/// Start and length of each frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTimes {
    /// Starts in ns where they are stated frame by frame.
    starts: Vec<u64>,
    /// Time of a frame where they are not, in ns.
    step: u64,
    /// Whether the file says so, rather than a default.
    pub is_stated: bool,
}

impl FrameTimes {
    pub(crate) fn of(top: &Attributes, frames: u32) -> Self {
        let from_rate = |tag| top.real(tag).filter(|rate| *rate > 0.0).map(|rate| 1000.0 / rate);
        let constant = || {
            let stated = top.real(tags::FRAME_TIME).filter(|time| is_time(*time));
            stated
                .or_else(|| from_rate(tags::CINE_RATE).filter(|time| is_time(*time)))
                .or_else(|| from_rate(tags::RECOMMENDED_DISPLAY_FRAME_RATE).filter(|time| is_time(*time)))
        };
        let vector = || top.reals(tags::FRAME_TIME_VECTOR).and_then(|steps| starts(&steps, frames));
        let prefers_constant = top.tags(tags::FRAME_INCREMENT_POINTER) == [tags::FRAME_TIME];
        let (vector, constant) = match (prefers_constant, constant()) {
            (true, Some(time)) => (None, Some(time)),
            (_, constant) => (vector(), constant),
        };
        let is_stated = vector.is_some() || constant.is_some();
        let starts = vector.unwrap_or_default();
        let step = match starts[..] {
            [.., before, last] => last - before,
            _ => nanoseconds(constant.unwrap_or(DEFAULT)),
        };
        Self { starts, step, is_stated }
    }

    /// When frame `number` begins, after the first one's beginning.
    pub fn start(&self, number: u32) -> Duration {
        let start = self.starts.get(number as usize).copied();
        Duration::from_nanos(start.unwrap_or_else(|| u64::from(number) * self.step))
    }

    /// How long frame `number` is shown.
    pub fn length(&self, number: u32) -> Duration {
        match self.starts.get(number as usize + 1) {
            Some(next) => Duration::from_nanos(*next).saturating_sub(self.start(number)),
            None => Duration::from_nanos(self.step),
        }
    }

    /// Frames a second, as numerator and denominator; of frames with times of their own the last one's.
    pub fn rate(&self) -> (i32, i32) {
        // A rate such as 30000/1001 comes back as the nearest hundredth.
        let hundredths = (1e11 / self.step as f64).round().clamp(1.0, 1e6) as i32;
        if hundredths % 100 == 0 { (hundredths / 100, 1) } else { (hundredths, 100) }
    }
}

/// Whether ultrasound can have frames of `time` ms.
fn is_time(time: f64) -> bool {
    (0.1..=60_000.0).contains(&time)
}

fn nanoseconds(milliseconds: f64) -> u64 {
    (milliseconds * 1e6).round() as u64
}

/// Starts of all frames from the steps before each of them; none where the steps are no times.
fn starts(steps: &[f64], frames: u32) -> Option<Vec<u64>> {
    let steps = steps.get(..frames as usize)?;
    let mut at = 0.0;
    // The first one's step leads to nothing that is shown.
    let rest = steps.get(1..).filter(|rest| !rest.is_empty() && rest.iter().all(|step| is_time(*step)))?;
    let mut starts = vec![0];
    starts.extend(rest.iter().map(|step| {
        at += step;
        nanoseconds(at)
    }));
    Some(starts)
}

#[cfg(test)]
mod tests {
    use dicom_core::{PrimitiveValue, Tag};

    use super::*;

    fn times(values: &[(Tag, &str)], frames: u32) -> FrameTimes {
        let mut top = Attributes::default();
        for (tag, text) in values {
            let texts = text.split('\\').map(str::to_owned).collect();
            top.0.insert(*tag, PrimitiveValue::Strs(texts));
        }
        FrameTimes::of(&top, frames)
    }

    #[test]
    fn every_way_of_stating_time_is_read() {
        let ms = |times: &FrameTimes| {
            [times.start(1), times.start(2), times.length(2)].map(|time| time.as_secs_f64() * 1e3)
        };
        assert_eq!(ms(&times(&[(tags::FRAME_TIME, "20")], 3)), [20.0, 40.0, 20.0]);
        assert_eq!(ms(&times(&[(tags::FRAME_TIME_VECTOR, "0\\20\\30.5")], 3)), [20.0, 50.5, 30.5]);
        assert_eq!(ms(&times(&[(tags::CINE_RATE, "50")], 3)), [20.0, 40.0, 20.0]);
        assert_eq!(ms(&times(&[(tags::RECOMMENDED_DISPLAY_FRAME_RATE, "25")], 3)), [40.0, 80.0, 40.0]);
        assert!(!times(&[], 3).is_stated);
        assert_eq!(ms(&times(&[], 3)), [40.0, 80.0, 40.0]);
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in ["0", "-20", "nan", "1e300", "soon", ""] {
            let times = times(&[(tags::FRAME_TIME, text), (tags::FRAME_TIME_VECTOR, text)], 3);
            assert!(!times.is_stated, "{text}");
        }
        let short = times(&[(tags::FRAME_TIME_VECTOR, "0\\20"), (tags::CINE_RATE, "10")], 3);
        assert_eq!(short.length(0).as_millis(), 100, "fewer times than frames");
    }

    #[test]
    fn rates_are_whole_where_they_can_be() {
        assert_eq!(times(&[(tags::CINE_RATE, "30")], 1).rate(), (30, 1));
        assert_eq!(times(&[(tags::FRAME_TIME, "33.3667")], 1).rate(), (2997, 100));
    }
}
