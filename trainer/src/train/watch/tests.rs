use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use super::live::tests::row;
use super::*;

fn stop() -> Arc<AtomicBool> {
    Arc::default()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status and body of what `port` answers to a page of `host`.
fn ask(port: u16, path: &str, host: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head[9..12].parse().unwrap(), answer[end + 4..].to_vec())
}

fn watched(folder: &Path, port: Option<u16>) -> Watch {
    let settings = Settings { run: folder.into(), epochs: 2, ..Default::default() };
    let mut watch = Watch::new(&settings, &[]);
    watch.start(Options { screen: false, port }, &folder.join("events"), 1, &stop());
    watch
}

fn state(port: u16) -> Value {
    let (status, body) = ask(port, "/state", &format!("127.0.0.1:{port}"));
    assert_eq!(status, 200);
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn the_page_tells_what_training_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut watch = watched(folder.path(), Some(port));
    assert!(state(port)["loss"].is_null());
    watch.begin_epoch(0, 0, 8);
    watch.step(1, 0.75, 1e-3, 4);
    watch.step(2, 0.5, 5e-4, 4);
    watch.end_epoch();
    watch.validated(&row(0, 2, true, 0.625));
    watch.say("epoch 1 ended");
    let json = state(port);
    assert_eq!(json["training"], serde_json::json!([[1.0, 0.75], [2.0, 0.5]]));
    assert_eq!((json["share"].as_f64(), json["step"].as_i64()), (Some(0.5), Some(2)));
    assert_eq!(json["rows"][0]["loss"], 0.625);
    assert_eq!(json["lines"].as_array().unwrap().last().unwrap(), "epoch 1 ended");

    let luma: Vec<u8> = vec![200; 8];
    let nerve: Vec<u8> = vec![1, 1, 0, 0, 0, 0, 0, 0];
    let frame = Frame { name: "3_7".into(), patient: 3, luma: luma.into(), nerve: nerve.into() };
    let probability = Tensor::from_slice(&[0.9f32, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1]).reshape([1, 1, 2, 4]);
    watch.found(&[&frame], &probability, 4);
    assert_eq!(state(port)["pictures"], serde_json::json!(["3_7"]));
    let (status, png) = ask(port, "/picture/0", &format!("localhost:{port}"));
    assert_eq!(status, 200);
    let picture = image::load_from_memory(&png).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (4, 2));
    let pixels: Vec<[u8; 3]> = (0..4).map(|x| picture.get_pixel(x, 0).0).collect();
    let [found, missed, invented, none] = pixels[..] else { panic!() };
    assert!(found[0] > found[1] && missed[2] < missed[1] && invented[0] < invented[1], "{pixels:?}");
    assert_eq!(none, [200; 3]);
    assert_eq!(ask(port, "/picture/1", &format!("127.0.0.1:{port}")).0, 404);
}

#[test]
fn the_page_answers_no_other_page() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _watch = watched(folder.path(), Some(port));
    for path in ["/", "/state", "/page.js", "/picture/0"] {
        assert_eq!(ask(port, path, &format!("evil.example:{port}")).0, 403, "{path}");
    }
    assert_eq!(ask(port, "/", &format!("127.0.0.1:{port}")).0, 200);
}

#[test]
fn a_port_in_use_is_said_and_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut watch = watched(folder.path(), Some(holder.local_addr().unwrap().port()));
    let lines = lock(&watch.live).lines.clone();
    assert!(lines[0].contains("warning: no page: --watch") && lines[0].contains("give another"), "{lines:?}");
    watch.begin_epoch(0, 0, 4);
    watch.step(1, 0.5, 1e-3, 4);
    assert_eq!(events::tests::series(&folder.path().join("events"), "training/loss"), [(1, 0.5)]);
}

#[test]
fn events_that_cannot_be_written_are_said_and_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events"), "in the way").unwrap();
    let mut watch = watched(folder.path(), None);
    let lines = lock(&watch.live).lines.clone();
    assert!(lines[0].contains("events: no event files"), "{lines:?}");
    watch.step(1, 0.5, 1e-3, 4);
}

#[test]
fn all_frames_and_some_are_different_curves() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = watched(folder.path(), None);
    watch.validated(&row(0, 5, false, 0.5));
    watch.validated(&row(0, 5, true, 0.25));
    let series = |tag| events::tests::series(&folder.path().join("events"), tag);
    assert_eq!(series("validation_part/loss"), [(5, 0.5)]);
    assert_eq!(series("validation/loss"), [(5, 0.25)]);
    assert_eq!(series("validation/recall"), [(5, 0.8)]);
}

#[test]
fn a_run_is_shown_by_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::at(folder.path());
    let mut rows = vec![row(0, 5, false, 0.5), row(0, 9, true, 0.25)];
    rows[0].train_loss = None;
    run.write_metrics(&rows).unwrap();
    assert_eq!(run.read_metrics().unwrap(), rows);
    let port = free_port();
    let listener = local_page::bind("--port", port).unwrap();
    let settings = Settings { run: "elsewhere".into(), ..Default::default() };
    let source = Source::Files(Arc::new((run.clone(), settings)));
    std::thread::spawn(move || page::serve(listener, source));
    assert_eq!((state(port)["step"].as_i64(), state(port)["epoch"].as_i64()), (Some(9), Some(1)));
    rows.push(row(1, 14, false, 0.2));
    run.write_metrics(&rows).unwrap();
    assert_eq!(state(port)["step"], 14, "read anew");

    run.write("metrics.csv", b"names\n0,1,true\n").unwrap();
    let (status, body) = ask(port, "/state", &format!("127.0.0.1:{port}"));
    let body = String::from_utf8(body).unwrap();
    assert!(status == 500 && body.contains("metrics.csv:2: is no line of metrics"), "{status} {body}");
}
