//! Changes of the frame path between two frames: layouts, sources, models, sinks.

use std::sync::Mutex;

use super::*;

use crate::sink::{Shown, Sink, SinkStatus};

type TimesAndWidths = Arc<Mutex<Vec<(u64, u32)>>>;

/// Keeps the times, in ms, and widths of what it is shown.
struct FakeSink {
    follows: bool,
    seen: TimesAndWidths,
    status: Arc<SinkStatus>,
}

fn fake_sink(follows: bool) -> (Box<dyn Sink>, TimesAndWidths) {
    let seen = TimesAndWidths::default();
    let sink = FakeSink { follows, seen: seen.clone(), status: Arc::new(SinkStatus::new("fake".into())) };
    (Box::new(sink), seen)
}

impl Sink for FakeSink {
    fn push(&mut self, shown: Shown<'_>) {
        let at = shown.buffer.pts().unwrap().mseconds();
        self.seen.lock().unwrap().push((at, shown.info.width()));
    }

    fn follow(&mut self, _: &Arc<VideoInfo>) -> bool {
        self.follows
    }

    fn end(&mut self) {}

    fn finish(&mut self, _: Instant) {}

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

fn frames_of(width: u32, height: u32) -> Arc<VideoInfo> {
    let info = VideoInfo::builder(VideoFormat::I420, width, height);
    Arc::new(info.colorimetry(&"1:4:0:0".parse().unwrap()).build().unwrap())
}

#[test]
fn another_size_goes_on_and_keeps_no_mask_of_the_old_one() {
    let mut bench = Bench::new(SyncMode::Latest);
    bench.show(400, ms(0));
    // It has taken the crop, so that no later one displaces it.
    while bench.orders.begun.load(Ordering::Relaxed) < 1 {
        std::thread::yield_now();
    }
    let ((monitor, seen), (recording, recorded)) = (fake_sink(true), fake_sink(false));
    let info = bench.info.clone();
    bench.path.apply(Change::Sink(SinkChange::Add(0, monitor, info.clone())));
    bench.path.apply(Change::Sink(SinkChange::Add(1, recording, info)));
    bench.show(400, ms(16));
    // The engine is at the first frame when the size changes.
    bench.info = frames_of(800, 600);
    assert_eq!(bench.show(400, ms(33)), BADGE);
    bench.orders.send(Order::Answer).unwrap();
    // It has answered when it begins with the next crop, which it never ends.
    while bench.orders.begun.load(Ordering::Relaxed) < 2 {
        std::thread::yield_now();
    }
    assert_eq!(bench.show(400, ms(66)), BADGE, "the first frame's mask lies elsewhere");
    // Smaller than the crop.
    bench.info = frames_of(320, 240);
    let small = bench.info.clone();
    let mut buffer = gst::Buffer::with_size(small.size()).unwrap();
    buffer.make_mut().memset(.., 16).unwrap();
    let shown = bench
        .path
        .pass(Frame { buffer, info: small, arrived: bench.start + ms(99), truth: None, spacing: None })
        .unwrap();
    assert!(shown.map_readable().unwrap()[..320 * 60].iter().any(|&luma| luma > 200), "the badge's letters");
    assert_eq!(bench.path.state, OverlayState::Off);

    assert_eq!(
        seen.lock().unwrap().iter().map(|(_, width)| *width).collect::<Vec<_>>(),
        [580, 800, 800, 320]
    );
    assert_eq!(recorded.lock().unwrap().len(), 1, "it was retired with the first layout");
    let heard: Vec<_> = bench.heard.try_iter().collect();
    assert!(heard.iter().any(|event| matches!(event, Event::Retired(Retired::Sink(1, _)))));
    let problem = |event: &Event| match event {
        Event::Layout { number, problem, .. } => Some((*number, problem.is_some())),
        _ => None,
    };
    assert_eq!(heard.iter().filter_map(problem).collect::<Vec<_>>(), [(1, false), (2, false), (3, true)]);
}

#[test]
fn a_source_that_begins_again_at_0_sends_no_sink_back_in_time() {
    let mut bench = Bench::new(SyncMode::Latest);
    let (sink, seen) = fake_sink(true);
    let info = bench.info.clone();
    bench.path.apply(Change::Sink(SinkChange::Add(0, sink, info.clone())));
    let mut show = |at: u64, pts: u64| {
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(pts));
        let arrived = bench.start + ms(at);
        bench.path.pass(Frame { buffer, info: info.clone(), arrived, truth: None, spacing: None }).unwrap();
        bench.path.change_source();
    };
    for at in [0, 500, 1000, 1500] {
        show(at, 0);
    }
    let times: Vec<_> = seen.lock().unwrap().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 500, 1000, 1500]);
}

