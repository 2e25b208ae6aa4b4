//! Capture: frames from whatever GStreamer can open: a file or URI, a V4L2 device, a fragment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use gst_video::VideoInfo;
use nervelight_engines::{HEIGHT, WIDTH};

use crate::config::Source;
use crate::frame::Frame;
use crate::pipeline::{Started, parse, quoted, start, stop};
use crate::source::colour;
use crate::source::damage::Damage;
use crate::source::device;
use crate::source::failure::{SourceError, failure};
use crate::source::slot::{FrameCounts, Slot, SlotSender, slot};
use crate::source::stamp::{self, Stamps};

/// Longest wait for a source to open, or for the next frame of one that has no reason to be silent.
pub const STALL: Duration = Duration::from_secs(30);
/// What stopping a pipeline may take; one that hangs is left behind.
const STOP: Duration = Duration::from_secs(3);
/// What to do when that was not enough.
pub const STALLED: &str = "Check what it comes from: the disk, the device, the network, the pipeline";

/// A running GStreamer source; dropping it stops the pipeline.
pub struct Capture {
    pipeline: gst::Pipeline,
    /// What feeds it, if that is no element; dropped first.
    feeder: Feeder,
}

/// What feeds a pipeline, and ends when it is dropped.
type Feeder = Option<Box<dyn Send>>;

/// The pipeline for `source` in `gst-launch-1.0` notation, up to the sink that hands frames over. `pads` frames that are
/// smaller than the crop.
///
/// # Errors
/// When the source is none that GStreamer opens.
pub fn describe(source: &Source, pads: bool) -> Result<String> {
    let head = match source {
        Source::Phantom(_) | Source::Rtsp(_) => bail!("source {source}: GStreamer does not open it"),
        Source::File { uri, .. } => format!("uridecodebin name=decode uri={}", quoted(uri)),
        Source::V4l2 { device, caps, .. } => {
            let caps = caps.as_ref().map_or(String::new(), |caps| format!(" ! {}", quoted(caps)));
            format!("v4l2src device={}{caps} ! decodebin", quoted(&device.display().to_string()))
        }
        Source::Pipeline { pipeline, .. } => pipeline.clone(),
    };
    Ok(finish(&head, pads))
}

/// The pipeline whose decoded frames come from `head`.
pub fn finish(head: &str, pads: bool) -> String {
    let pad = if pads { " ! videobox name=pad fill=black" } else { "" };
    // What each of these makes right is right already in most videos, and passes.
    format!(
        "{head} ! videoconvert name=convert ! videoscale ! capsfilter name=format caps={} ! \
         deinterlace method=linear fields=top ! videoflip video-direction=auto{pad} ! appsink name=frames",
        colour::formats(pads)
    )
}

impl Capture {
    /// Starts the source. Frames, and the end, come through the slot. None when the daemon is told to stop meanwhile.
    ///
    /// # Errors
    /// When the pipeline cannot be built or started; failures of later come as the slot's end.
    pub fn start(
        source: &Source,
        pads: bool,
        counts: &Arc<FrameCounts>,
        to_stop: &AtomicBool,
    ) -> Result<Option<(Self, Slot)>> {
        device::look(source).context("source.device")?;
        Self::play(&describe(source, pads)?, source, pads, counts, to_stop, |_, _| Ok(None))
    }

    /// [`Self::start`] of the pipeline `text`, which ends as [`finish`] says. `prepare` does what is to be done before.
    ///
    /// # Errors
    /// When the pipeline cannot be built, prepared or started.
    pub fn play(
        text: &str,
        source: &Source,
        pads: bool,
        counts: &Arc<FrameCounts>,
        to_stop: &AtomicBool,
        prepare: impl FnOnce(&gst::Pipeline, &SlotSender) -> Result<Feeder>,
    ) -> Result<Option<(Self, Slot)>> {
        let (name, live) = (source.to_string(), source.is_live());
        let pipeline = parse(text, &format!("source {name}"))?;
        colour::settle(&pipeline, source, pads);
        say_what_is_changed(&pipeline, &name);
        if let Some(pad) = pipeline.by_name("pad") {
            add_border(&pad);
        }
        let Some(sink) = pipeline.by_name("frames").and_then(|e| e.downcast::<AppSink>().ok()) else {
            bail!("source {name}: the pipeline has no sink");
        };
        // A live source paces itself, and the clock's wait would only add latency.
        sink.set_sync(source.is_paced_by_clock());
        sink.set_max_buffers(1);
        let (sender, mut slot) = slot(live, counts);
        let damage = matches!(source, Source::File { .. }).then(Damage::new);
        hear_bus(&pipeline, &name, &sender, damage.clone());
        stamp_frames(&sink, live && !source.is_paced_by_clock());
        let feeder = prepare(&pipeline, &sender)?;
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_sample(sender, damage)).build());
        match start(&pipeline, STALL, to_stop) {
            Started::Playing => Ok(Some((Self { pipeline, feeder }, slot))),
            Started::Refused => {
                stop(&pipeline, STOP);
                // The bus has the reason that the change of state keeps to itself.
                match slot.failure() {
                    Some(reason) => Err(reason.into()),
                    None => bail!("source {name}: `{text}` cannot be started"),
                }
            }
            Started::LeftBehind(_) if to_stop.load(Ordering::Relaxed) => Ok(None),
            Started::LeftBehind(left) => Err(anyhow::Error::new(left)
                .context(format!("source {name}: it could not be opened within {STALL:?}. {STALLED}"))),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.feeder = None;
        stop(&self.pipeline, STOP);
    }
}

