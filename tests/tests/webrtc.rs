//! WebRTC out: what players of others get, and what nobody may do to the rest.
#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nervelight_tests::web::{Answer, ask, status};
use nervelight_tests::whep::{OFFER, Peer};
use nervelight_tests::{Cart, Running, free_port, wait_for};
use rustix::process::{Signal, kill_process};

fn cart(port: u16, udp: u16) -> Cart {
    Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 15, seed = 7 }}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        # However busy the machine is.
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        sinks = [{{ kind = "webrtc", udp = "127.0.0.1:{udp}" }}]
        http = {{ listen = "127.0.0.1:{port}" }}
        report = {{ path = "report.json" }}
        "#
    ))
    .unwrap()
}

/// A daemon whose sink is open, in its folder.
fn running(port: u16, udp: u16) -> (Cart, Running) {
    let cart = cart(port, udp);
    let running = cart.start().unwrap();
    wait_for("the sink", || (post(port, "", "application/sdp").status == 400).then_some(())).unwrap();
    (cart, running)
}

/// Asks as the page does; 0 while nobody listens.
fn request(port: u16, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    let own = [format!("Host: 127.0.0.1:{port}"), format!("Origin: http://127.0.0.1:{port}")];
    let kind = format!("Content-Type: {kind}");
    let nobody = Answer { status: 0, head: String::new(), body: vec![] };
    ask(port, method, path, &[&own[0], &own[1], &kind], body).unwrap_or(nobody)
}

fn post(port: u16, offer: &str, kind: &str) -> Answer {
    request(port, "POST", "/whep", kind, offer)
}

fn place_of(joined: &Answer) -> Option<String> {
    Some(joined.head.split_once("location: ")?.1.split_once("\r\n")?.0.to_owned())
}

fn frames(port: u16) -> Option<u64> {
    status(port)?["sinks"][0]["frames"].as_u64()
}

/// Waits until the sink takes no frame for a second: nobody watches any more.
fn wait_for_nobody(port: u16) {
    wait_for("the end of the video", || {
        let before = frames(port)?;
        std::thread::sleep(Duration::from_secs(1));
        (frames(port)? == before).then_some(())
    })
    .unwrap();
}

#[test]
fn another_stack_decodes_it_and_nothing_is_encoded_for_nobody() {
    let (port, udp) = (free_port().unwrap(), free_port().unwrap());
    let (cart, running) = running(port, udp);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(frames(port), Some(0), "nobody watches");
    let mut peer = Peer::start(port, &["watch", "4"]).unwrap();
    let joined = peer.hear().unwrap();
    assert_eq!(joined["status"], 201, "{joined}");
    let answer = joined["answer"].as_str().unwrap();
    for line in [
        "a=ice-lite",
        "profile-level-id=42e01f",
        "packetization-mode=1",
        &format!("127.0.0.1 {udp} typ host"),
    ] {
        assert!(answer.contains(line), "{line} is missing in {answer}");
    }
    let seen = peer.hear().unwrap();
    assert!(seen["pictures"].as_u64() > Some(20), "{seen}");
    assert_eq!((seen["width"].as_u64(), seen["height"].as_u64()), (Some(580), Some(420)));
    assert!(seen["deviation"].as_f64() > Some(10.0), "it is no flat picture: {seen}");
    assert!(seen["states"].as_u64() >= seen["pictures"].as_u64(), "a state for every picture: {seen}");
    assert_eq!(peer.hear().unwrap()["left"], 200);
    wait_for_nobody(port);
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let sink = &cart.report().unwrap()["sinks"][0];
    assert!(sink["failed"].is_null() && sink["frames"].as_u64() >= seen["pictures"].as_u64(), "{sink}");
}

#[test]
fn what_is_no_offer_is_answered_with_the_reason() {
    let (port, udp) = (free_port().unwrap(), free_port().unwrap());
    let (_cart, _running) = running(port, udp);
    let sdp = "application/sdp";
    let no_h264 =
        OFFER.replace("H264", "VP9").replace("packetization-mode=1;profile-level-id=42e01f", "profile-id=0");
    let long = "a=x\r\n".repeat(20_000);
    for (offer, kind, status, says) in [
        ("", sdp, 400, "the offer cannot be used"),
        ("hello", sdp, 400, "the offer cannot be used: it is no SDP"),
        (&OFFER.replace("a=fingerprint", "a=finger"), sdp, 400, "fingerprint"),
        (&no_h264, sdp, 406, "H.264"),
        (&OFFER.replace("recvonly", "sendonly"), sdp, 406, "receives"),
        (OFFER, "application/json", 415, "application/sdp"),
        (&long, sdp, 413, ""),
    ] {
        let answer = post(port, offer, kind);
        assert_eq!(answer.status, status, "{offer}: {}", answer.text());
        assert!(
            answer.text().contains(says) && answer.head.contains("application/problem+json"),
            "{answer:?}"
        );
    }
    let joined = post(port, OFFER, sdp);
    assert_eq!(joined.status, 201, "{}", joined.text());
    assert!(joined.head.contains("content-type: application/sdp"), "{}", joined.head);
    let place = place_of(&joined).unwrap();
    assert_eq!(request(port, "PATCH", &place, "application/trickle-ice-sdpfrag", "").status, 405);
    assert_eq!(request(port, "GET", "/whep", sdp, "").status, 405);
    let options = request(port, "OPTIONS", "/whep", sdp, "");
    assert!(options.status == 204 && options.head.contains("accept-post: application/sdp"), "{options:?}");
    assert_eq!(request(port, "DELETE", &place, sdp, "").status, 200);
    assert_eq!(request(port, "DELETE", &place, sdp, "").status, 404, "it has gone");
    let foreign = [format!("Host: 127.0.0.1:{port}"), "Origin: http://evil.example".into()];
    let foreign = ask(port, "POST", "/whep", &[&foreign[0], &foreign[1]], OFFER).unwrap();
    assert_eq!(foreign.status, 403, "another site's page");

    // What nobody thought of: whatever is cut out of an offer or repeated in it, others go on watching.
    for cut in 0..OFFER.len() {
        let offer = match cut % 3 {
            0 => OFFER[..cut].to_owned(),
            1 => format!("{}{}", &OFFER[..cut], &OFFER[(cut + 7).min(OFFER.len())..]),
            _ => format!("{}{}", &OFFER[..cut], &OFFER[cut / 2..]),
        };
        let answer = post(port, &offer, sdp);
        assert!([201, 400, 406].contains(&answer.status), "{offer}: {}", answer.text());
        if let Some(place) = place_of(&answer) {
            request(port, "DELETE", &place, sdp, "");
        }
    }
    assert!(status(port).unwrap()["sinks"][0]["failed"].is_null(), "{}", status(port).unwrap());
}