#[test]
fn a_model_is_swapped_between_two_frames_and_reads_its_own_maps() {
    let mut bench = Bench::new(SyncMode::Exact);
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(0)), NERVE);
    // Its threshold is above what this engine ever answers.
    let (inference, orders) = fake_inference(251, &bench.openings);
    bench.path.apply(Change::Model(inference));
    assert!(matches!(bench.heard.try_iter().last(), Some(Event::Retired(Retired::Model(_)))));
    orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(33)), Seen { block: false, badge: false, elsewhere: false });
    let (_, model) = bench.path.mask_of.as_ref().unwrap();
    assert_eq!((model.threshold, model.generation), (251, 2));
}

/// Waits until an engine has begun with so many crops.
fn wait_until_begun(orders: &Orders, crops: u32) {
    while orders.begun.load(Ordering::Relaxed) < crops {
        std::thread::yield_now();
    }
}

fn shown_generation(bench: &Bench) -> Option<u64> {
    bench.path.mask_of.as_ref().map(|(_, model)| model.generation)
}

#[test]
fn a_swap_leaves_the_mask_until_the_new_model_answers() {
    let mut bench = Bench::new(SyncMode::Latest);
    bench.show(40, ms(0));
    bench.orders.send(Order::Answer).unwrap();
    while bench.path.mask_of.is_none() {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    assert_eq!(bench.show(40, ms(33)), NERVE);
    wait_until_begun(&bench.orders, 2);
    let (inference, orders) = fake_inference(100, &bench.openings);
    bench.path.apply(Change::Model(inference));
    let retired = |bench: &Bench| {
        let is_model = |event: &Event| matches!(event, Event::Retired(Retired::Model(_)));
        bench.heard.try_iter().filter(is_model).count()
    };
    assert_eq!(retired(&bench), 0, "it is at a crop that may be shown");
    assert_eq!(bench.show(40, ms(66)), NERVE, "the old model's mask");
    // The old one answers first: its mask is newer than what is shown.
    bench.orders.send(Order::Answer).unwrap();
    while bench.path.mask_of.as_ref().is_some_and(|(of, _)| *of != bench.start + ms(33)) {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    assert_eq!((shown_generation(&bench), retired(&bench)), (Some(1), 1));
    assert_eq!(bench.show(40, ms(99)), NERVE);
    orders.send(Order::Answer).unwrap();
    while shown_generation(&bench) != Some(2) {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    assert_eq!(bench.count(|c| &c.badged), 1, "only before the first mask");
}

#[test]
fn an_engine_that_comes_back_brings_no_old_answers() {
    let mut bench = Bench::new(SyncMode::Latest);
    bench.show(40, ms(0));
    wait_until_begun(&bench.orders, 1);
    let (inference, orders) = fake_inference(128, &bench.openings);
    bench.path.apply(Change::Model(inference));
    bench.show(40, ms(33));
    orders.send(Order::Answer).unwrap();
    while shown_generation(&bench) != Some(2) {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    // The new one has answered, so that the old one is gone, at its crop as it is.
    let old = bench.heard.try_iter().find_map(|event| match event {
        Event::Retired(Retired::Model(old)) => Some(old),
        _ => None,
    });
    bench.orders.send(Order::Answer).unwrap();
    let old = old.unwrap();
    while old.busy_for() > Duration::ZERO {
        std::thread::yield_now();
    }
    bench.path.apply(Change::Model(old));
    bench.path.read_answers();
    assert_eq!(shown_generation(&bench), Some(2), "its answer to a frame of long ago is forgotten");
    bench.show(40, ms(66));
    bench.orders.send(Order::Answer).unwrap();
    while shown_generation(&bench) != Some(1) {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    assert_eq!(bench.path.mask_of.as_ref().map(|(of, _)| *of), Some(bench.start + ms(66)));
}

#[test]
fn no_signal_is_shown_without_a_first_frame() {
    let mut bench = Bench::new(SyncMode::Latest);
    let (sink, seen) = fake_sink(true);
    assert!(bench.path.wait(bench.start + ms(900)).unwrap().is_none(), "not yet");
    let info = frames_of(1280, 720);
    bench.path.apply(Change::Sink(SinkChange::Add(0, sink, info)));
    assert!(bench.path.wait(bench.start + ms(2000)).unwrap().is_some());
    assert!(bench.path.wait(bench.start + ms(2050)).unwrap().is_none(), "ten in a second are enough");
    assert!(bench.path.wait(bench.start + ms(2100)).unwrap().is_some());
    bench.show(40, ms(2200));
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.iter().map(|(_, width)| *width).collect::<Vec<_>>(), [1280, 1280, 580]);
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "{seen:?}");
    let told = |event: Event| matches!(event, Event::Layout { is_placeholder: true, .. });
    assert!(bench.heard.try_iter().any(told));
}
