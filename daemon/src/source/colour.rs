//! Colour range and matrix: made explicit before GStreamer converts, and taken from where they are written.
//!
//! A full-range frame that is read as limited loses everything below 16 and above 235, and nobody sees it but the
//! network. In order of trust: the bitstream's own words, the container's `colr` box, caps.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gst_video::{VideoColorRange, VideoColorimetry};

use crate::config::Source;
use crate::lock::lock;

const FULL: &str = "1:4:0:0";
const LIMITED: &str = "2:4:0:0";

/// What a container says of colour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stated {
    /// Colorimetry of the caps, whose range GStreamer's MP4 demuxer loses.
    colorimetry: Option<String>,
    /// Range of the `colr` box.
    is_full: Option<bool>,
}

/// Makes range and matrix explicit where the source leaves them open.
///
/// GStreamer drops the range of video whose matrix is unknown (`1:0:0:0`), as encoders without
/// colour settings write it, and forgets that gray is full range when it converts it; luma would
/// then be expanded twice. BT.601 is what this class of video means.
pub fn settle(pipeline: &gst::Pipeline, source: &Source, pads: bool) {
    let (Some(convert), Some(format)) = (pipeline.by_name("convert"), pipeline.by_name("format")) else {
        return;
    };
    let Some(pad) = convert.static_pad("sink") else { return };
    let container = Arc::new(Mutex::new(Stated { is_full: range_of(source), colorimetry: None }));
    take_aside(pipeline, &container);
    let is_limited = Arc::new(AtomicBool::new(false));
    let theirs = is_limited.clone();
    relabel(&format, is_limited);
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
        let Some(gst::PadProbeData::Event(event)) = &probe.data else { return gst::PadProbeReturn::Ok };
        let gst::EventView::Caps(caps) = event.view() else { return gst::PadProbeReturn::Ok };
        let mut caps = caps.caps_owned();
        let Some(input) = caps.structure(0) else { return gst::PadProbeReturn::Ok };
        let pixels = input.get::<&str>("format").unwrap_or("");
        let stated = input.get::<&str>("colorimetry").unwrap_or("");
        let container = lock(&container).clone();
        let (input, output) = settled(pixels, stated, &container);
        theirs.store(is_limited_rgb(pixels, stated), Ordering::Relaxed);
        if let Ok(mut formats) = formats(pads).parse::<gst::Caps>() {
            if !output.is_empty() {
                formats.make_mut().set("colorimetry", output);
            }
            format.set_property("caps", formats);
        }
        if let Some(colorimetry) = input {
            caps.make_mut().set("colorimetry", colorimetry);
            probe.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// RGB whose range is limited, which GStreamer (1.22) converts wrong by up to 19 levels to the full range and 2 to the
/// limited one. Read as full it keeps its levels, and `relabel` says what they are.
fn is_limited_rgb(pixels: &str, stated: &str) -> bool {
    ["RGB", "BGR", "GBR"].iter().any(|kind| pixels.contains(kind)) && stated.starts_with('2')
}

/// Says of frames that leave `format` that their range is limited, where it is.
fn relabel(format: &gst::Element, is_limited: Arc<AtomicBool>) {
    let Some(pad) = format.static_pad("src") else { return };
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
        if let Some(gst::PadProbeData::Event(event)) = &probe.data
            && let gst::EventView::Caps(caps) = event.view()
            && is_limited.load(Ordering::Relaxed)
        {
            let mut caps = caps.caps_owned();
            caps.make_mut().set("colorimetry", LIMITED);
            probe.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Keeps a container's colorimetry from the parsers of H.264 and HEVC: it would override the bitstream's, whose range
/// is right. It is kept for streams that say nothing themselves.
fn take_aside(pipeline: &gst::Pipeline, container: &Arc<Mutex<Stated>>) {
    let container = container.clone();
    let hook = move |element: &gst::Element| {
        let is_parser = |factory: gst::ElementFactory| ["h264parse", "h265parse"].contains(&&*factory.name());
        let Some(pad) = element.factory().filter(|f| is_parser(f.clone())).and(element.static_pad("sink"))
        else {
            return;
        };
        let container = container.clone();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
            let Some(gst::PadProbeData::Event(event)) = &probe.data else { return gst::PadProbeReturn::Ok };
            let gst::EventView::Caps(caps) = event.view() else { return gst::PadProbeReturn::Ok };
            let mut caps = caps.caps_owned();
            let stated = caps.structure(0).and_then(|s| s.get::<String>("colorimetry").ok());
            if stated.is_some() {
                lock(&container).colorimetry = stated;
                if let Some(structure) = caps.make_mut().structure_mut(0) {
                    structure.remove_field("colorimetry");
                }
                probe.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
            }
            gst::PadProbeReturn::Ok
        });
    };
    pipeline.iterate_recurse().into_iter().flatten().for_each(|element| hook(&element));
    pipeline.connect_deep_element_added(move |_, _, element| hook(element));
}

/// The colorimetry to read frames of format `pixels` with, where it is not the one `stated`, and the
/// one to convert them to; empty for GStreamer's choice.
fn settled(pixels: &str, stated: &str, container: &Stated) -> (Option<String>, String) {
    if pixels.contains("GRAY") {
        // Full range unless it says limited. Its luma passes unchanged, for GStreamer converts no range of gray.
        return match stated.starts_with('2') {
            true => (Some(LIMITED.into()), LIMITED.into()),
            false => (Some(FULL.into()), FULL.into()),
        };
    }
    if ["RGB", "BGR", "GBR"].iter().any(|kind| pixels.contains(kind)) {
        return (is_limited_rgb(pixels, stated).then(|| "1:1:0:0".into()), FULL.into());
    }
    if stated.is_empty() || stated.starts_with('0') {
        let input = contained(container);
        return (input.clone(), input.unwrap_or_else(|| stated.into()));
    }
    match stated.split(':').collect::<Vec<_>>()[..] {
        [range, "0", transfer, primaries] => {
            let explicit = format!("{range}:4:{transfer}:{primaries}");
            (Some(explicit.clone()), explicit)
        }
        _ => (None, stated.into()),
    }
}

/// The container's colorimetry, with the range of its own box.
fn contained(container: &Stated) -> Option<String> {
    let stated = match &container.colorimetry {
        Some(text) => text.parse::<VideoColorimetry>().ok()?,
        None => "2:4:0:0".parse().ok().filter(|_| container.is_full.is_some())?,
    };
    let range = match container.is_full {
        Some(true) => VideoColorRange::Range0_255,
        Some(false) => VideoColorRange::Range16_235,
        None => stated.range(),
    };
    Some(VideoColorimetry::new(range, stated.matrix(), stated.transfer(), stated.primaries()).to_string())
}

/// What the `colr` box of a local MP4 says, if there is one.
fn range_of(source: &Source) -> Option<bool> {
    let Source::File { uri, .. } = source else { return None };
    let (path, _) = gst::glib::filename_from_uri(uri).ok()?;
    if !path.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let end = file.seek(SeekFrom::End(0)).ok()?;
    find_range(&mut file, 0, end)
}

/// Whether the first `colr` box of kind `nclx` between `at` and `end` says full range (ISO/IEC 14496-12, 12.1.5).
fn find_range(file: &mut (impl Read + Seek), mut at: u64, end: u64) -> Option<bool> {
    // Header of a sample entry for video, up to its boxes.
    const ENTRY: u64 = 78;
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 8];
        file.read_exact(&mut head).ok()?;
        let (size, kind) = head.split_at(4);
        let (size, body) = match u64::from(u32::from_be_bytes(size.try_into().ok()?)) {
            0 => (end - at, 8),
            1 => {
                let mut large = [0; 8];
                file.read_exact(&mut large).ok()?;
                (u64::from_be_bytes(large), 16)
            }
            size => (size, 8),
        };
        let next = at.checked_add(size).filter(|next| size >= body && *next <= end)?;
        let inner = match kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" => Some(0),
            // Version, flags and count.
            b"stsd" => Some(8),
            b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01" | b"vp08" | b"vp09" | b"mp4v" => Some(ENTRY),
            _ => None,
        };
        if let Some(skipped) = inner {
            let found = find_range(file, at + body + skipped, next);
            if found.is_some() {
                return found;
            }
        } else if kind == b"colr" {
            let mut colr = [0; 11];
            file.read_exact(&mut colr).ok()?;
            if colr.starts_with(b"nclx") {
                return Some(colr[10] & 0x80 != 0);
            }
        }
        at = next;
    }
    None
}

