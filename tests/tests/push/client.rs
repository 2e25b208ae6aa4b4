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
    let value: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    value["carts"].as_array().unwrap().clone()
}

#[test]
fn two_carts_at_once_keep_a_good_model_and_give_a_bad_one_back() {
    let wards = [Ward::new("", ""), Ward::new("", "")];
    let folder = wards[0].cart.dir.path();
    let [good, bad] = [bundle(folder, "2", good(2)), bundle(folder, "3", bad(3))].map(|p| p.display().to_string());
    let to = wards.each_ref().map(Ward::url);
    let ended = run(&mut deploy(&[&good, "--to", &to[0], "--to", &to[1], "--json"])).unwrap();
    assert!(ended.success, "{ended:?}");
    assert!(rows(&ended).iter().all(|row| row["outcome"] == "kept"), "{ended:?}");
    assert!(wards.iter().all(|ward| ward.shown() == "2"));
    assert!(ended.stderr.contains("probation"), "the steps are told: {}", ended.stderr);
    // Once more: there is nothing to do.
    let again = run(&mut deploy(&[&good, "--to", &to[0], "--json"])).unwrap();
    assert!(again.success && rows(&again)[0]["message"].as_str().unwrap().contains("already"), "{again:?}");

    let ended = run(&mut deploy(&[&bad, "--to", &to[0], "--to", "http://127.0.0.1:9", "--patience", "2"])).unwrap();
    assert!(!ended.success && ended.stderr.contains("2 of the carts"), "{ended:?}");
    assert!(ended.stdout.contains("rolled back") && ended.stdout.contains("not reached"), "{}", ended.stdout);
    assert_eq!(wards[0].shown(), "2");
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
    let mut ward = Ward::new(
        "",
        // The page is reached by the port of what is in between.
        "",
    );
    let folder = ward.cart.dir.path().to_path_buf();
    let path = bundle(&folder, "2", good(2)).display().to_string();
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    let (port, broken) = flaky(ward.port, bytes / 4);
    // Host and origin are those of the port that the client knows.
    ward.kill();
    let config = std::fs::read_to_string(ward.cart.path("cart.toml")).unwrap();
    let proxied = format!("proxy_hosts = [\"127.0.0.1:{port}\"]");
    let own = format!("http = {{ listen = \"127.0.0.1:{}\" }}", ward.port);
    let config = config.replace(&own, &format!("http = {{ listen = \"127.0.0.1:{}\", {proxied} }}", ward.port));
    std::fs::write(ward.cart.path("cart.toml"), config).unwrap();
    ward.start();

    let to = format!("http://127.0.0.1:{port}");
    let mut killed = deploy(&[&path, "--to", &to]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let size = |ward: &Ward| {
        let files = ward.uploads();
        let part = files.iter().find(|name| name.ends_with(".part")).map(|name| ward.cart.path("store/uploads").join(name));
        part.and_then(|part| Some(part.metadata().ok()?.len())).unwrap_or(0)
    };
    nervelight_tests::wait_for("a part", || (size(&ward) > 0).then_some(())).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    thread::sleep(Duration::from_millis(300));
    let there = size(&ward);
    assert!(there > 0 && there < bytes as u64, "{there} of {bytes}");
    let ended = run(&mut deploy(&[&path, "--to", &to, "--json"])).unwrap();
    assert!(ended.success, "{ended:?}");
    assert!(broken.load(Ordering::Relaxed) > 0, "no connection broke");
    assert_eq!(ward.shown(), "2");
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
