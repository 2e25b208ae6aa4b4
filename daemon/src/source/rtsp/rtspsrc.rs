//! RTSP over UDP, multicast and TLS, read by GStreamer's `rtspsrc`. Only the stream that is wanted is asked for, and only
//! its own depayloader and a named decoder get it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use gst::prelude::*;

use super::gate::{Gate, Packet, begins_with_key};
use super::login::Login;
use super::{HANDSHAKE, SILENCE, caps, decoder, silent};
use crate::config::{Rtsp, Source};
use crate::lock::lock;
use crate::source::decode::Codec;
use crate::source::failure::SourceError;
use crate::source::gstreamer::{Capture, finish};
use crate::source::slot::{FrameCounts, Slot, SlotSender};

/// How long a packet may be late before it counts as lost, in ms.
const REORDER: u32 = 40;
/// Time between looks at whether packets come.
const POLL: Duration = Duration::from_millis(50);

/// The element, without user and password.
pub fn describe(rtsp: &Rtsp) -> String {
    let (protocols, latency) = match rtsp.is_tls() {
        true => ("tcp", 0),
        false => ("udp+udp-mcast", REORDER),
    };
    // Its own time-out would try TCP, which nobody asked for. A server that says nothing is given up by `watch`, in better
    // words, before the connection's is.
    let connection = HANDSHAKE + Duration::from_secs(1);
    format!(
        "rtspsrc name=rtsp protocols={protocols} latency={latency} drop-on-latency=true timeout=0 \
         tcp-timeout={} udp-buffer-size=1048576",
        connection.as_micros()
    )
}

/// From its packets to frames.
///
/// # Errors
/// When no decoder works here.
pub fn chain(rtsp: &Rtsp, codec: Codec) -> Result<String> {
    Ok(format!(
        "{} name=join ! capsfilter caps={} ! {}",
        codec.depayloader(),
        caps(codec),
        decoder(rtsp, codec)?
    ))
}

/// Opens the stream and waits for its first packet; None when the daemon is told to stop meanwhile.
///
/// # Errors
/// Why there is none.
pub fn open(
    rtsp: &Rtsp,
    login: Option<Login>,
    source: &Source,
    pads: bool,
    counts: &Arc<FrameCounts>,
    stop: &AtomicBool,
) -> Result<Option<(Capture, Slot)>> {
    // Tried now: the element's thread is not kept waiting then.
    chain(rtsp, Codec::H264)?;
    let text = format!("{} {}", describe(rtsp), finish("identity name=frames-in silent=true", pads));
    let packets = Arc::new(Packets { begun: Instant::now(), last: AtomicU64::new(0) });
    let opened = Capture::play(
        |_| Ok(text),
        source,
        pads,
        counts,
        stop,
        |pipeline, sender| {
            let element = pipeline.by_name("rtsp").context("the pipeline has no source")?;
            let mut location = rtsp.uri.clone();
            if let Some(Login { user, password }) = &login {
                // In the address, not as properties of the element: those it would also send to where it is redirected.
                let put = location.set_username(user).and_then(|()| location.set_password(Some(password)));
                ensure!(put.is_ok(), "user and password do not fit into {}", rtsp.uri);
            }
            element.set_property("location", location.as_str());
            element.set_property("user-agent", "Nervelight");
            select_video(&element);
            if rtsp.is_tls() {
                refuse_strangers(&element, rtsp, sender);
            }
            join(&element, pipeline, rtsp, &packets, sender);
            Ok(Some(Box::new(watch(rtsp, &packets, sender)?) as Box<dyn Send>))
        },
    )?;
    let Some((capture, mut slot)) = opened else { return Ok(None) };
    while !packets.have_come() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Some(error) = slot.failure() {
            drop(capture);
            return Err(error.into());
        }
        thread::sleep(POLL);
    }
    Ok(Some((capture, slot)))
}

/// When packets came.
struct Packets {
    begun: Instant,
    /// In ms since then; 0 before the first.
    last: AtomicU64,
}

impl Packets {
    fn came(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        self.last.store(now.max(1), Ordering::Relaxed);
    }

    fn have_come(&self) -> bool {
        self.last.load(Ordering::Relaxed) > 0
    }

