//! Event files as TensorBoard reads them: records of a protobuf message each.
//!
//! Field numbers from <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>,
//! the frame around a record from <https://www.tensorflow.org/tutorials/load_data/tfrecord>.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::{Enumeration, Message, Oneof};

/// What every file's first record says.
const VERSION: &str = "brain.Event:2";
/// TensorBoard takes files for its own by the part before the number, and reads them in order of names.
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".nervelight";

/// One record.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// What it holds.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// First record of a file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Figures of a step.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// The run starts, or starts again.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Figures of a step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Scalar>,
}

/// A figure.
#[derive(Clone, PartialEq, Message)]
pub struct Scalar {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, tag = "2")]
    pub simple_value: f32,
}

/// A run's start: every event of this step or a later one that was read before is void.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = "1")]
    pub status: i32,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SessionStatus {
    /// None.
    Unspecified = 0,
    /// It starts.
    Start = 1,
}

/// An event file being written.
#[derive(Debug)]
pub struct Events {
    file: File,
}

impl Events {
    /// Starts a file in `folder`. Earlier files' events from step `next` on, which a run that was
    /// resumed repeats, count no more.
    pub fn create(folder: &Path, next: i64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Never before an earlier file, even where the clock was set back.
        let seconds = earlier(folder)?.max().map_or(0, |last| last + 1).max(now() as u64);
        let file = File::create_new(folder.join(format!("{PREFIX}{seconds:010}{SUFFIX}")))?;
        let mut events = Self { file };
        events.write(0, What::FileVersion(VERSION.into()))?;
        events.write(next, What::SessionLog(SessionLog { status: SessionStatus::Start.into() }))?;
        Ok(events)
    }

    /// Adds figures of `step`.
    pub fn scalars<'a>(
        &mut self,
        step: i64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let value = |(tag, value): (&str, f64)| Scalar { tag: tag.into(), simple_value: value as f32 };
        self.write(step, What::Summary(Summary { value: values.into_iter().map(value).collect() }))
    }

    fn write(&mut self, step: i64, what: What) -> io::Result<()> {
        let event = Event { wall_time: now(), step, what: Some(what) };
        // In one call, so that a reader seldom sees half a record.
        self.file.write_all(&record(&event.encode_to_vec()))
    }
}

/// The numbers of the files there are.
fn earlier(folder: &Path) -> io::Result<impl Iterator<Item = u64>> {
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
    };
    Ok(fs::read_dir(folder)?.filter_map(Result::ok).filter_map(number))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Length, its checksum, `data`, its checksum; little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

/// CRC-32C, changed so that data which holds checksums has no checksum of checksums.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Events of the files in `folder` in the order of their names. Panics at a wrong checksum.
    pub fn read(folder: &Path) -> Vec<Event> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        let mut events = vec![];
        for path in paths {
            let bytes = fs::read(path).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (length, after) = rest.split_at(8);
                let (sum, after) = after.split_at(4);
                assert_eq!(masked(length).to_le_bytes(), sum, "length");
                let (data, after) = after.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
                let (sum, after) = after.split_at(4);
                assert_eq!(masked(data).to_le_bytes(), sum, "data");
                events.push(Event::decode(data).unwrap());
                rest = after;
            }
        }
        events
    }

    /// Step and value of `tag` as TensorBoard counts them: a start voids what comes from its step on.
    pub fn series(folder: &Path, tag: &str) -> Vec<(i64, f32)> {
        let mut series = vec![];
        for event in read(folder) {
            match event.what.unwrap() {
                What::FileVersion(version) => assert_eq!(version, VERSION),
                What::SessionLog(log) => {
                    assert_eq!(log.status(), SessionStatus::Start);
                    series.retain(|(step, _)| *step < event.step);
                }
                What::Summary(summary) => {
                    let of_tag = summary.value.iter().filter(|v| v.tag == tag);
                    series.extend(of_tag.map(|v| (event.step, v.simple_value)));
                }
            }
        }
        series
    }

    #[test]
    fn checksums_are_those_of_the_format() {
        // CRC-32C of 32 zero bytes from RFC 3720, B.4, masked.
        assert_eq!(masked(&[0; 32]), 0x8a91_36aau32.rotate_right(15).wrapping_add(0xa282_ead8));
        // The first record of a file that TensorBoard's own writer made at 0 s.
        let event = Event { wall_time: 0.0, step: 0, what: Some(What::FileVersion(VERSION.into())) };
        let data = event.encode_to_vec();
        assert_eq!(data, b"\x1a\x0dbrain.Event:2");
        assert_eq!(record(&data).len(), 8 + 4 + 15 + 4);
    }

    #[test]
    fn a_resumed_run_voids_what_it_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Events::create(folder.path(), 1).unwrap();
        (1..=5).for_each(|step| first.scalars(step, [("loss", step as f64), ("rate", 1e-3)]).unwrap());
        // The checkpoint is of step 3.
        let mut second = Events::create(folder.path(), 4).unwrap();
        (4..=6).for_each(|step| second.scalars(step, [("loss", 10.0 * step as f64)]).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "also within a second");
        let expected = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0), (6, 60.0)];
        assert_eq!(series(folder.path(), "loss"), expected);
        assert_eq!(series(folder.path(), "rate").len(), 3);
    }
}
