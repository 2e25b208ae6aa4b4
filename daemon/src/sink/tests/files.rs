//! Which file a recording writes, and what is in it.

use super::*;

#[test]
fn a_recording_without_a_frame_leaves_no_file() {
    let bench = Bench::new();
    for encoder in ["identity error-after=1 ! x264enc", "identity drop-probability=1 ! x264enc"] {
        for (overwrite, pushed) in [(false, 1), (false, 0), (true, 1)] {
            let path = bench.path("a.mp4");
            let encoder_of_its_own = Some(encoder.into());
            let sink = config::Sink::File(FileSettings {
                path,
                encoder: encoder_of_its_own,
                overwrite,
                ..Default::default()
            });
            let mut sink = bench.open(&sink).unwrap();
            (0..pushed).for_each(|n| push(&mut *sink, &bench.info, n));
            let status = finish(&mut *sink);
            assert_eq!(status.frames, 0, "{encoder}: {status:?}");
            assert!(names(bench.folder.path()).is_empty(), "{encoder}: {status:?}");
            let may_fail = encoder.contains("error-after") && pushed > 0;
            assert_eq!(status.failed.is_some(), may_fail, "{encoder}: {status:?}");
        }
    }
}

#[test]
fn a_recording_that_fails_keeps_its_frames() {
    let bench = Bench::new();
    for name in ["a.mp4", "a.mkv"] {
        let encoder = Some("identity error-after=31 ! x264enc tune=zerolatency".into());
        let path = bench.path(name);
        let sink = config::Sink::File(FileSettings { path, encoder, ..Default::default() });
        let mut sink = bench.open(&sink).unwrap();
        (0..60).for_each(|n| push(&mut *sink, &bench.info, n));
        let status = finish(&mut *sink);
        assert!(status.failed.is_some() && status.frames >= 25, "{status:?}");
        assert_eq!(units(&bench.path(name)).len() as u64, status.frames, "{status:?}");
    }
}

#[test]
fn two_recordings_never_share_a_file() {
    let bench = Bench::new();
    std::fs::write(bench.path("rec.mkv"), "old").unwrap();
    let mut sinks = ["rec.mkv", "rec-1.mkv"].map(|name| bench.recording(name));
    (1..3).for_each(|n| sinks.iter_mut().for_each(|sink| push(&mut **sink, &bench.info, n)));
    assert!(sinks.iter_mut().all(|sink| finish(&mut **sink).frames == 2));
    assert_eq!(names(bench.folder.path()), ["rec-1-1.mkv", "rec-1.mkv", "rec.mkv"]);
    assert_eq!(std::fs::read(bench.path("rec.mkv")).unwrap(), b"old");
    assert!(["rec-1.mkv", "rec-1-1.mkv"].iter().all(|name| units(&bench.path(name)).len() == 2));
}

#[test]
fn every_recording_begins_at_zero() {
    let bench = Bench::new();
    for name in ["a.mkv", "a.mp4"] {
        for (begin, name) in [(1, name.to_owned()), (790, name.replace('a', "b"))] {
            let mut sink = bench.recording(&name);
            (begin..begin + 5).for_each(|n| push(&mut *sink, &bench.info, n));
            assert_eq!(finish(&mut *sink).frames, 5);
            let times: Vec<_> = units(&bench.path(&name)).into_iter().map(|unit| unit.0).collect();
            assert_eq!(times, [0, 40, 80, 120, 160], "{name}");
        }
    }
}

#[test]
fn a_recording_whose_file_is_taken_away_fails_while_it_is_written() {
    let bench = Bench::new();
    let remove = |path: &Path| {
        std::fs::remove_file(path).unwrap();
        // Left there, it would keep the name from the next recording.
        std::fs::remove_file(bench.path("a.mp4.jsonl")).unwrap();
    };
    let replace = |path: &Path| {
        std::fs::write(path.with_extension("new"), "new").unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    };
    for take_away in [&remove as &dyn Fn(&Path), &replace] {
        let mut sink = bench.recording("a.mp4");
        (1..4).for_each(|n| push(&mut *sink, &bench.info, n));
        take_away(&bench.path("a.mp4"));
        let mut pushed = 3;
        let begun = Instant::now();
        while !sink.status().has_failed() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(40));
            pushed += 1;
            push(&mut *sink, &bench.info, pushed);
        }
        (0..5).for_each(|n| push(&mut *sink, &bench.info, pushed + 1 + n));
        let status = finish(&mut *sink);
        assert!(status.failed.unwrap().contains("removed or replaced"));
        assert_eq!(status.frames + status.dropped, pushed + 5, "every frame is counted");
        assert!(status.dropped_by.busy >= 5);
    }
    assert_eq!(std::fs::read(bench.path("a.mp4")).unwrap(), b"new", "what is not ours stays");
    assert!(!bench.path("a.mp4.jsonl").exists(), "and has no sidecar that says it is");
}
