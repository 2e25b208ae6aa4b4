//! Sinks that are kept.

use std::sync::atomic::AtomicBool;

use gst_video::VideoFormat;

use super::*;
use crate::pipeline::{self, Started};
use crate::sink::{Encoders, Whep};

#[test]
fn a_sink_that_hangs_is_not_waited_for() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Opening a FIFO waits for its reader.
    let text = format!("fakesrc num-buffers=1 ! filesink location={}", fifo.display());
    let hangs = pipeline::parse(&text, "test").unwrap();
    let never = AtomicBool::new(false);
    let Started::LeftBehind(left) = pipeline::start(&hangs, Duration::from_millis(200), &never) else {
        panic!("it does not hang")
    };
    let context = SinkContext {
        live: false,
        pictures: tokio::sync::watch::channel(None).0,
        whep: Whep::new(Instant::now()),
        stop: Arc::default(),
        encoders: Encoders::default(),
        source: Arc::default(),
    };
    let display = config::Sink::Display { element: "fakesink".into() };
    let mut sinks = SinkKeeper::new(&[display], context);
    sinks.sinks[0].backoff.remember(&left.into());
    let info = gst_video::VideoInfo::builder(VideoFormat::I420, 64, 48).build().unwrap();
    sinks.lay_out(1, Arc::new(info), false);
    let changes = sinks.look(Instant::now() + Duration::from_secs(60)).unwrap();
    assert!(matches!(changes[..], [Change::Settled(1)]), "a video that is not live would wait for ever");
    drop(std::fs::File::open(&fifo).unwrap());
}
