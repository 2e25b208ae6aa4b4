//! What is kept, where, and what happens when that is not possible.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use nervelight_tests::browser::Browser;
use nervelight_tests::web::{ask, request, status};
use nervelight_tests::{free_port, wait_for};

use super::{ALL, cart, command, count, export, files, harvest, items};

const PHANTOM: &str = "{ kind = \"phantom\", fps = 30, seed = 7 }";
const FLAG: &str = "/api/v1/harvest/flag";

#[test]
fn moments_are_kept_flagged_exported_and_a_restart_goes_on() {
    let port = free_port().unwrap();
    let cart = cart(port, PHANTOM, ALL);
    let running = cart.start().unwrap();
    harvest(port, "crops", |h| count(&h["kept"]["uncertain"]) >= 4);
    request(port, "POST", FLAG, "{\"reason\": \"missed_nerve\"}").expect("it is flagged");
    let kept = harvest(port, "flagged ones", |h| count(&h["kept"]["flagged"]) >= 2);
    assert!(
        count(&kept["items"]) >= 6 && count(&kept["bytes"]) > 100_000 && kept["failed"].is_null(),
        "{kept}"
    );
    // No free text: people write names into texts.
    for bad in ["{\"reason\": \"Mr X, bed 4\"}", "{\"note\": \"Mr X\"}", "{"] {
        assert!(request(port, "POST", FLAG, bad).is_none(), "{bad}");
    }
    let metrics = String::from_utf8(request(port, "GET", "/metrics", "").unwrap()).unwrap();
    for line in [
        "nervelight_harvest_kept_total{why=\"flagged\"}",
        "nervelight_harvest_bytes",
        "nervelight_harvest_lost_total",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);

    let to = cart.path("export");
    let said = export(&cart, &to);
    let before = items(&to);
    assert!(before.len() as u64 >= 6 && said.starts_with(&format!("{} new items", before.len())), "{said}");
    for item in &before {
        assert_eq!((&item["schema"], &item["width"], &item["height"]), (&1.into(), &576.into(), &416.into()));
        assert!(
            item["model"]["digest"].as_str().unwrap().len() == 64 && item["source"] == "phantom",
            "{item}"
        );
        let name = format!("{}_{}.png", item["case"].as_str().unwrap(), item["item"].as_str().unwrap());
        for folder in ["crops", "maps"] {
            let picture = image::open(to.join(folder).join(&name)).unwrap();
            assert_eq!(
                (picture.width(), picture.height(), picture.color()),
                (576, 416, image::ColorType::L8)
            );
        }
    }
    let cases = |items: &[serde_json::Value]| -> BTreeSet<String> {
        items.iter().map(|item| item["case"].to_string()).collect()
    };
    assert_eq!(cases(&before).len(), 1);
    let flagged: Vec<_> = before.iter().filter(|item| item["why"] == "flagged").collect();
    assert!(
        flagged.iter().all(|item| item["reason"] == "missed_nerve" && item["event"] == flagged[0]["event"])
    );

    // Again nothing is new; a picture that was lost on the way comes again.
    fs::remove_file(files(&to.join("crops"))[0].clone()).unwrap();
    assert!(export(&cart, &to).starts_with("0 new items"));
    assert_eq!(files(&to.join("crops")).len(), before.len());

    // What a power cut left of one is gone after a restart, and the patient is the same.
    let case = fs::read_dir(cart.path("harvest")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.is_dir().then_some(path)
    });
    let half = case.unwrap().join(".new-1764322222-auto-9f3c21ab0d4e7756");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("crop.png"), "half").unwrap();
    let running = cart.start().unwrap();
    harvest(port, "more crops", |h| count(&h["items"]) > before.len() as u64);
    assert!(running.terminate().unwrap().success && !half.exists());
    export(&cart, &to);
    assert!(items(&to).len() > before.len());
    assert_eq!(cases(&items(&to)), cases(&before), "a restart makes no patient another one");
    let listed = command(&["list", "--config", cart.path("cart.toml").to_str().unwrap()]);
    assert!(listed.stdout.contains("flagged (missed_nerve)"), "{}{}", listed.stdout, listed.stderr);
    let none = command(&["list", "--path", cart.path("nowhere").to_str().unwrap()]);
    assert!(!none.success && none.stderr.contains("harvest.path"), "{}", none.stderr);
}

