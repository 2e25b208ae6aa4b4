//! Uploads, with curl.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nervelight_engines::digest::sha256;
use nervelight_tests::web;
use serde_json::{Value, json};

use crate::{Ward, bundle, good};

/// An answer as curl has it.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &str| line.to_lowercase().starts_with(&format!("{name}:"));
        self.head.lines().find(|line| value(line))?.split_once(": ").map(|(_, value)| value.trim())
    }
}

fn curl(ward: &Ward, path: &str, arguments: &[&str]) -> Answer {
    let output = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "30", "-H"])
        .arg(format!("Origin: {}", ward.url()))
        .args(arguments)
        .arg(format!("{}{path}", ward.url()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{output:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.into(), body: serde_json::from_str(body).unwrap_or_default() }
}

fn begin(ward: &Ward, bytes: u64, sha256: &str) -> Answer {
    let wish = json!({ "bytes": bytes, "sha256": sha256 }).to_string();
    curl(ward, "/api/v1/uploads", &["-H", "Content-Type: application/json", "-d", &wish])
}

fn piece(ward: &Ward, location: &str, offset: u64, file: &Path) -> Answer {
    let data = format!("@{}", file.display());
    let offset = format!("Upload-Offset: {offset}");
    curl(ward, location, &["-X", "PATCH", "-H", &offset, "-H", "Expect:", "--data-binary", &data])
}

/// The answer to a piece from the beginning on, most of which is sent when it has been refused already.
fn slow_piece(ward: &Ward, location: &str) -> web::Answer {
    let mut stream = web::connect(ward.port).unwrap();
    let (port, parts) = (ward.port, 6);
    let bytes = parts << 20;
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nUpload-Offset: 0\r\n\
         Content-Length: {bytes}\r\n\r\n"
    )
    .unwrap();
    for _ in 0..parts {
        sleep(Duration::from_millis(100));
        stream.write_all(&[7; 1 << 20]).unwrap();
    }
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    web::Answer::read(&answer).unwrap()
}

#[test]
fn an_upload_survives_a_kill_and_is_deployed_when_it_is_whole() {
    let mut ward = Ward::new("", "");
    let bytes = fs::read(bundle(ward.cart.dir.path(), "2", good(2))).unwrap();
    let (digest, half) = (sha256(&bytes), bytes.len() / 2);
    let [first, second, all] = ["a", "b", "c"].map(|name| ward.cart.path(name));
    fs::write(&first, &bytes[..half]).unwrap();
    fs::write(&second, &bytes[half..]).unwrap();
    fs::write(&all, &bytes).unwrap();

    let begun = begin(&ward, bytes.len() as u64, &digest);
    assert_eq!((begun.status, begun.header("upload-offset")), (201, Some("0")));
    let location = begun.header("location").unwrap().to_owned();
    let sent = piece(&ward, &location, 0, &first);
    assert_eq!((sent.status, sent.header("upload-offset")), (204, Some(half.to_string().as_str())));
    // A second client that knows no better is told where to go on, while it still sends.
    let again = slow_piece(&ward, &location);
    let body: Value = serde_json::from_slice(&again.body).unwrap();
    assert_eq!((again.status, &body["code"]), (409, &"upload_offset".into()));
    assert!(again.head.contains(&format!("upload-offset: {half}\r\n")), "{}", again.head);
    let early = curl(&ward, &format!("{location}/deploy"), &["-X", "POST"]);
    assert_eq!((early.status, &early.body["code"]), (409, &"upload_unfinished".into()));

    ward.kill();
    ward.start();
    let found = begin(&ward, bytes.len() as u64, &digest);
    assert_eq!((found.status, found.header("location")), (200, Some(location.as_str())));
    let there: u64 = found.header("upload-offset").unwrap().parse().unwrap();
    assert_eq!(there, half as u64);
    let more = piece(&ward, &location, there, &all);
    assert_eq!((more.status, &more.body["code"]), (413, &"upload_more".into()));
    let rest = piece(&ward, &location, there, &second);
    assert_eq!(rest.status, 204, "{}", rest.head);
    let head = curl(&ward, &location, &["--head"]);
    assert_eq!((head.status, head.header("upload-offset")), (200, Some(bytes.len().to_string().as_str())));
    let deployed = curl(&ward, &format!("{location}/deploy"), &["-X", "POST"]);
    assert_eq!(deployed.status, 202, "{}", deployed.body);
    ward.until("the new model", |s| s["model"]["version"] == "2" && s["deployment"]["state"] == "kept");
    assert!(ward.uploads().is_empty(), "{:?}", ward.uploads());
}

#[test]
fn lies_about_an_upload_are_found_and_leave_nothing() {
    let ward = Ward::new("", "");
    let file = ward.cart.path("noise");
    fs::write(&file, vec![7; 300_000]).unwrap();
    let (announced, size) = ("0".repeat(64), 300_000);
    let location = begin(&ward, size, &announced).header("location").unwrap().to_owned();
    // A hole would be a file as large as one likes.
    let far = piece(&ward, &location, 1 << 30, &file);
    assert_eq!((far.status, far.header("upload-offset")), (409, Some("0")));
    assert_eq!(piece(&ward, &location, 0, &file).status, 204);
    let deployed = curl(&ward, &format!("{location}/deploy"), &["-X", "POST"]);
    assert_eq!((deployed.status, &deployed.body["code"]), (422, &"upload_digest".into()));
    assert!(ward.uploads().is_empty());
    assert_eq!(curl(&ward, &location, &[]).status, 404);

    for (bytes, digest, status, code) in [
        (1 << 40, announced.as_str(), 413, "upload_size"),
        (0, &announced, 413, "upload_size"),
        (5, "../../etc/passwd", 400, "bad_request"),
    ] {
        let refused = begin(&ward, bytes, digest);
        assert_eq!((refused.status, &refused.body["code"]), (status, &code.into()), "{bytes} {digest}");
    }
    for bytes in 1..=4 {
        assert_eq!(begin(&ward, bytes, &announced).status, 201);
    }
    let many = begin(&ward, 5, &announced);
    assert_eq!((many.status, &many.body["code"]), (429, &"upload_many".into()));
    let given_up = begin(&ward, 1, &announced).header("location").unwrap().to_owned();
    assert_eq!(curl(&ward, &given_up, &["-X", "DELETE"]).status, 204);
    assert_eq!(begin(&ward, 5, &announced).status, 201);
    for bad in ["", "x", "-1"] {
        let refused =
            curl(&ward, &given_up, &["-X", "PATCH", "-H", &format!("Upload-Offset: {bad}"), "-d", "x"]);
        assert_eq!(refused.status, 400);
    }
    assert_eq!(ward.shown(), "1");
}
