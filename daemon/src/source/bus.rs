//! What a pipeline says of itself, as the slot's end.

use std::sync::Mutex;
use std::time::Duration;

use gst::prelude::*;

use crate::lock::lock;
use crate::source::damage::Damage;
use crate::source::dicom::Losses;
use crate::source::failure::{SourceError, failure};
use crate::source::slot::SlotSender;

/// Turns the bus's messages into the slot's end.
pub fn hear_bus(
    pipeline: &gst::Pipeline,
    name: &str,
    sender: &SlotSender,
    damage: Option<Damage>,
    losses: Option<Losses>,
) {
    tap_errors(pipeline, name, sender);
    let Some(bus) = pipeline.bus() else { return };
    let (name, sender, weak) = (name.to_owned(), sender.clone(), pipeline.downgrade());
    let stated = Mutex::new(None);
    bus.set_sync_handler(move |_, message| {
        use gst::MessageView;
        match message.view() {
            MessageView::Eos(_) => {
                let stated = *lock(&stated);
                let end = ended(&name, stated, sender.position());
                let end = end.and_then(|()| {
                    losses.as_ref().map_or(Ok(()), |losses| losses.end(&name, sender.position()))
                });
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
                *lock(&stated) = duration;
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