#[test]
fn the_page_says_that_crops_are_kept_and_keeps_a_moment_on_demand() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let port = free_port().unwrap();
    let cart = cart(port, PHANTOM, "uncertainty = 1.0\narea_jump = 1.0");
    let _running = cart.start().unwrap();
    wait_for("the page", || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).unwrap();
    browser.go(&format!("http://127.0.0.1:{port}/")).unwrap();
    browser.see("#harvest-says", "0 kept for training").unwrap();
    browser.see("#state", "AI on").unwrap();
    browser.keep("harvest.png").unwrap();
    browser.press("k").unwrap();
    browser.see("#harvest-says", "Flagged. Two seconds are kept.").unwrap();
    harvest(port, "the moment", |h| count(&h["kept"]["flagged"]) >= 2);
    browser.run("document.getElementById('flag-why').value = 'wrong_outline'").unwrap();
    browser.click("#flag").unwrap();
    browser.see("#harvest-says", "Flagged: wrong outline").unwrap();
    browser.see("#harvest-says", " kept for training").unwrap();
    browser.size(390, 844).unwrap();
    browser.keep("harvest-phone.png").unwrap();
}

#[test]
fn nothing_is_kept_unless_somebody_wants_it() {
    let port = free_port().unwrap();
    let cart = nervelight_tests::browser::cart(port, "{ kind = \"null\" }").unwrap();
    let _running = cart.start().unwrap();
    let found = wait_for("frames", || status(port).filter(|s| count(&s["frames_out"]) > 5)).unwrap();
    assert!(found["harvest"].is_null(), "{found}");
    let (host, origin) = (format!("Host: localhost:{port}"), format!("Origin: http://localhost:{port}"));
    let answer = ask(port, "POST", FLAG, &[&host, &origin], "{\"reason\": \"unspecified\"}").unwrap();
    assert!(answer.status == 404 && answer.text().contains("harvest.path"), "{}", answer.text());
}

#[test]
fn the_video_goes_on_while_the_folder_is_gone_or_full() {
    let port = free_port().unwrap();
    let cart = cart(port, PHANTOM, ALL);
    let running = cart.start().unwrap();
    harvest(port, "crops", |h| count(&h["items"]) >= 2);
    let away = cart.path("away");
    fs::rename(cart.path("harvest"), &away).unwrap();
    // Something that is no folder lies there now.
    fs::write(cart.path("harvest"), "").unwrap();
    let failed = harvest(port, "the failure", |h| h["failed"].is_string());
    assert!(failed["failed"].as_str().unwrap().contains("harvest.path"), "{failed}");
    let shown = |port| count(&status(port).unwrap()["frames_out"]);
    let before = shown(port);
    std::thread::sleep(Duration::from_secs(1));
    assert!(shown(port) > before + 5, "the video goes on");
    let lost = harvest(port, "what is lost", |h| count(&h["lost"]) > 0);
    assert!(lost["failed"].is_string(), "{lost}");
    fs::remove_file(cart.path("harvest")).unwrap();
    fs::rename(&away, cart.path("harvest")).unwrap();
    let again = harvest(port, "crops again", |h| h["failed"].is_null());
    harvest(port, "more of them", |h| count(&h["items"]) > count(&again["items"]));

    // A full disk, which only root can mount.
    let full = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=100k", "none"])
        .arg(cart.path("harvest"))
        .output();
    if full.is_ok_and(|output| output.status.success()) {
        let failed = harvest(port, "the full disk", |h| h["failed"].is_string());
        let before = shown(port);
        std::thread::sleep(Duration::from_secs(1));
        let after = shown(port);
        let _ = Command::new("umount").arg("-l").arg(cart.path("harvest")).status();
        assert!(after > before + 5, "the video goes on: {failed}");
        harvest(port, "crops on the disk below", |h| h["failed"].is_null());
    }
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let said = ended.stderr.matches("no crop is kept").count();
    assert!((1..=2).contains(&said), "once for each failure: {}", ended.stderr);
}
