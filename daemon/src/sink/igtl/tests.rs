//! The server and clients that read, ask, dawdle and vanish.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use gst_video::VideoFormat;
use nervelight_engines::{EngineInfo, HEIGHT, Plane, Precision, WIDTH, plane};
use tokio::sync::watch;

use super::*;
use crate::config::IgtlContent;
use crate::frame::{Model, OverlayState, Sector, SignalState};
use crate::igtl::{self, Header, ImageHeader, Incoming, Name};
use crate::sink::preview::State;
use crate::sink::{Encoders, Whep};

struct Bench {
    sink: Igtl,
    address: SocketAddr,
    info: Arc<VideoInfo>,
}

impl Bench {
    fn new(content: &[IgtlContent]) -> Self {
        gst::init().unwrap();
        // One that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let context = SinkContext {
            live: true,
            pictures: watch::channel(None).0,
            whep: Whep::new(Instant::now()),
            stop: Arc::default(),
            encoders: Encoders::default(),
            source: Arc::default(),
        };
        let server = IgtlSink { listen: address, content: content.to_vec() };
        let sink = Igtl::open("igtl".into(), &server, &context).unwrap();
        // Limited range: no colorimetry.
        let info = VideoInfo::builder(VideoFormat::I420, 580, 420).build().unwrap();
        Self { sink, address, info: Arc::new(info) }
    }

    fn connect(&self) -> TcpStream {
        let before = self.sink.board.clients();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.sink.board.clients() == before && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        // Its thread looks at the number of the newest bundle first.
        thread::sleep(Duration::from_millis(50));
        stream
    }

    fn push(&mut self, luma: u8, mask: Option<&Plane>) {
        let mut buffer = gst::Buffer::with_size(self.info.size()).unwrap();
        buffer.make_mut().map_writable().unwrap().fill(luma);
        let ai = if mask.is_some() { OverlayState::On } else { OverlayState::Stale };
        let state =
            State { ai, signal: true, picture: SignalState::Ok, nerve: None, arrived: Instant::now() };
        let region = Some(Sector { x: 2, y: 4, width: WIDTH, height: HEIGHT });
        let engine = EngineInfo {
            runtime: "fake".into(),
            provider: "CPU".into(),
            precision: Precision::Fp32,
            threads: 1,
            model: "nerve 1".into(),
            digest: "d1g".into(),
        };
        let model = Arc::new(Model { engine, threshold: 128, min_area: 1, generation: 1 });
        let spacing = Some([0.25, 0.5]);
        self.sink.push(Shown {
            buffer: &buffer,
            info: &self.info,
            state,
            mask,
            model: Some(&model),
            region,
            spacing,
        });
    }

    fn counts(&self) -> (u64, u64) {
        let figures = self.sink.status().snapshot();
        (figures.frames, figures.dropped)
    }
}

/// The next `count` messages.
fn messages(stream: &mut TcpStream, incoming: &mut Incoming, count: usize) -> Vec<(Header, Vec<u8>)> {
    let mut found = vec![];
    while found.len() < count {
        if let Some((header, body)) = incoming.next().unwrap() {
            let body = incoming.body(body);
            found.push((header, igtl::content(&header, body).unwrap().to_vec()));
        } else {
            assert_ne!(incoming.fill(|room| stream.read(room)).unwrap(), 0, "the server left");
        }
    }
    found
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
    begun.elapsed()
}

#[test]
fn frame_mask_and_status_belong_together() {
    let mut bench = Bench::new(&[IgtlContent::Frame, IgtlContent::Mask, IgtlContent::Status]);
    bench.push(126, None);
    assert_eq!(bench.counts(), (0, 0), "nobody is there");
    let (mut stream, mut incoming) = (bench.connect(), Incoming::default());
    let mut mask = plane();
    (mask[0], mask[WIDTH * HEIGHT - 1]) = (1, 1);
    bench.push(126, Some(&mask));
    let found = messages(&mut stream, &mut incoming, 3);
    assert!(found.iter().all(|(header, _)| header.timestamp == found[0].0.timestamp && header.version == 1));
    let (frame, pixels) = ImageHeader::read(&found[0].1).unwrap();
    assert!(found[0].0.device.is("NervelightImage"));
    assert_eq!((frame.size, frame.spacing()), ([580, 420, 1], Some([0.25, 0.5])));
    assert!(pixels.iter().all(|&p| p == 128), "limited range is expanded");
    let (label, pixels) = ImageHeader::read(&found[1].1).unwrap();
    assert!(found[1].0.device.is("NervelightMask"));
    assert_eq!(label, frame, "the same geometry");
    let inside: Vec<_> = (0..pixels.len()).filter(|&i| pixels[i] != 0).collect();
    assert_eq!(inside, [4 * 580 + 2, (4 + HEIGHT - 1) * 580 + 2 + WIDTH - 1]);
    let text = |status: &[u8]| String::from_utf8_lossy(&status[30..]).into_owned();
    assert_eq!((found[2].1[1], &found[2].1[10..16]), (1, &b"AI ON\0"[..]));
    assert_eq!(text(&found[2].1), "AI ON; model d1g; spacing 0.25 x 0.5 mm\0");
    // No mask is shown: none is sent.
    bench.push(126, None);
    let found = messages(&mut stream, &mut incoming, 3);
    assert!(ImageHeader::read(&found[1].1).unwrap().1.iter().all(|&p| p == 0));
    assert_eq!((found[2].1[1], text(&found[2].1).as_str()), (7, "AI STALE; spacing 0.25 x 0.5 mm\0"));
    assert_eq!(bench.counts(), (2, 0));
}

