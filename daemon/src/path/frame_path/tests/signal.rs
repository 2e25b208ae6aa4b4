//! What is drawn on frames of a signal that lacks something.

use super::*;
use crate::frame::InputStatus;

/// Shows a frame of one luma, `at` on the time line; returns it as it was shown.
fn shade(bench: &mut Bench, luma: u8, at: Duration) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(bench.info.size()).unwrap();
    buffer.make_mut().memset(.., 128).unwrap();
    let size = bench.info.stride()[0] as usize * bench.info.height() as usize;
    buffer.make_mut().memset(..size, luma).unwrap();
    let (info, arrived) = (bench.info.clone(), bench.start + at);
    bench.path.pass(Frame { buffer, info, arrived, truth: None, spacing: None }).unwrap()
}

/// Luma of the shown frame that is neither `luma` nor in the nerve's tint.
fn written(bench: &Bench, buffer: &gst::Buffer, luma: u8) -> Vec<(usize, usize)> {
    let mapped = VideoFrameRef::from_buffer_ref_readable(buffer, &bench.info).unwrap();
    let (stride, width) = (mapped.plane_stride()[0] as usize, bench.info.width() as usize);
    let rows = mapped.plane_data(0).unwrap();
    let all = (0..bench.info.height() as usize).flat_map(|y| (0..width).map(move |x| (x, y)));
    all.filter(|(x, y)| rows[y * stride + x] != luma).collect()
}

fn show_with_mask(bench: &mut Bench, at: u64) {
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(at)), NERVE);
}

#[test]
fn a_black_picture_carries_words_and_no_mask_and_none_comes_back() {
    let mut bench = Bench::new(SyncMode::Exact);
    show_with_mask(&mut bench, 0);
    for n in 1..=12 {
        bench.orders.send(Order::Answer).unwrap();
        shade(&mut bench, 4, ms(33 * n));
    }
    assert_eq!(bench.path.signal.state(), SignalState::Black);
    bench.orders.send(Order::Answer).unwrap();
    let shown = shade(&mut bench, 4, ms(429));
    assert_eq!(bench.path.state, OverlayState::Off);
    let words = written(&bench, &shown, 4);
    assert!(!words.is_empty() && words.iter().all(|(x, y)| *x < 400 && *y < 60), "a badge in the corner");
    for n in 14..20 {
        bench.orders.send(Order::Answer).unwrap();
        bench.show(40, ms(33 * n));
    }
    show_with_mask(&mut bench, 700);
    let states: Vec<_> = bench
        .heard
        .try_iter()
        .filter_map(|event| if let Event::Signal(state) = event { Some(state) } else { None })
        .collect();
    assert_eq!(states, [SignalState::Ok, SignalState::Black, SignalState::Ok]);
}

#[test]
fn a_frozen_picture_keeps_its_mask_under_a_small_note() {
    let mut bench = Bench::new(SyncMode::Exact);
    for n in 0..10 {
        bench.orders.send(Order::Answer).unwrap();
        bench.show(40 + 200 * (n as usize % 2), ms(33 * n));
    }
    for n in 10..30 {
        bench.orders.send(Order::Answer).unwrap();
        bench.show(40, ms(33 * n));
    }
    assert_eq!(bench.path.signal.state(), SignalState::Frozen);
    show_with_mask(&mut bench, 1000);
    // With the overlay switched off the picture is nobody's but the scanner's.
    bench.path.enabled = false;
    bench.orders.send(Order::Answer).unwrap();
    bench.show(40, ms(1033));
    assert_eq!(bench.path.signal.state(), SignalState::Frozen);
    assert_eq!(bench.path.state, OverlayState::Disabled);
}

#[test]
fn a_driver_without_input_and_a_new_geometry_are_shown() {
    let mut bench = Bench::new(SyncMode::Exact);
    show_with_mask(&mut bench, 0);
    bench.path.input(InputStatus::NoLock);
    bench.orders.send(Order::Answer).unwrap();
    assert_eq!(bench.show(40, ms(33)), BADGE);
    assert_eq!(bench.path.signal.state(), SignalState::NoInput);
    bench.path.input(InputStatus::Present);
    show_with_mask(&mut bench, 66);
    let other = VideoInfo::builder(VideoFormat::I420, 800, 600).colorimetry(&"1:4:0:0".parse().unwrap());
    bench.info = Arc::new(other.build().unwrap());
    bench.orders.send(Order::Answer).unwrap();
    let shown = shade(&mut bench, 60, ms(100));
    assert_eq!(bench.path.signal.state(), SignalState::GeometryChanged);
    let region = bench.region();
    let note = written(&bench, &shown, 60);
    assert!(!note.is_empty() && note.iter().all(|(x, y)| *x > region.x + 200 && *y < region.y + 50));
    bench.orders.send(Order::Answer).unwrap();
    let shown = shade(&mut bench, 61, ms(3200));
    assert_eq!(written(&bench, &shown, 61), [], "it leaves by itself");
}
