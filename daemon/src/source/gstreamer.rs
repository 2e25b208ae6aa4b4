//! Capture: frames from whatever GStreamer can open: a file or URI, a V4L2 device, a fragment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use gst_video::VideoInfo;
use nervelight_cine::Cine;
use nervelight_engines::{HEIGHT, WIDTH};

use crate::config::Source;
use crate::frame::Frame;
use crate::lock::lock;
use crate::pipeline::{Started, parse, quoted, start, stop};
use crate::source::bus::hear_bus;
use crate::source::colour;
use crate::source::damage::Damage;
use crate::source::dicom;
use crate::source::slot::{FrameCounts, Slot, SlotSender, slot};
use crate::source::stamp::{self, Stamps};
use crate::source::v4l2;

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

/// The pipeline for `source`, or for the `cine` that it is, in `gst-launch-1.0` notation, up to the sink that hands frames
/// over. `pads` frames that are smaller than the crop.
///
/// # Errors
/// When the source is none that GStreamer opens.
fn describe(source: &Source, cine: Option<&Cine>, pads: bool) -> Result<String> {
    let head = match (source, cine) {
        (Source::Phantom(_), _) => return Ok("phantom".into()),
        // These have no pipeline of this kind.
        (Source::Igtl(_) | Source::Rtsp(_), _) => return Ok(source.to_string()),
        (Source::File { .. }, Some(cine)) => dicom::head(cine).into(),
        (Source::File { uri, .. }, None) => format!("uridecodebin name=decode uri={}", quoted(uri)),
        (Source::V4l2 { device, caps, .. }, _) => {
            v4l2::describe(&quoted(&device.display().to_string()), caps.as_deref())
        }
        (Source::Pipeline { pipeline, .. }, _) => pipeline.clone(),
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

/// Builds the source's pipeline without starting it; returns its description.
///
/// # Errors
/// When an element or a property is not known, or a DICOM file cannot be used.
pub fn check(source: &Source, pads: bool) -> Result<String> {
    let text = describe(source, dicom::open(source)?.as_ref(), pads)?;
    if !matches!(source, Source::Phantom(_) | Source::Igtl(_) | Source::Rtsp(_)) {
        parse(&text, &format!("source {source}"))?;
    }
    Ok(text)
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
        v4l2::look(source).context("source.device")?;
        let text = |cine: Option<&Cine>| describe(source, cine, pads);
        Self::play(text, source, pads, counts, to_stop, |_, sender| {
            let Source::V4l2 { device, .. } = source else { return Ok(None) };
            v4l2::follow_input(device);
            let watch = v4l2::Watch::start(device, &source.to_string(), sender.clone());
            Ok(watch.map(|watch| Box::new(watch) as Box<dyn Send>))
        })
    }

    /// [`Self::start`] of the pipeline `text`, which is asked for a DICOM cine's if it is one, and ends as [`finish`] says.
    /// `prepare` does what is to be done before.
    ///
    /// # Errors
    /// When the pipeline cannot be built, prepared or started.
    pub fn play(
        text: impl FnOnce(Option<&Cine>) -> Result<String>,
        source: &Source,
        pads: bool,
        counts: &Arc<FrameCounts>,
        to_stop: &AtomicBool,
        prepare: impl FnOnce(&gst::Pipeline, &SlotSender) -> Result<Feeder>,
    ) -> Result<Option<(Self, Slot)>> {
        let (name, live) = (source.to_string(), source.is_live());
        let cine = dicom::open(source)?;
        let text = text(cine.as_ref())?;
        let pipeline = parse(&text, &format!("source {name}"))?;
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
        let scale = cine.as_ref().map(|cine| dicom::Scale::of(cine.facts(), pads));
        let losses = cine.map(|cine| dicom::feed(&pipeline, cine, &name)).transpose()?;
        hear_bus(&pipeline, &name, &sender, damage.clone(), losses);
        stamp_frames(&sink, live && !source.is_paced_by_clock());
        let feeder = prepare(&pipeline, &sender)?;
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_sample(sender, damage, scale)).build());
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
            let mut stamps = lock(&stamps);
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
    scale: Option<dicom::Scale>,
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
        let spacing = scale.as_ref().and_then(|scale| scale.spacing(&info));
        match sender.send(Frame { buffer, info, arrived, truth: None, spacing }) {
            true => Ok(gst::FlowSuccess::Ok),
            false => Err(gst::FlowError::Eos),
        }
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
        let pipeline =
            parse(&describe(&Source::File { uri, paced: false }, None, false).unwrap(), "clip").unwrap();
        // What decodebin does for a moment only, here for good.
        pipeline.connect_deep_element_added(|_, bin, element| {
            if bin.factory().is_some_and(|factory| factory.name() == "decodebin") {
                element.bus().unwrap().set_sync_handler(|_, _| gst::BusSyncReply::Drop);
            }
        });
        let (sender, mut slot) = slot(false, &Arc::default());
        hear_bus(&pipeline, "clip", &sender, None, None);
        pipeline.set_state(gst::State::Playing).unwrap();
        let Next::End(Err(error)) = slot.next(Duration::from_secs(30)) else { panic!("no error was heard") };
        assert!(error.to_string().contains("damaged or incomplete"), "{error}");
        stop(&pipeline, Duration::from_secs(30));
    }
}
