//! Sinks as the frame thread and the supervisor use them.

mod files;
mod recorder;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use gst::prelude::*;
use gst_video::VideoFormat;
use tokio::sync::watch;

use super::*;
use crate::config::FileSettings;
use crate::frame::{OverlayState, SignalState};
use crate::sink::feed::Feed;

/// Sinks of a video that waits for them.
struct Bench {
    info: Arc<VideoInfo>,
    context: SinkContext,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        gst::init().unwrap();
        let context = SinkContext {
            live: false,
            pictures: watch::channel(None).0,
            whep: Whep::new(Instant::now()),
            stop: Arc::default(),
            encoders: Encoders::default(),
            source: Arc::default(),
        };
        Self { info: info(64, 48), context, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> config::Sink {
        config::Sink::File(FileSettings { path: self.path(name), ..Default::default() })
    }

    fn open(&self, sink: &config::Sink) -> Result<Box<dyn Sink>, SinkError> {
        open(sink, &self.info, &self.context)
    }
}

fn info(width: u32, height: u32) -> Arc<VideoInfo> {
    Arc::new(VideoInfo::builder(VideoFormat::I420, width, height).build().unwrap())
}

/// Frame `n` of a video of 25 frames/s.
fn push(sink: &mut dyn Sink, info: &Arc<VideoInfo>, n: u64) {
    let mut buffer = gst::Buffer::from_mut_slice(vec![128; info.size()]);
    buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
    let (ai, picture) = (OverlayState::Off, SignalState::Ok);
    let state = State { ai, signal: true, picture, nerve: None, arrived: Instant::now() };
    sink.push(Shown { buffer: &buffer, info, state, mask: None, model: None, region: None, spacing: None });
}

fn finish(sink: &mut dyn Sink) -> OutputStatus {
    sink.end();
    sink.finish(Instant::now() + Duration::from_secs(20));
    sink.status().snapshot()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // Each has a sidecar, which goes with it.
    let videos = names.clone();
    names
        .retain(|name| !name.strip_suffix(".jsonl").is_some_and(|video| videos.iter().any(|of| of == video)));
    names.sort();
    names
}

#[test]
fn what_will_never_open_is_told_from_what_may_later() {
    let bench = Bench::new();
    let display = |element: &str| bench.open(&config::Sink::Display { element: element.into() });
    assert!(matches!(display("nosuchsink"), Err(SinkError::Misconfigured(_))));
    // Its device is not there.
    assert!(matches!(display("v4l2sink device=/dev/absent"), Err(SinkError::Unavailable(_))));
    let encoder = Some("nosuchencoder".into());
    let path = bench.path("a.mp4");
    let file = config::Sink::File(FileSettings { path, encoder, ..Default::default() });
    assert!(matches!(bench.open(&file), Err(SinkError::Misconfigured(_))));
    let absent = bench.open(&bench.file("absent/a.mp4"));
    let Err(SinkError::Unavailable(why)) = absent else { panic!("a folder may be made") };
    assert!(format!("{why:#}").contains("a.mp4 cannot be written"), "{why:#}");
    assert!(names(bench.folder.path()).is_empty(), "nothing is left behind");
}

#[test]
fn a_recording_begins_its_next_file_when_frames_change_and_others_follow() {
    let bench = Bench::new();
    let larger = info(128, 96);
    let mut first = bench.open(&bench.file("a.mp4")).unwrap();
    let mut screen = bench.open(&config::Sink::Display { element: "fakesink".into() }).unwrap();
    let mut preview = bench.open(&config::Sink::Preview).unwrap();
    let mut pictures = bench.context.pictures.subscribe();
    (0..5).for_each(|n| push(&mut *first, &bench.info, n));
    push(&mut *screen, &bench.info, 0);
    push(&mut *preview, &bench.info, 0);
    assert!(!first.follow(&larger) && screen.follow(&larger) && preview.follow(&larger));
    let mut second = open(&bench.file("a.mp4"), &larger, &bench.context).unwrap();
    (5..8).for_each(|n| push(&mut *second, &larger, n));
    push(&mut *screen, &larger, 5);
    push(&mut *preview, &larger, 5);
    for (sink, frames) in [(first, 5), (second, 3), (screen, 2), (preview, 2)] {
        let mut sink = sink;
        let status = finish(&mut *sink);
        assert_eq!((status.frames, status.failed), (frames, None), "{}", status.name);
    }
    assert_eq!(names(bench.folder.path()), ["a-1.mp4", "a.mp4"]);
    let picture = pictures.borrow_and_update().clone().unwrap();
    // The size stands after the header of the frame (ITU T.81, B.2.2).
    let frame = picture.jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    assert_eq!(picture.jpeg[frame + 5..][..4], [0, 96, 0, 128]);
}

#[test]
fn nothing_is_waited_for_once_the_daemon_stops() {
    let bench = Bench::new();
    let sink = config::Sink::Display { element: "identity sleep-time=60000000 ! fakesink".into() };
    let mut sink = bench.open(&sink).unwrap();
    bench.context.stop.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    (0..20).for_each(|n| push(&mut *sink, &bench.info, n));
    sink.end();
    sink.finish(Instant::now() + Duration::from_millis(100));
    let status = sink.status().snapshot();
    assert!(status.dropped_by.busy > 10 && status.failed.is_some(), "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

impl Bench {
    fn recording(&self, name: &str) -> Box<dyn Sink> {
        self.open(&self.file(name)).unwrap()
    }

    fn encoders(&self) -> usize {
        self.context.encoders.running()
    }
}

/// Times in ms of the frames in a recording, and which of them are IDRs.
fn units(path: &Path) -> Vec<(u64, bool)> {
    let demuxer = if path.extension().unwrap() == "mp4" { "qtdemux" } else { "matroskademux" };
    let text = format!(
        "filesrc location=\"{}\" ! {demuxer} ! h264parse ! appsink name=units sync=false",
        path.display()
    );
    let pipeline = parse(&text, "reader").unwrap();
    let sink = pipeline.by_name("units").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let samples = std::iter::from_fn(|| sink.pull_sample().ok());
    let units = samples.map(|unit| {
        let buffer = unit.buffer().unwrap();
        (buffer.pts().unwrap().mseconds(), !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT))
    });
    let units = units.collect();
    pipeline.set_state(gst::State::Null).unwrap();
    units
}

#[test]
fn recordings_share_an_encoder_and_each_holds_its_own_frames_from_an_idr_on() {
    let bench = Bench::new();
    let mut sinks = [bench.recording("a.mkv"), bench.recording("b.mkv")];
    assert_eq!(bench.encoders(), 1);
    (0..10).for_each(|n| sinks.iter_mut().for_each(|sink| push(&mut **sink, &bench.info, n)));
    let mut late = bench.recording("late.mkv");
    assert_eq!(bench.encoders(), 1);
    let [mut a, mut b] = sinks;
    for n in 10..17 {
        push(&mut *a, &bench.info, n);
        push(&mut *b, &bench.info, n);
        push(&mut *late, &bench.info, n);
    }
    // One leaves, the others stay.
    a.end();
    for n in 17..20 {
        push(&mut *b, &bench.info, n);
        push(&mut *late, &bench.info, n);
    }
    for (sink, name, frames) in [(a, "a.mkv", 0..17), (b, "b.mkv", 0..20), (late, "late.mkv", 10..20)] {
        let mut sink = sink;
        let status = finish(&mut *sink);
        assert_eq!(
            (status.frames, status.dropped, status.failed),
            (frames.end - frames.start, 0, None),
            "{name}"
        );
        let (units, first) = (units(&bench.path(name)), frames.start);
        assert_eq!(
            units.iter().map(|unit| unit.0).collect::<Vec<_>>(),
            frames.map(|n| 40 * (n - first)).collect::<Vec<_>>()
        );
        assert!(units[0].1, "{name} begins with an IDR");
    }
    assert_eq!(bench.encoders(), 0);
    let mut next = bench.recording("a.mkv");
    push(&mut *next, &bench.info, 20);
    assert_eq!((bench.encoders(), finish(&mut *next).frames), (1, 1), "one that ended is not joined");
}

#[test]
fn idrs_are_at_most_a_second_apart_at_any_rate() {
    let bench = Bench::new();
    // What a camera sends in the dark, with caps that promise 25 frames/s.
    for (name, step) in [("fast.mkv", 1), ("slow.mkv", 4), ("slower.mkv", 30)] {
        let mut sink = bench.recording(name);
        (0..100).for_each(|n| push(&mut *sink, &bench.info, n * step));
        assert_eq!(finish(&mut *sink).frames, 100);
        let idrs: Vec<_> =
            units(&bench.path(name)).into_iter().filter(|unit| unit.1).map(|unit| unit.0).collect();
        let longest = idrs.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(longest <= (40 * step).max(1000), "{name}: {idrs:?}");
        assert!(step > 1 || idrs.len() < 8, "{name}: {idrs:?}");
    }
}

#[test]
fn a_recording_with_an_encoder_of_its_own_shares_none_and_may_have_b_frames() {
    let bench = Bench::new();
    let own = |name: &str, encoder: &str| {
        let (path, encoder) = (bench.path(name), Some(encoder.to_owned()));
        bench.open(&config::Sink::File(FileSettings { path, encoder, ..Default::default() })).unwrap()
    };
    let mut shared = bench.recording("a.mkv");
    let mut b_frames = own("b.mkv", "x264enc bframes=3 b-adapt=false");
    let mut fails = own("c.mkv", "identity error-after=5 ! x264enc tune=zerolatency");
    assert_eq!(bench.encoders(), 1);
    for n in 0..20 {
        push(&mut *shared, &bench.info, n);
        push(&mut *b_frames, &bench.info, n);
        push(&mut *fails, &bench.info, n);
    }
    assert_eq!(finish(&mut *shared).frames, 20);
    assert_eq!(finish(&mut *b_frames).frames, 20);
    let mut times: Vec<_> = units(&bench.path("b.mkv")).into_iter().map(|unit| unit.0).collect();
    assert!(!times.is_sorted(), "there are B-frames: {times:?}");
    times.sort();
    assert_eq!(times, (0..20).map(|n| 40 * n).collect::<Vec<_>>());
    // What came out of an encoder before it failed is a whole file.
    let status = finish(&mut *fails);
    assert!(status.failed.is_some() && status.frames > 0, "{status:?}");
    assert_eq!(units(&bench.path("c.mkv")).len() as u64, status.frames);
}

#[test]
fn a_shared_encoder_goes_on_when_one_file_fails() {
    let bench = Bench::new();
    std::os::unix::fs::symlink("/dev/full", bench.path("full.mkv")).unwrap();
    let path = bench.path("full.mkv");
    let full = config::Sink::File(FileSettings { path, overwrite: true, ..Default::default() });
    let (mut full, mut good) = (bench.open(&full).unwrap(), bench.recording("good.mkv"));
    assert_eq!(bench.encoders(), 1);
    for n in 0..200 {
        push(&mut *full, &bench.info, n);
        push(&mut *good, &bench.info, n);
    }
    let (full, good) = (finish(&mut *full), finish(&mut *good));
    assert!(full.failed.unwrap().contains("the disk is full"));
    assert_eq!((good.frames, good.failed), (200, None));
    assert_eq!(units(&bench.path("good.mkv")).len(), 200);
    assert!(bench.path("full.mkv").symlink_metadata().is_ok(), "what is no file of ours stays");
}

#[test]
fn a_recording_takes_no_frames_of_another_size() {
    let bench = Bench::new();
    let mut sink = bench.recording("a.mkv");
    push(&mut *sink, &bench.info, 0);
    push(&mut *sink, &info(128, 96), 1);
    let status = finish(&mut *sink);
    assert_eq!((status.frames, status.failed.as_deref()), (1, Some("the frames changed")));
}

#[test]
fn a_run_replaces_an_old_recording_once_and_none_of_its_own() {
    let bench = Bench::new();
    let overwriting = |encoder: Option<&str>| {
        let (path, encoder) = (bench.path("a.mkv"), encoder.map(str::to_owned));
        config::Sink::File(FileSettings { path, encoder, overwrite: true, ..Default::default() })
    };
    std::fs::write(bench.path("a.mkv"), "old").unwrap();
    assert!(bench.open(&overwriting(Some("nosuchencoder"))).is_err());
    assert_eq!(
        std::fs::read(bench.path("a.mkv")).unwrap(),
        b"old",
        "one that does not open replaces nothing"
    );
    for (n, name) in ["a.mkv", "a-1.mkv", "a-2.mkv"].into_iter().enumerate() {
        let mut sink = bench.open(&overwriting(None)).unwrap();
        (0..=n as u64).for_each(|n| push(&mut *sink, &bench.info, n));
        assert_eq!(finish(&mut *sink).frames, n as u64 + 1);
        assert_eq!(units(&bench.path(name)).len(), n + 1, "{name}");
    }
    assert_eq!(units(&bench.path("a.mkv")).len(), 1);
}

#[test]
fn a_slow_disk_costs_a_live_recording_frames_up_to_an_idr_and_nobody_else_any() {
    let mut bench = Bench::new();
    bench.context.live = true;
    let tell = |_: &str| {};
    // A muxer that stands still until something is taken out.
    let text = "appsrc name=frames ! appsink name=out sync=false max-buffers=1";
    let mut out = None;
    let look = |pipeline: &gst::Pipeline| {
        let source = pipeline.by_name("frames").unwrap();
        source.set_property("is-live", false);
        source.set_property("handle-segment-change", true);
        out = pipeline.by_name("out").and_then(|e| e.downcast::<gst_app::AppSink>().ok());
    };
    let muxer = Feed::open("slow", text, None, &bench.context, look, Box::new(tell)).unwrap().of_units();
    let muxer = Arc::new(muxer);
    let (out, status) = (out.unwrap(), Arc::new(SinkStatus::new("slow".into())));
    let encoders = &bench.context.encoders;
    let mut slow =
        encoders.subscribe(None, &bench.info, &bench.context, status, || Ok(muxer.clone())).unwrap();
    let mut good = bench.recording("good.mkv");
    let mut show = |n: u64| {
        let mut frame = gst::Buffer::from_mut_slice(vec![128; bench.info.size()]);
        frame.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
        let (ai, picture) = (OverlayState::Off, SignalState::Ok);
        let state = State { ai, signal: true, picture, nerve: None, arrived: Instant::now() };
        slow.push(&frame);
        good.push(Shown {
            buffer: &frame,
            info: &bench.info,
            state,
            mask: None,
            model: None,
            region: None,
            spacing: None,
        });
        // Live video drops what comes while the encoder is busy; here none is to be.
        std::thread::sleep(Duration::from_millis(5));
    };
    (0..210).for_each(&mut show);
    let mut taken = vec![];
    let mut take = |wait: u64| {
        while let Some(unit) = out.try_pull_sample(gst::ClockTime::from_mseconds(wait)) {
            let buffer = unit.buffer().unwrap();
            let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            // x264enc begins after a thousand hours.
            taken.push((buffer.pts().unwrap().mseconds() % 3_600_000_000 / 40, is_key));
        }
    };
    take(300);
    (210..220).for_each(&mut show);
    take(300);
    slow.end();
    muxer.finish(Instant::now() + Duration::from_secs(5));
    let gap = taken.windows(2).position(|two| two[1].0 > two[0].0 + 1).expect("units were lost");
    assert!(gap >= 119 && taken[gap + 1].1, "after the gap comes an IDR: {:?}", &taken[gap..]);
    assert!(
        (210..216).contains(&taken[gap + 1].0),
        "asked for, a second is not waited for: {:?}",
        &taken[gap..]
    );
    assert_eq!(taken.last().unwrap().0, 219, "{:?}", &taken[gap..]);
    let good = finish(&mut *good);
    assert_eq!((good.frames, good.dropped_by.recorder, good.failed), (220 - good.dropped, 0, None));
}
