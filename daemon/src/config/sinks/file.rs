//! `kind = "file"`: what is recorded where, how it is cut into files, and how much of them is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::mistakes::Mistakes;
use crate::config::sinks::{RawSink, Sink};

/// Bytes in a megabyte, as disks are sold.
const MEGABYTE: u64 = 1_000_000;
/// More megabytes than any disk has.
const MOST_MEGABYTES: u64 = 1_000_000_000;
/// A file of more than a day is none that anybody wants cut.
const MOST_SECONDS: u64 = 86_400;

/// A recording.
#[derive(Debug, Clone, Default)]
pub struct FileSettings {
    /// `.mp4` or `.mkv`.
    pub path: PathBuf,
    /// Encoder as a GStreamer fragment; the best one installed when absent.
    pub encoder: Option<String>,
    /// Replace an existing file instead of numbering this one.
    pub overwrite: bool,
    /// How long and large its files may become.
    pub segment: SegmentLimits,
    /// The oldest files are deleted before all of them have so many bytes.
    pub quota: Option<u64>,
    /// The oldest files are deleted, and then the recording stops, before the disk has fewer bytes of room.
    pub keep_free: Option<u64>,
}

/// How long and large a file may become before the recording goes on in the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentLimits {
    /// On the frames' time line.
    pub length: Option<Duration>,
    /// On the disk.
    pub bytes: Option<u64>,
}

impl FileSettings {
    /// Whether it is cut into files, whose numbers say their order.
    pub fn is_cut(&self) -> bool {
        self.segment != SegmentLimits::default() || self.quota.is_some() || self.keep_free.is_some()
    }
}

/// The recording as used; `table` is its key.
pub fn resolve(raw: &RawSink, table: &str, base: &Path, mistakes: &mut Mistakes) -> Option<Sink> {
    let mut mistake = |key: &str, message: &str| mistakes.add(format!("{table}.{key}"), message);
    let Some(path) = raw.path.as_ref().map(|p| base.join(p)) else {
        mistake("path", "is missing: set it to the recording's file, such as \"nerve.mp4\"");
        return None;
    };
    if !path.extension().is_some_and(|e| e == "mp4" || e == "mkv") {
        mistake("path", "must end in .mp4 or .mkv");
    }
    if raw.segment_seconds.is_some_and(|seconds| !(1..=MOST_SECONDS).contains(&seconds)) {
        mistake("segment_seconds", "must be from 1 to 86400, a day");
    }
    let megabytes =
        [("segment_mb", raw.segment_mb), ("quota_mb", raw.quota_mb), ("keep_free_mb", raw.keep_free_mb)];
    for (key, value) in megabytes {
        if value.is_some_and(|value| !(1..=MOST_MEGABYTES).contains(&value)) {
            mistake(key, "must be from 1 to 1000000000 megabytes");
        }
    }
    match (raw.quota_mb, raw.segment_mb) {
        (Some(_), None) if raw.segment_seconds.is_none() => mistake(
            "quota_mb",
            "needs segment_seconds or segment_mb: only finished files are deleted, and one that is never cut is never \
             finished",
        ),
        (Some(quota), Some(segment)) if quota < segment.saturating_mul(2) => mistake(
            "quota_mb",
            "is less than two files of segment_mb: the last must be kept while the next is written. Raise it, or lower \
             segment_mb",
        ),
        _ => {}
    }
    let bytes = |megabytes: Option<u64>| megabytes.map(|n| n.saturating_mul(MEGABYTE));
    let quota = bytes(raw.quota_mb);
    let settings = FileSettings {
        path,
        encoder: raw.encoder.clone(),
        overwrite: raw.overwrite.unwrap_or(false),
        segment: SegmentLimits {
            length: raw.segment_seconds.map(Duration::from_secs),
            // A file of whatever length leaves room for the one before.
            bytes: bytes(raw.segment_mb).or(quota.map(|quota| quota / 2)),
        },
        quota,
        keep_free: bytes(raw.keep_free_mb),
    };
    if settings.overwrite && settings.is_cut() {
        mistake(
            "overwrite",
            "has no meaning for a recording of many files, which are numbered. Remove it, or segment_seconds, \
             segment_mb, quota_mb and keep_free_mb",
        );
    }
    Some(Sink::File(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> (FileSettings, String) {
        let raw: RawSink = toml::from_str(&format!("kind = \"file\"\npath = \"a.mp4\"\n{text}")).unwrap();
        let mut mistakes = Mistakes::default();
        let Some(Sink::File(settings)) = resolve(&raw, "sinks[0]", Path::new("/"), &mut mistakes) else {
            panic!("it has a path")
        };
        (settings, mistakes.into_list().iter().map(|problem| format!("{problem:?}")).collect())
    }

    #[test]
    fn limits_are_megabytes_and_seconds_and_a_quota_has_room_for_two_files() {
        let (settings, said) = resolved("segment_seconds = 60\nquota_mb = 500\nkeep_free_mb = 1000");
        assert_eq!(said, "");
        let expected = SegmentLimits { length: Some(Duration::from_secs(60)), bytes: Some(250_000_000) };
        assert_eq!(settings.segment, expected, "a long file leaves room for the one before");
        assert_eq!((settings.quota, settings.keep_free), (Some(500_000_000), Some(1_000_000_000)));
        assert_eq!(resolved("segment_mb = 250\nquota_mb = 500").0.segment.bytes, Some(250_000_000));
        assert!(!resolved("overwrite = true").0.is_cut());
    }

    #[test]
    fn limits_that_cannot_be_kept_are_mistakes() {
        for (text, key, why) in [
            ("quota_mb = 500", "quota_mb", "needs segment_seconds or segment_mb"),
            ("segment_mb = 251\nquota_mb = 500", "quota_mb", "less than two files"),
            ("segment_seconds = 0", "segment_seconds", "from 1"),
            ("segment_seconds = 90000", "segment_seconds", "a day"),
            ("segment_mb = 0", "segment_mb", "from 1"),
            ("segment_mb = 18446744073709551615\nquota_mb = 9", "segment_mb", "from 1"),
            ("keep_free_mb = 0", "keep_free_mb", "from 1"),
            ("overwrite = true\nsegment_seconds = 60", "overwrite", "many files"),
        ] {
            let said = resolved(text).1;
            assert!(said.contains(&format!("sinks[0].{key}")) && said.contains(why), "{text}: {said}");
        }
    }
}
