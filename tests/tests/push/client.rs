//! `nervelightd deploy`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nervelight_tests::{Ended, program, run};
use serde_json::Value;

use crate::{Ward, bad, bundle, good};

fn deploy(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("nervelightd").unwrap());
    command.arg("deploy").args(arguments);
    command
}

fn rows(ended: &Ended) -> Vec<Value> {
    let value: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    value["carts"].as_array().unwrap().clone()
}

#[test]
fn two_carts_at_once_keep_a_good_model_and_give_a_bad_one_back() {
    let wards = [Ward::new("", ""), Ward::new("", "")];
    let folder = wards[0].cart.dir.path();
    let [good, bad] =
        [bundle(folder, "2", good(2)), bundle(folder, "3", bad(3))].map(|p| p.display().to_string());
    let to = wards.each_ref().map(Ward::url);
    let ended = run(&mut deploy(&[&good, "--to", &to[0], "--to", &to[1], "--json"])).unwrap();
    assert!(ended.success, "{ended:?}");
    assert!(rows(&ended).iter().all(|row| row["outcome"] == "kept"), "{ended:?}");
    assert!(wards.iter().all(|ward| ward.shown() == "2"));
    assert!(ended.stderr.contains("probation"), "the steps are told: {}", ended.stderr);
    // Once more: there is nothing to do.
    let again = run(&mut deploy(&[&good, "--to", &to[0], "--json"])).unwrap();
    assert!(again.success && rows(&again)[0]["message"].as_str().unwrap().contains("already"), "{again:?}");

    let ended =
        run(&mut deploy(&[&bad, "--to", &to[0], "--to", "http://127.0.0.1:9", "--patience", "2"])).unwrap();
    assert!(!ended.success && ended.stderr.contains("2 of the carts"), "{ended:?}");
    assert!(ended.stdout.contains("rolled back") && ended.stdout.contains("not reached"), "{}", ended.stdout);
    assert_eq!(wards[0].shown(), "2");

    let models = |arguments: &[&str]| {
        let mut command = Command::new(program("nervelightd").unwrap());
        let ended = run(command.arg("models").args(arguments).args(["--to", &to[0]])).unwrap();
        assert!(ended.success, "{arguments:?}: {ended:?}");
        ended.stdout
    };
    let listed = models(&["list"]);
    assert!(listed.contains("tiny 2, serial 2") && listed.contains("went back from"), "{listed}");
    // The model before is the bad one now, so the first is named.
    let first = nervelight_engines::Bundle::open(wards[0].cart.path("first.tar")).unwrap().digest;
    models(&["use", &first[..12]]);
    wards[0].until("the first model", |s| s["model"]["version"] == "1");
    assert!(models(&["prune"]).contains("removed"));
    let refused = run(
        Command::new(program("nervelightd").unwrap()).args(["models", "use", "00000000", "--to", &to[0]])
    );
    assert!(!refused.unwrap().success);
}

/// Passes bytes on, and breaks a connection after so many.
fn flaky(to: u16, budget: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broken = Arc::new(AtomicUsize::new(0));
    let counted = broken.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let counted = counted.clone();
            thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let (mut buffer, mut passed) = (vec![0; 16 << 10], 0);
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    passed += count;
                    if passed > budget {
                        counted.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    if server.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                for stream in [client, server] {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
            });
        }
    });
    (port, broken)
}