/// Says that frames are not shown as they come.
fn say_what_is_changed(pipeline: &gst::Pipeline, name: &str) {
    let Some(pad) = pipeline.by_name("convert").and_then(|convert| convert.static_pad("sink")) else {
        return;
    };
    let name = name.to_owned();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
        let Some(gst::PadProbeData::Event(event)) = &probe.data else { return gst::PadProbeReturn::Ok };
        match event.view() {
            gst::EventView::Caps(caps) => {
                let Some(video) = caps.caps().structure(0) else { return gst::PadProbeReturn::Ok };
                let square = gst::Fraction::from_integer(1);
                if let Ok(pixel) = video.get::<gst::Fraction>("pixel-aspect-ratio")
                    && pixel != square
                {
                    tracing::warn!(source = name, pixel = %pixel, "its pixels are not square; frames are scaled");
                }
                if video.get::<&str>("interlace-mode").is_ok_and(|mode| mode != "progressive") {
                    tracing::warn!(source = name, "it is interlaced; every other row is computed from its neighbours");
                }
            }
            gst::EventView::Tag(tags) => {
                if let Some(turn) = tags.tag().get::<gst::tags::ImageOrientation>()
                    && turn.get() != "rotate-0"
                {
                    tracing::warn!(source = name, turn = turn.get(), "frames are turned as it says");
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Adds a border to frames that are smaller than the crop, as `region.pad` wishes.
fn add_border(videobox: &gst::Element) {
    let Some(pad) = videobox.static_pad("sink") else { return };
    let weak = videobox.downgrade();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, probe| {
        if let Some(gst::PadProbeData::Event(event)) = &probe.data
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(videobox) = weak.upgrade()
            && let Ok(info) = VideoInfo::from_caps(caps.caps())
        {
            for (size, needed, sides) in
                [(info.width(), WIDTH, ["left", "right"]), (info.height(), HEIGHT, ["top", "bottom"])]
            {
                let border = (needed as i32 - size as i32).max(0);
                // Even, for chroma has half the resolution. What videobox adds is negative.
                let first = (border / 2) & !1;
                videobox.set_property(sides[0], -first);
                videobox.set_property(sides[1], first - border);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Stamps frames before the sink waits until they are due.
fn stamp_frames(sink: &AppSink, is_live: bool) {
    let Some(pad) = sink.static_pad("sink") else { return };
    let stamps = Mutex::new(Stamps::new(is_live));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut probe.data {
            let caps = pad.current_caps();
            let fps = caps.as_ref().and_then(|caps| caps.structure(0)?.get("framerate").ok());
            let mut stamps = stamps.lock().unwrap_or_else(PoisonError::into_inner);
            let pts = stamps.next(buffer.pts(), Instant::now(), fps);
            if buffer.pts() != Some(pts) {
                buffer.make_mut().set_pts(pts);
            }
            // Without one the last frame of an MP4 is shown for no time, which players take for none.
            if buffer.duration().is_none_or(gst::ClockTime::is_zero) {
                buffer.make_mut().set_duration(stamp::frame_time(fps));
            }
        }
        gst::PadProbeReturn::Ok
    });
}

fn on_sample(
    sender: SlotSender,
    damage: Option<Damage>,
) -> impl FnMut(&AppSink) -> Result<gst::FlowSuccess, gst::FlowError> {
    let mut known: Option<(gst::Caps, Arc<VideoInfo>)> = None;
    let mut end = None;
    move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let arrived = Instant::now();
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return Err(gst::FlowError::Error);
        };
        if let Some(damage) = &damage {
            damage.look_at(&buffer, &mut end);
        }
        // Without the sample's own reference the buffer can be written to in place.
        drop(sample);
        let info = match &known {
            Some((same, info)) if *same == caps => info.clone(),
            _ => {
                let info = VideoInfo::from_caps(&caps).map_err(|_| gst::FlowError::NotNegotiated)?;
                let info = Arc::new(info);
                known = Some((caps, info.clone()));
                info
            }
        };
        match sender.send(Frame { buffer, info, arrived, truth: None }) {
            true => Ok(gst::FlowSuccess::Ok),
            false => Err(gst::FlowError::Eos),
        }
    }
}

/// Turns the bus's messages into the slot's end.
fn hear_bus(pipeline: &gst::Pipeline, name: &str, sender: &SlotSender, damage: Option<Damage>) {
    tap_errors(pipeline, name, sender);
    let Some(bus) = pipeline.bus() else { return };
    let (name, sender, weak) = (name.to_owned(), sender.clone(), pipeline.downgrade());
    let stated = Mutex::new(None);
    bus.set_sync_handler(move |_, message| {
        use gst::MessageView;
        match message.view() {
            MessageView::Eos(_) => {
                let stated = *stated.lock().unwrap_or_else(PoisonError::into_inner);
                let end = ended(&name, stated, sender.position());
                sender.end(end.and_then(|()| match damage.as_ref().map_or(0, Damage::frames) {
                    0 => Ok(()),
                    frames => Err(SourceError::Damaged { name: name.clone(), frames }),
                }));
            }
            MessageView::Error(e) => sender.end(Err(failure(&name, e))),
            MessageView::Warning(w) => {
                tracing::warn!(source = name, element = ?w.src().map(|s| s.name()), "{}", w.error());
                if let Some(damage) = &damage {
                    damage.warned(&w.error());
                }
            }
            MessageView::AsyncDone(_) => {
                // Asked outside the lock: an element that answers may wait for one that speaks.
                let duration = weak.upgrade().as_ref().and_then(video_duration);
                *stated.lock().unwrap_or_else(PoisonError::into_inner) = duration;
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// Hears an element's error that decodebin keeps to itself.
///
/// While it connects an element decodebin drops that one's errors, for it may try another. But a demuxer
/// that pulls its data is at work by then, on a thread of its own; when that one fails before decodebin is
/// done (gstdecodebin2.c, `remove_error_filter` after `GST_PAD_STREAM_UNLOCK`), nothing is tried any more,
/// no frame comes, and no end.
fn tap_errors(pipeline: &gst::Pipeline, name: &str, sender: &SlotSender) {
    let (name, sender) = (name.to_owned(), sender.clone());
    pipeline.connect_deep_element_added(move |_, _, element| {
        let Some(bus) = element.bus() else { return };
        let (name, sender) = (name.clone(), sender.clone());
        let before = gst::Bus::new();
        before.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(e) = message.view()
                && e.src().is_some_and(pulls)
            {
                sender.end(Err(failure(&name, e)));
            }
            // The bin's bus queues nothing and thus refuses nothing.
            let _ = bus.post(message.clone());
            gst::BusSyncReply::Drop
        });
        element.set_bus(Some(&before));
    });
}

/// Whether an element reads its data by itself, and thus at its own time.
fn pulls(element: &gst::Object) -> bool {
    let element = element.downcast_ref::<gst::Element>();
    element.is_some_and(|e| e.sink_pads().iter().any(|pad| pad.mode() == gst::PadMode::Pull))
}

/// The length that the container states; none where there is sound as well, which may be longer.
fn video_duration(pipeline: &gst::Pipeline) -> Option<Duration> {
    let streams = pipeline.by_name("decode").map_or(0, |decode| decode.src_pads().len());
    let stated = pipeline.query_duration::<gst::ClockTime>()?;
    (streams == 1).then(|| stated.into())
}

/// A container that states its length and ends well before it was cut.
fn ended(name: &str, stated: Option<Duration>, ended: Duration) -> Result<(), SourceError> {
    // Containers round durations.
    const SLACK: Duration = Duration::from_millis(500);
    match stated {
        Some(stated) if ended + SLACK < stated => {
            Err(SourceError::CutShort { name: name.into(), ended, stated })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::slot::Next;

    #[test]
    fn an_error_that_decodebin_swallows_is_heard() {
        gst::init().unwrap();
        // The frames of an MP4, its index missing.
        let clip = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
        let mut bytes = b"\0\0\0\x14ftypisom\0\0\0\0isom\0\x01\0\0mdat".to_vec();
        bytes.resize(0x10000, 0);
        std::fs::write(clip.path(), bytes).unwrap();
        let uri = format!("file://{}", clip.path().display());
        let pipeline = parse(&describe(&Source::File { uri, paced: false }, false).unwrap(), "clip").unwrap();
        // What decodebin does for a moment only, here for good.
        pipeline.connect_deep_element_added(|_, bin, element| {
            if bin.factory().is_some_and(|factory| factory.name() == "decodebin") {
                element.bus().unwrap().set_sync_handler(|_, _| gst::BusSyncReply::Drop);
            }
        });
        let (sender, mut slot) = slot(false, &Arc::default());
        hear_bus(&pipeline, "clip", &sender, None);
        pipeline.set_state(gst::State::Playing).unwrap();
        let Next::End(Err(error)) = slot.next(Duration::from_secs(30)) else { panic!("no error was heard") };
        assert!(error.to_string().contains("damaged or incomplete"), "{error}");
        stop(&pipeline, Duration::from_secs(30));
    }
}