    fn silent_for(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Ends the source when no packet comes any more. It watches until what it returns is dropped.
fn watch(rtsp: &Rtsp, packets: &Arc<Packets>, sender: &SlotSender) -> Result<Sender<()>> {
    let (guard, dropped) = bounded::<()>(0);
    let (rtsp, packets, sender) = (rtsp.clone(), packets.clone(), sender.clone());
    let run = move || {
        while let Err(RecvTimeoutError::Timeout) = dropped.recv_timeout(POLL) {
            let patience = if packets.have_come() { SILENCE } else { HANDSHAKE };
            if packets.silent_for() > patience {
                return sender.end(Err(silent(&rtsp, patience)));
            }
        }
    };
    thread::Builder::new().name("rtsp watch".into()).spawn(run).context("cannot start a thread")?;
    Ok(guard)
}

/// Says why the certificate of a server is not accepted: the element says no more than that it cannot connect.
fn refuse_strangers(element: &gst::Element, rtsp: &Rtsp, sender: &SlotSender) {
    let (rtsp, sender) = (rtsp.clone(), sender.clone());
    element.connect("accept-certificate", false, move |_| {
        sender.end(Err(SourceError::Failed {
            name: Source::Rtsp(rtsp.clone()).to_string(),
            message: format!("this machine does not trust the certificate of {}", rtsp.server()),
            remedy: "Use the host name that it was made for, and add its authority to this machine's \
                     (update-ca-certificates)"
                .into(),
        }));
        Some(false.to_value())
    });
}

/// Asks for the first stream of video that is known here, and for no other.
fn select_video(element: &gst::Element) {
    let chosen = Mutex::new(None);
    element.connect("select-stream", false, move |values| {
        let number = values.get(1).and_then(|number| number.get::<u32>().ok());
        let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
        let mut chosen = lock(&chosen);
        let is_known = caps.as_ref().is_some_and(|caps| codec(caps).is_some());
        Some((is_known && *chosen.get_or_insert(number) == number).to_value())
    });
}

/// The codec of RTP packets with these caps, if it is known here.
fn codec(caps: &gst::CapsRef) -> Option<Codec> {
    let packets = caps.structure(0)?;
    Codec::named(packets.get::<&str>("encoding-name").ok()?)
}

/// Leads the element's stream into the pipeline once it is there.
fn join(
    element: &gst::Element,
    pipeline: &gst::Pipeline,
    rtsp: &Rtsp,
    packets: &Arc<Packets>,
    sender: &SlotSender,
) {
    let (rtsp, packets, sender) = (rtsp.clone(), packets.clone(), sender.clone());
    let weak = pipeline.downgrade();
    element.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        if let Err(error) = link(pad, &pipeline, &rtsp, &packets) {
            let name = Source::Rtsp(rtsp.clone()).to_string();
            let remedy = "Check the server's settings, or set source.decoder".into();
            sender.end(Err(SourceError::Failed { name, message: format!("{error:#}"), remedy }));
        }
    });
}

fn link(pad: &gst::Pad, pipeline: &gst::Pipeline, rtsp: &Rtsp, packets: &Arc<Packets>) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let codec = codec(&caps).context("it sends no H.264 or H.265")?;
    let bin = gst::parse::bin_from_description(&chain(rtsp, codec)?, true)?;
    let depayloader = bin.by_name("join").context("the pipeline has no depayloader")?;
    guard(&depayloader, codec, packets);
    pipeline.add(&bin)?;
    bin.sync_state_with_parent()?;
    let frames = pipeline.by_name("frames-in").context("the pipeline has no sink")?;
    bin.link(&frames)?;
    pad.link(&bin.static_pad("sink").context("the decoder takes nothing")?)?;
    Ok(())
}

/// Lets nothing to the decoder that a hole is in.
fn guard(depayloader: &gst::Element, codec: Codec, packets: &Arc<Packets>) {
    let gate = Arc::new(Mutex::new(Gate::new()));
    let (judge, packets) = (gate.clone(), packets.clone());
    let see = move |buffer: &gst::BufferRef| {
        packets.came();
        let mut header = [0; 12];
        if buffer.copy_to_slice(0, &mut header).is_ok()
            && let Some(packet) = Packet::read(&header)
        {
            lock(&gate).packet(packet);
        }
    };
    if let Some(pad) = depayloader.static_pad("sink") {
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |_, probe| {
            match &probe.data {
                Some(gst::PadProbeData::Buffer(buffer)) => see(buffer),
                Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(&see),
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }
    if let Some(pad) = depayloader.static_pad("src") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
            let Some(gst::PadProbeData::Buffer(unit)) = &probe.data else { return gst::PadProbeReturn::Ok };
            let is_marked = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
            let is_key = is_marked && unit.map_readable().is_ok_and(|bytes| begins_with_key(codec, &bytes));
            match lock(&judge).passes(is_key) {
                true => gst::PadProbeReturn::Ok,
                false => gst::PadProbeReturn::Drop,
            }
        });
    }
}