#[test]
fn an_upload_goes_on_through_broken_connections_and_after_the_client_was_killed() {
    let mut ward = Ward::stopped("", "");
    let folder = ward.cart.dir.path().to_path_buf();
    let path = bundle(&folder, "2", good(2)).display().to_string();
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    let (port, broken) = flaky(ward.port, bytes / 4);
    // The client knows the port of what is in between.
    ward.set_http(&format!("proxy_hosts = [\"127.0.0.1:{port}\"], tokens = \"tokens.json\""));
    let token = ward.token("ward", "deploy").display().to_string();
    ward.start();

    let to = format!("http://127.0.0.1:{port}");
    let arguments = [path.as_str(), "--to", &to, "--token-file", &token, "--json"];
    let mut killed = deploy(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let size = |ward: &Ward| {
        let files = ward.uploads();
        let part = files
            .iter()
            .find(|name| name.ends_with(".part"))
            .map(|name| ward.cart.path("store/uploads").join(name));
        part.and_then(|part| Some(part.metadata().ok()?.len())).unwrap_or(0)
    };
    nervelight_tests::wait_for("a part", || (size(&ward) > 0).then_some(())).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    thread::sleep(Duration::from_millis(300));
    let there = size(&ward);
    assert!(there > 0 && there < bytes as u64, "{there} of {bytes}");
    let ended = run(&mut deploy(&arguments)).unwrap();
    assert!(ended.success, "{ended:?}");
    assert!(broken.load(Ordering::Relaxed) > 0, "no connection broke");
    assert_eq!(ward.shown(), "2");
}

#[test]
fn a_cart_is_known_by_its_certificate() {
    let mut ward = Ward::stopped("", "");
    ward.set_http("certificate = \"tls/cert.pem\", key = \"tls/key.pem\", tokens = \"tokens.json\"");
    std::fs::create_dir(ward.cart.path("tls")).unwrap();
    let mut cert = Command::new(program("nervelightd").unwrap());
    let made = run(cert.args(["cert", "--host", "127.0.0.1", "--out"]).arg(ward.cart.path("tls"))).unwrap();
    let fingerprint = made.stdout.trim().trim_start_matches("SHA-256 ").to_owned();
    let [token, weak] = ["deploy", "view"].map(|role| ward.token(role, role).display().to_string());
    ward.running = Some(ward.cart.start().unwrap());
    nervelight_tests::wait_for("the port", || TcpStream::connect(("127.0.0.1", ward.port)).ok()).unwrap();
    let path = bundle(ward.cart.dir.path(), "2", good(2)).display().to_string();
    let url = format!("https://127.0.0.1:{}", ward.port);
    let to = |more: &[&str]| {
        let begun = [path.as_str(), "--patience", "1"];
        run(&mut deploy(&[&begun[..], more].concat())).unwrap()
    };
    let other = format!("{url}#sha256={}", "ab".repeat(32));
    for (arguments, words) in [
        (vec!["--to", &other, "--token-file", &token], "its certificate has the fingerprint"),
        (vec!["--to", &url, "--token-file", &token], "is not trusted"),
        (
            vec!["--to", &url, "--fingerprint", &fingerprint, "--token-file", &weak],
            "needs a token with the role deploy",
        ),
    ] {
        let ended = to(&arguments);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!ended.success && said.contains(words), "{arguments:?}: {ended:?}");
    }
    let new = to(&["--to", &url, "--trust-new", "--token-file", &token]);
    let line = new
        .stderr
        .split_whitespace()
        .find(|word| word.contains("#sha256="))
        .unwrap_or_else(|| panic!("{new:?}"));
    assert!(new.success, "{new:?}");
    let carts = ward.cart.path("carts.txt");
    std::fs::write(&carts, format!("# the ward's\n{line}\n")).unwrap();
    let authority = ward.cart.path("tls/cert.pem").display().to_string();
    for arguments in [
        vec!["--carts", carts.to_str().unwrap(), "--token-file", &token],
        vec!["--to", &url, "--fingerprint", &fingerprint, "--token-file", &token],
        vec!["--to", &url, "--ca", &authority, "--token-file", &token],
    ] {
        let ended = to(&arguments);
        assert!(ended.success && ended.stdout.contains("already"), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_said_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path(), "2", good(2)).display().to_string();
    for (arguments, words) in [
        (vec![path.as_str()], "name a cart"),
        (vec![&path, "--to", "http://cart7:8321"], "https://"),
        (vec![&path, "--to", "https://cart7:8321"], "--token-file"),
        (vec![&path, "--to", "https://u:secret@cart7"], "--token-file"),
        (vec![&path, "--to", "https://cart7#sha256=00"], "64 hexadecimal"),
        (vec!["/none.bundle", "--to", "http://127.0.0.1:1"], "/none.bundle"),
        (vec![&path, "--to", "http://127.0.0.1:1", "--to", "http://127.0.0.1:1"], "twice"),
    ] {
        let ended = run(&mut deploy(&arguments)).unwrap();
        assert!(!ended.success && ended.stderr.contains(words), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.contains("secret"), "{ended:?}");
    }
}