#[test]
fn a_slow_client_gets_the_newest_and_holds_nobody_up() {
    let mut bench = Bench::new(&[IgtlContent::Frame]);
    let (mut slow, mut quick) = (bench.connect(), bench.connect());
    let reader = thread::spawn(move || {
        let (mut incoming, mut seen) = (Incoming::default(), 0);
        while messages(&mut quick, &mut incoming, 1)[0].1[80] != 255 {
            seen += 1;
        }
        seen
    });
    let mut slowest = Duration::ZERO;
    for n in 0..=203 {
        let begun = Instant::now();
        bench.push(16 + n, None);
        slowest = slowest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    // The last may have had no room.
    while !reader.is_finished() {
        bench.push(235, None);
        thread::sleep(Duration::from_millis(20));
    }
    let seen = reader.join().unwrap();
    assert!(seen > 50, "{seen}");
    let (mut incoming, mut grays) = (Incoming::default(), vec![]);
    while grays.last() != Some(&255) {
        grays.push(messages(&mut slow, &mut incoming, 1)[0].1[80]);
    }
    assert!(grays.is_sorted() && grays.len() < 100, "{grays:?}");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let mut bench = Bench::new(&[IgtlContent::Frame, IgtlContent::Mask]);
    let _stalled = bench.connect();
    let (mut stays, begun) = (bench.connect(), Instant::now());
    let reader = thread::spawn(move || std::io::copy(&mut stays, &mut std::io::sink()));
    assert_eq!(bench.sink.board.clients(), 2);
    let took = wait_until("the stalled client stays", || {
        bench.push(100, None);
        thread::sleep(Duration::from_millis(10));
        bench.sink.board.clients() < 2
    });
    // Until the kernel's buffers are full it takes something.
    assert!(took < Duration::from_millis(3500), "{took:?}");
    assert!(!reader.is_finished() && begun.elapsed() >= Duration::from_secs(1));
    let (frames, busy) = bench.counts();
    assert!(frames > 20, "{frames} {busy}");
    drop(bench.sink);
    reader.join().unwrap().unwrap();
}

#[test]
fn clients_ask_leave_and_send_garbage() {
    let bench = Bench::new(&[IgtlContent::Status]);
    let mut stream = bench.connect();
    let mut asked = vec![];
    // A message that nobody here knows comes first, and is skipped.
    Header::message(&mut asked, "STRING", Name::new("PlusClient"), 0, |out| out.extend([b'x'; 9000]));
    Header::message(&mut asked, "GET_CAPABIL", Name::new(""), 0, |_| {});
    for piece in asked.chunks(61) {
        stream.write_all(piece).unwrap();
    }
    let (header, body) = messages(&mut stream, &mut Incoming::default(), 1).remove(0);
    assert!(header.kind.is("CAPABILITY") && body.len() % 12 == 0 && body.starts_with(b"IMAGE\0"));
    drop(stream);
    wait_until("a client that left stays", || bench.sink.board.clients() == 0);
    let mut bomb = vec![];
    Header::message(&mut bomb, "STRING", Name::new(""), 0, |_| {});
    bomb[42] = 16;
    for garbage in [&b"GET / HTTP/1.1\r\nHost: cart7\r\nAccept: text/html, */*;q=0.8\r\n\r\n"[..], &bomb] {
        let mut stream = bench.connect();
        stream.write_all(garbage).unwrap();
        wait_until("a client that talks nonsense stays", || bench.sink.board.clients() == 0);
    }
}

#[test]
fn clients_are_bounded_and_the_address_is_free_again() {
    let bench = Bench::new(&[IgtlContent::Status]);
    let clients: Vec<_> = (0..16).map(|_| bench.connect()).collect();
    let mut one_more = TcpStream::connect(bench.address).unwrap();
    one_more.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(one_more.read(&mut [0]).unwrap(), 0);
    let taken = IgtlSink { listen: bench.address, content: vec![] };
    assert!(format!("{:#}", check(&taken).unwrap_err()).contains("choose another"));
    let begun = Instant::now();
    drop(bench.sink);
    assert!(begun.elapsed() < Duration::from_secs(2));
    check(&taken).unwrap();
    drop(clients);
}

#[test]
fn the_last_frame_is_sent_before_the_end() {
    let mut bench = Bench::new(&[IgtlContent::Frame]);
    let mut stream = bench.connect();
    bench.push(50, None);
    bench.sink.end();
    let reader = thread::spawn(move || messages(&mut stream, &mut Incoming::default(), 1).len());
    bench.sink.finish(Instant::now() + Duration::from_secs(5));
    assert_eq!(reader.join().unwrap(), 1);
}