/// What the frame path processes, in the notation of caps: square pixels, and only I420 where a border is added.
pub fn formats(pads: bool) -> &'static str {
    match pads {
        false => "video/x-raw,format=(string){I420,NV12},pixel-aspect-ratio=1/1",
        true => "video/x-raw,format=I420,pixel-aspect-ratio=1/1",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn made(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat()
    }

    /// An MP4's boxes down to `colr`.
    fn movie(colr: &[u8]) -> Vec<u8> {
        let entry = made(b"avc1", &[vec![0; 78], made(b"pasp", &[0; 8]), made(b"colr", colr)].concat());
        let mut boxes = made(b"stsd", &[vec![0; 8], entry].concat());
        for kind in [b"stbl", b"minf", b"mdia", b"trak", b"moov"] {
            boxes = made(kind, &[made(b"free", &[0; 4]), boxes].concat());
        }
        [made(b"ftyp", b"isom\0\0\0\0"), made(b"mdat", &[0; 100]), boxes].concat()
    }

    fn range(movie: Vec<u8>) -> Option<bool> {
        let end = movie.len() as u64;
        find_range(&mut Cursor::new(movie), 0, end)
    }

    #[test]
    fn the_range_is_read_from_the_colr_box() {
        assert_eq!(range(movie(b"nclx\0\x06\0\x06\0\x06\x80")), Some(true));
        assert_eq!(range(movie(b"nclx\0\x06\0\x06\0\x06\0")), Some(false));
        assert_eq!(range(movie(b"nclc\0\x06\0\x06\0\x06\x80")), None, "QuickTime's box has no range");
    }

    #[test]
    fn broken_boxes_are_no_range() {
        let good = movie(b"nclx\0\x06\0\x06\0\x06\x80");
        for cut in 0..good.len() {
            assert_eq!(range(good[..cut].to_vec()), None, "cut at {cut}");
        }
        assert_eq!(range(vec![0xff; 1000]), None);
        assert_eq!(range(b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()), None);
    }

    #[test]
    fn the_container_speaks_only_where_the_stream_is_silent() {
        gst::init().unwrap();
        let stated =
            |colorimetry: Option<&str>, is_full| Stated { colorimetry: colorimetry.map(Into::into), is_full };
        let lost = stated(Some("bt601"), Some(true));
        assert_eq!(settled("I420", "", &lost).1, "1:4:16:4");
        assert_eq!(settled("I420", "2:4:16:4", &lost).1, "2:4:16:4");
        assert_eq!(settled("I420", "", &stated(None, Some(true))).1, "1:4:0:0");
        assert_eq!(settled("I420", "", &stated(None, None)), (None, String::new()));
        assert_eq!(settled("GRAY8", "", &stated(None, None)).1, "1:4:0:0");
        assert_eq!(settled("GRAY8", "2:4:0:0", &stated(None, None)).1, "2:4:0:0");
        assert_eq!(settled("I420", "1:0:0:0", &stated(None, None)).1, "1:4:0:0");
    }
}
