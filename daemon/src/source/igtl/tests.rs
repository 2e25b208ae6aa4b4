//! The source against a server of the test's own, which misbehaves.

use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::source::slot::Next;

struct Bench {
    listener: TcpListener,
    server: IgtlSource,
    counts: Arc<FrameCounts>,
}

impl Bench {
    fn new(device: Option<&str>) -> Self {
        gst::init().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let silence = Duration::from_millis(600);
        let server = IgtlSource { host: "127.0.0.1".into(), port, device: device.map(Into::into), silence };
        Self { listener, server, counts: Arc::default() }
    }

    /// A connection's two ends.
    fn open(&self) -> (TcpStream, Slot) {
        let slot = start(&self.server, false, &self.counts).unwrap();
        (self.listener.accept().unwrap().0, slot)
    }
}

/// An image of `width` x 48, all of the value `gray`.
fn message(device: &str, width: u16, gray: u8) -> Vec<u8> {
    let mut out = vec![];
    let header = ImageHeader::gray(width, 48, Some([0.1, 0.2]));
    igtl::image(&mut out, Name::new(device), igtl::now(Duration::ZERO), &header, |out| {
        out.resize(out.len() + usize::from(width) * 48, gray);
    });
    out
}

fn gray(frame: &Frame) -> u8 {
    frame.buffer.map_readable().unwrap()[0]
}

fn frame(slot: &mut Slot) -> Frame {
    match slot.next(Duration::from_secs(5)) {
        Next::Frame(frame) => frame,
        Next::Idle => panic!("no frame"),
        Next::End(how) => panic!("{how:?}"),
    }
}

fn failure(slot: &mut Slot) -> String {
    match slot.next(Duration::from_secs(5)) {
        Next::End(Err(error)) => error.to_string(),
        Next::End(Ok(())) | Next::Idle | Next::Frame(_) => panic!("no failure"),
    }
}

#[test]
fn frames_come_with_size_spacing_and_time() {
    let bench = Bench::new(None);
    let (mut stream, mut slot) = bench.open();
    let mut times = vec![];
    for (n, width) in [64u16, 64, 80].into_iter().enumerate() {
        stream.write_all(&message("Probe", width, n as u8)).unwrap();
        let frame = frame(&mut slot);
        assert_eq!((frame.info.width(), gray(&frame)), (u32::from(width), n as u8));
        assert_eq!(frame.spacing, Some([0.1, 0.2]));
        times.push(frame.buffer.pts().unwrap());
    }
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[test]
fn the_newest_of_several_is_taken_and_the_others_are_counted() {
    let bench = Bench::new(None);
    let (mut stream, mut slot) = bench.open();
    let queued: Vec<u8> = (0..50).flat_map(|n| message("Probe", 64, n)).collect();
    stream.write_all(&queued).unwrap();
    let mut last = 0;
    while last < 49 {
        last = gray(&frame(&mut slot));
    }
    // The pieces of a stream decide how many came together.
    assert_eq!(bench.counts.arrived(), 50);
}

#[test]
fn one_device_is_taken_and_what_others_send_is_not() {
    let bench = Bench::new(Some("Probe"));
    let (mut stream, mut slot) = bench.open();
    let mut transform = vec![];
    Header::message(&mut transform, "TRANSFORM", Name::new("Probe"), 0, |out| out.extend([0; 48]));
    for bytes in [message("Camera", 64, 1), transform, message("Probe", 64, 2), message("Camera", 80, 3)] {
        stream.write_all(&bytes).unwrap();
    }
    assert_eq!(gray(&frame(&mut slot)), 2);
    assert!(matches!(slot.next(Duration::from_millis(200)), Next::Idle));
    // Without a name the first is.
    let bench = Bench::new(None);
    let (mut stream, mut slot) = bench.open();
    stream.write_all(&message("Camera", 64, 1)).unwrap();
    assert_eq!(gray(&frame(&mut slot)), 1);
    stream.write_all(&message("Probe", 64, 2)).unwrap();
    assert!(matches!(slot.next(Duration::from_millis(200)), Next::Idle));
}

#[test]
fn failures_say_what_they_are() {
    let bench = Bench::new(None);
    let (stream, mut slot) = bench.open();
    let begun = Instant::now();
    assert!(failure(&mut slot).contains("has sent nothing for 600ms"), "half open");
    assert!(begun.elapsed() < Duration::from_millis(900));
    drop(stream);

    let of = |bytes: &[u8]| {
        let (mut stream, mut slot) = bench.open();
        stream.write_all(bytes).unwrap();
        drop(stream);
        failure(&mut slot)
    };
    let said = of(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html; charset=utf-8\r\n\r\n");
    assert!(said.contains("not OpenIGTLink") && said.contains("source.port"), "{said}");
    let mut bomb = message("Probe", 64, 1);
    bomb[42] = 16;
    assert!(of(&bomb).contains("1152921504606850120 bytes"));
    let mut damaged = message("Probe", 64, 1);
    damaged[500] ^= 1;
    assert!(of(&damaged).contains("checksum"));
    assert!(of(&message("Probe", 64, 1)[..1000]).contains("closed the connection"));
    let mut lying = vec![];
    Header::message(&mut lying, "IMAGE", Name::new("Probe"), 0, |out| out.extend([0; 80]));
    assert!(of(&lying).contains("malformed"));

    drop(bench.listener);
    let said = start(&bench.server, false, &bench.counts).map(drop).unwrap_err().to_string();
    assert!(said.contains("cannot be reached") && said.contains("source.host"), "{said}");
}

#[test]
fn a_volume_ends_a_named_device_and_is_passed_over_without_a_name() {
    let mut volume = vec![];
    let header = ImageHeader { size: [8, 8, 8], part: [8, 8, 8], ..ImageHeader::gray(8, 8, None) };
    igtl::image(&mut volume, Name::new("Probe"), 0, &header, |out| out.resize(out.len() + 512, 0));
    let bench = Bench::new(Some("Probe"));
    let (mut stream, mut slot) = bench.open();
    stream.write_all(&volume).unwrap();
    let said = failure(&mut slot);
    assert!(said.contains("8x8x8") && said.contains("source.device"), "{said}");
    let bench = Bench::new(None);
    let (mut stream, mut slot) = bench.open();
    stream.write_all(&volume).unwrap();
    stream.write_all(&message("Camera", 64, 7)).unwrap();
    assert_eq!(gray(&frame(&mut slot)), 7);
}

#[test]
fn the_thread_ends_with_the_slot() {
    let bench = Bench::new(None);
    let (mut stream, slot) = bench.open();
    drop(slot);
    // Its end of the connection is closed, though the server goes on.
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut byte = [0];
    let read = std::io::Read::read(&mut stream, &mut byte);
    assert!(matches!(read, Ok(0)) || read.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
}
