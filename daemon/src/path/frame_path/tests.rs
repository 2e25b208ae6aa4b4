mod changes;
mod signal;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use gst_video::VideoFormat;
use nervelight_engines::{Engine, EngineError, EngineInfo, Plane, Precision, WIDTH};

use super::*;
use crate::infer::OpenEngine;
use crate::path::settings::LayoutSettings;
use crate::status::{Counters, tally};

/// Longer than a busy machine keeps a thread waiting.
const TIMEOUT: Duration = Duration::from_millis(1000);
const MAX_AGE: Duration = Duration::from_millis(100);

/// Marks as nerve what is bright; does what the test says before each answer.
struct Fake {
    info: EngineInfo,
    orders: Receiver<Order>,
    begun: Arc<AtomicU32>,
}

/// What an engine is told, and how many crops it has begun with.
struct Orders {
    orders: Sender<Order>,
    begun: Arc<AtomicU32>,
}

impl Orders {
    fn send(&self, order: Order) -> Result<(), crossbeam_channel::SendError<Order>> {
        self.orders.send(order)
    }
}

enum Order {
    Answer,
    Fail,
    Panic,
}

impl Engine for Fake {
    fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        // Hangs until there is an order.
        match self.orders.recv() {
            Ok(Order::Answer) => {
                map.copy_from_slice(crop);
                Ok(())
            }
            Ok(Order::Panic) => panic!("ordered to panic"),
            Ok(Order::Fail) | Err(_) => Err(EngineError::Infer("ordered to fail".into())),
        }
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

/// An engine that does as it is told, and what tells it.
fn fake_inference(threshold: u8, openings: &Arc<AtomicU32>) -> (Inference, Orders) {
    let (orders, taken) = unbounded();
    let info = EngineInfo {
        runtime: "fake".into(),
        provider: "CPU".into(),
        precision: Precision::Fp32,
        threads: 1,
        model: "fake 1".into(),
        digest: "0".into(),
    };
    let counter = openings.clone();
    let begun = Arc::new(AtomicU32::new(0));
    let counter_of_crops = begun.clone();
    let open: OpenEngine = Box::new(move || {
        let generation = u64::from(counter.fetch_add(1, Ordering::Relaxed)) + 1;
        let model = Model { engine: info.clone(), threshold, min_area: 0, generation };
        let engine =
            Box::new(Fake { info: info.clone(), orders: taken.clone(), begun: counter_of_crops.clone() });
        Ok((engine as Box<dyn Engine>, Arc::new(model)))
    });
    let (inference, ..) =
        Inference::start(open, Default::default(), &AtomicBool::new(false)).unwrap().unwrap();
    (inference, Orders { orders, begun })
}

struct Bench {
    path: FramePath,
    info: Arc<VideoInfo>,
    counters: Arc<Counters>,
    heard: Receiver<Event>,
    orders: Orders,
    start: Instant,
    openings: Arc<AtomicU32>,
}

impl Bench {
    fn new(mode: SyncMode) -> Self {
        gst::init().unwrap();
        let openings = Arc::default();
        let (inference, orders) = fake_inference(128, &openings);
        let layout = LayoutSettings {
            x: None,
            y: None,
            auto: false,
            scale: false,
            colour: [255, 208, 0],
            opacity: 0.5,
            outline: true,
        };
        let settings = PathSettings {
            measure: false,
            spacing: None,
            skin_y: 0,
            layout,
            mode,
            max_mask_age: MAX_AGE,
            engine_timeout: TIMEOUT,
            enabled: true,
            is_live: true,
        };
        let (tally, counters, _) = tally();
        let (events, heard) = unbounded();
        let path = FramePath::new(settings, inference, tally, events);
        let info = VideoInfo::builder(VideoFormat::I420, 580, 420)
            .colorimetry(&"1:4:0:0".parse().unwrap())
            .build()
            .unwrap();
        Self { path, info: Arc::new(info), orders, start: Instant::now(), openings, counters, heard }
    }

    fn region(&self) -> crate::frame::Region {
        self.path.layout.as_ref().unwrap().region().unwrap()
    }

    fn count(&self, of: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        of(&self.counters).load(Ordering::Relaxed)
    }

    /// Shows a dark frame with a bright block of 64x64 at column `x`, `at` on the time line.
    fn show(&mut self, x: usize, at: Duration) -> Seen {
        let mut buffer = gst::Buffer::with_size(self.info.size()).unwrap();
        let info = self.info.clone();
        {
            let writable = buffer.make_mut();
            let mut mapped = VideoFrameRef::from_buffer_ref_writable(writable, &info).unwrap();
            let stride = mapped.plane_stride()[0] as usize;
            let [luma, u, v, _] = mapped.planes_data_mut();
            luma.fill(20);
            (100..164).for_each(|row| luma[row * stride + x..][..64].fill(250));
            u.fill(128);
            v.fill(128);
        }
        let frame =
            Frame { buffer, info: info.clone(), arrived: self.start + at, truth: None, spacing: None };
        let buffer = self.path.pass(frame).unwrap();
        self.look_at(&buffer, x)
    }

