//! Network sinks as the encoder sees them.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::sink::encode::{Audience, Unit, Units, Watching};
use crate::sink::feed::Taken;

/// A network sink that keeps times in ms, and which are IDRs.
#[derive(Default)]
struct Kept {
    units: Mutex<Vec<(u64, bool)>>,
    is_full: AtomicBool,
    is_ended: AtomicBool,
}

impl Units for Kept {
    fn give(&self, unit: &Unit) -> Taken {
        if self.is_full.load(Ordering::SeqCst) {
            return Taken::Busy;
        }
        // A byte stream with its parameter sets (ITU-T H.264, 7.4.1 and annex B).
        let bytes = unit.buffer.map_readable().unwrap();
        let has = |kind: u8| bytes.windows(4).any(|four| four[..3] == [0, 0, 1] && four[3] & 31 == kind);
        assert_eq!((has(7), has(8), has(5)), (unit.is_key, unit.is_key, unit.is_key));
        self.units.lock().unwrap().push((unit.at / 1_000_000, unit.is_key));
        Taken::Yes
    }

    fn has_room(&self) -> bool {
        !self.is_full.load(Ordering::SeqCst)
    }

    fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
    }
}

struct Network {
    watching: Watching,
    audience: Arc<Audience>,
    kept: Arc<Kept>,
    status: Arc<SinkStatus>,
}

impl Network {
    fn open(bench: &Bench) -> Self {
        let (audience, kept) = (Arc::<Audience>::default(), Arc::<Kept>::default());
        let status = Arc::new(SinkStatus::new("network".into()));
        let (a, k) = (audience.clone(), kept.clone());
        let watching =
            bench.context.encoders.watch(&bench.info, &bench.context, status.clone(), a, k).unwrap();
        Self { watching, audience, kept, status }
    }

    fn show(&mut self, info: &VideoInfo, n: u64) -> Taken {
        let mut frame = gst::Buffer::from_mut_slice(vec![128; info.size()]);
        frame.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
        self.watching.push(&frame)
    }

    /// Units up to the frame `last`, which is waited for.
    fn units(&self, last: u64) -> Vec<(u64, bool)> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let units = self.kept.units.lock().unwrap().clone();
            if units.last().is_some_and(|unit| unit.0 >= 40 * last) || Instant::now() > deadline {
                return units;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn keys(&self, last: u64) -> Vec<u64> {
        self.units(last).into_iter().filter(|unit| unit.1).map(|unit| unit.0 / 40).collect()
    }
}

#[test]
fn without_viewers_nothing_is_encoded_and_a_join_costs_one_idr() {
    let bench = Bench::new();
    let mut network = Network::open(&bench);
    let info = bench.info.clone();
    for n in 0..5 {
        assert_eq!(network.show(&info, n), Taken::Yes);
    }
    network.audience.set_viewers(1);
    network.audience.request_key();
    for n in 5..8 {
        network.show(&info, n);
    }
    // Three join between two frames.
    for viewers in 2..5 {
        network.audience.set_viewers(viewers);
        network.audience.request_key();
    }
    (8..12).for_each(|n| _ = network.show(&info, n));
    assert_eq!(network.keys(11), [5, 8]);
    assert_eq!(network.units(11).iter().map(|unit| unit.0 / 40).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10, 11]);
    network.audience.set_viewers(0);
    (12..20).for_each(|n| _ = network.show(&info, n));
    network.audience.set_viewers(1);
    (20..23).for_each(|n| _ = network.show(&info, n));
    assert_eq!(network.units(22)[7..].iter().map(|unit| unit.0 / 40).next(), Some(20), "none of the pause");
    assert_eq!(bench.encoders(), 1);
    network.watching.end();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !network.kept.is_ended.load(Ordering::SeqCst) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(network.kept.is_ended.load(Ordering::SeqCst));
    drop(network.watching);
    assert_eq!(bench.encoders(), 0);
}

#[test]
fn a_network_sink_that_lost_a_unit_goes_on_with_an_idr() {
    let bench = Bench::new();
    let mut network = Network::open(&bench);
    let info = bench.info.clone();
    network.audience.set_viewers(1);
    (0..4).for_each(|n| _ = network.show(&info, n));
    network.units(3);
    network.kept.is_full.store(true, Ordering::SeqCst);
    (4..8).for_each(|n| _ = network.show(&info, n));
    // Until the encoder has made all of them.
    std::thread::sleep(Duration::from_millis(300));
    network.kept.is_full.store(false, Ordering::SeqCst);
    for n in 8..14 {
        network.show(&info, n);
        // The encoder has to say that it lost something before it is handed all of them.
        std::thread::sleep(Duration::from_millis(40));
    }
    let units = network.units(13);
    let after = units.iter().position(|unit| unit.0 >= 8 * 40).unwrap();
    assert!(units[after].1 && units[after].0 <= 11 * 40, "{units:?}");
    assert_eq!(after, 4, "{units:?}");
}

#[test]
fn recordings_and_network_sinks_share_an_encoder() {
    let bench = Bench::new();
    let mut network = Network::open(&bench);
    let mut recording = bench.recording("a.mkv");
    assert_eq!(bench.encoders(), 1);
    for n in 0..10 {
        push(&mut *recording, &bench.info, n);
        network.show(&bench.info, n);
    }
    network.audience.set_viewers(1);
    network.audience.request_key();
    for n in 10..20 {
        push(&mut *recording, &bench.info, n);
        network.show(&bench.info, n);
    }
    assert_eq!(finish(&mut *recording).frames, 20);
    assert_eq!(units(&bench.path("a.mkv")).len(), 20);
    assert_eq!(network.units(19).first(), Some(&(400, true)));
    (20..25).for_each(|n| _ = network.show(&bench.info, n));
    assert_eq!(network.units(24).len(), 15, "it goes on after the recording's end");
}

#[test]
fn viewers_stay_when_the_frames_change() {
    let bench = Bench::new();
    let mut network = Network::open(&bench);
    network.audience.set_viewers(1);
    (0..5).for_each(|n| _ = network.show(&bench.info, n));
    network.units(4);
    let other = info(128, 96);
    assert!(network.watching.follow(&other));
    (5..10).for_each(|n| _ = network.show(&other, n));
    let units = network.units(9);
    assert_eq!(units[5], (200, true), "{units:?}");
    assert!(!network.kept.is_ended.load(Ordering::SeqCst) && !network.status.has_failed());
    assert_eq!(bench.encoders(), 1);
}