#[test]
fn places_are_bounded_and_silent_viewers_give_theirs_back() {
    let (port, udp) = (free_port().unwrap(), free_port().unwrap());
    let (_cart, running) = running(port, udp);
    let mut stalled = Peer::start(port, &["stay"]).unwrap();
    assert_eq!(stalled.hear().unwrap()["status"], 201);
    let statuses: Vec<_> = (0..42).map(|_| post(port, OFFER, "application/sdp").status).collect();
    assert!(statuses.contains(&201) && statuses[40..] == [503, 503], "{statuses:?}");
    let full = post(port, OFFER, "application/sdp");
    assert!(full.text().contains("viewers watch already") && full.head.contains("retry-after"), "{full:?}");
    // What is no packet of a viewer is nobody's.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..2000u32 {
        let bytes: Vec<u8> = (0..n % 1500).map(|i| (i.wrapping_mul(n) >> 3) as u8).collect();
        stranger.send_to(&bytes, ("127.0.0.1", udp)).unwrap();
    }
    // Who never connects goes within ten seconds, who stalls within six.
    kill_process(stalled.pid(), Signal::STOP).unwrap();
    let begun = Instant::now();
    wait_for_nobody(port);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(post(port, OFFER, "application/sdp").status, 201, "there is room again");
    kill_process(stalled.pid(), Signal::CONT).unwrap();
    let begun = Instant::now();
    assert!(running.terminate().unwrap().success);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "viewers do not hold up the end: {:?}",
        begun.elapsed()
    );
    UdpSocket::bind(("127.0.0.1", udp)).unwrap();
}

#[test]
fn a_port_that_is_taken_is_tried_again() {
    let (port, udp) = (free_port().unwrap(), free_port().unwrap());
    let holder = UdpSocket::bind(("127.0.0.1", udp)).unwrap();
    let cart = cart(port, udp);
    let running = cart.start().unwrap();
    let failed = wait_for("the failure", || status(port)?["sinks"][0]["failed"].as_str().map(String::from));
    let failed = failed.unwrap();
    assert!(failed.contains(&format!("udp = \"127.0.0.1:{udp}\" cannot be used")), "{failed}");
    let answer = post(port, OFFER, "application/sdp");
    assert!(answer.status == 503 && answer.text().contains("is not open"), "{answer:?}");
    drop(holder);
    wait_for("the sink", || (post(port, OFFER, "application/sdp").status == 201).then_some(())).unwrap();
    assert!(running.terminate().unwrap().success);
}

#[test]
fn mistakes_in_the_table_are_named() {
    let refused = |sinks: &str, http: &str| {
        let text = format!(
            "source = {{ kind = \"phantom\" }}\nmodel = {{ bundle = \"BUNDLE\" }}\nsinks = [{sinks}]\n{http}"
        );
        Cart::new(&text).unwrap().refused().unwrap()
    };
    for (sinks, http, says) in [
        ("{ kind = \"webrtc\" }", "http = { enabled = false }", "sinks[0].kind: \"webrtc\" needs the page"),
        ("{ kind = \"webrtc\", udp = \"8322\" }", "", "sinks[0].udp: must be an address and a port"),
        (
            "{ kind = \"webrtc\", udp = \"0.0.0.0:8322\" }",
            "",
            "sinks[0].udp: must be the address at which browsers",
        ),
        ("{ kind = \"webrtc\" }, { kind = \"webrtc\" }", "", "sinks[1].kind: is \"webrtc\" a second time"),
        ("{ kind = \"preview\", udp = \"127.0.0.1:1\" }", "", "sinks[0].udp: has no meaning"),
    ] {
        let said = refused(sinks, http);
        assert!(said.contains(says), "{says}: {said}");
    }
}