    fn look_at(&self, buffer: &gst::Buffer, x: usize) -> Seen {
        let info = &self.info;
        let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
        let stride = mapped.plane_stride()[1] as usize;
        let u = mapped.plane_data(1).unwrap();
        let tinted = |col: usize, row: usize| u[row / 2 * stride + col / 2] != 128;
        Seen {
            block: tinted(x + 32, 132),
            badge: tinted(self.region().x + 20, self.region().y + 20),
            elsewhere: tinted((x + 200) % WIDTH, 132),
        }
    }
}

/// What can be seen in a shown frame.
#[derive(Debug, PartialEq)]
struct Seen {
    block: bool,
    badge: bool,
    elsewhere: bool,
}

const NERVE: Seen = Seen { block: true, badge: false, elsewhere: false };
const BADGE: Seen = Seen { block: false, badge: true, elsewhere: false };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn exact_shows_every_frame_with_its_own_mask() {
    let mut bench = Bench::new(SyncMode::Exact);
    for (n, x) in [40, 300, 140, 400].into_iter().enumerate() {
        bench.orders.send(Order::Answer).unwrap();
        assert_eq!(bench.show(x, ms(33 * n as u64)), NERVE, "frame {n}");
    }
    assert_eq!(bench.count(|c| &c.masked), 4);
}

#[test]
fn exact_goes_on_under_a_badge_while_the_engine_hangs_and_recovers() {
    let mut bench = Bench::new(SyncMode::Exact);
    assert_eq!(bench.show(40, ms(0)), BADGE, "waits for the timeout, then goes on");
    let begun = Instant::now();
    for n in 1..20 {
        assert_eq!(bench.show(40, ms(33 * n)), BADGE);
    }
    assert!(begun.elapsed() < TIMEOUT * 19, "a hang is waited for once, not for every frame");
    bench.orders.send(Order::Answer).unwrap();
    // The late answer is for a frame long gone; it is never shown.
    while !bench.path.inference.is_idle() {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(300, ms(1000)), NERVE);
    assert_eq!(bench.count(|c| &c.badged), 20);
}

#[test]
fn a_failing_engine_is_badged_opened_anew_and_shown_again() {
    let mut bench = Bench::new(SyncMode::Exact);
    for n in 0..5 {
        bench.orders.send(Order::Fail).unwrap();
        assert_eq!(bench.show(40, ms(33 * n)), BADGE);
    }
    assert_eq!(bench.count(|c| &c.engine_errors), 5);
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(500)), NERVE);
    assert_eq!(bench.openings.load(Ordering::Relaxed), 2, "opened anew once, after three failures");
}

#[test]
fn latest_never_waits_and_shows_the_newest_mask_until_it_is_stale() {
    let mut bench = Bench::new(SyncMode::Latest);
    assert_eq!(bench.show(40, ms(0)), BADGE, "no mask yet");
    bench.orders.send(Order::Answer).unwrap();
    while bench.path.mask_of.is_none() {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    assert_eq!(bench.show(40, ms(33)), NERVE);
    assert_eq!(bench.show(40, ms(100)), NERVE, "100 ms old is fresh enough");
    assert_eq!(bench.path.state, OverlayState::On);
    assert_eq!(bench.show(40, ms(101)), BADGE);
    assert_eq!(bench.path.state, OverlayState::Stale);
    assert!(bench.count(|c| &c.crops_skipped) > 0, "crops the engine never began");
    // It hangs over the frame of 33 ms: after the timeout that is more than stale.
    while bench.path.inference.busy_for() <= TIMEOUT {
        std::thread::yield_now();
    }
    bench.show(40, ms(133));
    assert_eq!(bench.path.state, OverlayState::Off);
}

#[test]
fn silence_is_shown_without_the_old_mask() {
    let mut bench = Bench::new(SyncMode::Latest);
    bench.show(40, ms(0));
    bench.orders.send(Order::Answer).unwrap();
    while bench.path.mask_of.is_none() {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    assert_eq!(bench.show(40, ms(33)), NERVE);
    let shown = bench.path.wait(bench.start + ms(2000)).unwrap().unwrap();
    assert_eq!(bench.look_at(&shown, 40), BADGE);
    assert_eq!((bench.count(|c| &c.inserted), bench.count(|c| &c.frames_out)), (1, 2));
    assert_eq!(bench.show(40, ms(2033)), BADGE, "the old mask does not come back with the signal");
}

#[test]
fn a_disabled_overlay_changes_no_pixel() {
    let mut bench = Bench::new(SyncMode::Exact);
    bench.path.enabled = false;
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(0)), Seen { block: false, badge: false, elsewhere: false });
}

#[test]
fn a_panic_is_a_failure_and_the_engine_is_opened_anew() {
    let mut bench = Bench::new(SyncMode::Exact);
    bench.orders.send(Order::Panic).unwrap();
    assert_eq!(bench.show(40, ms(0)), BADGE);
    // Printing where it panicked may take longer than the engine's time.
    while bench.count(|c| &c.engine_errors) == 0 {
        bench.path.read_answers();
        std::thread::yield_now();
    }
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(33)), NERVE);
    assert_eq!(bench.openings.load(Ordering::Relaxed), 2, "nobody knows what state a panic leaves behind");
}
