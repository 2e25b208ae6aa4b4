//! Every frame that went out is in every recording, whatever times it came with, and looks as it came.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use nervelight_tests::Cart;
use nervelight_tests::video::decode;

fn ffmpeg(arguments: &str, out: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(out)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "ffmpeg {arguments}");
}

/// Greys from black to white, 16 columns each.
fn ramp() -> Vec<u8> {
    (0..416).flat_map(|_| (0..576).map(|x| (x / 16 * 255 / 35) as u8)).collect()
}

#[test]
fn a_grey_is_the_same_grey_in_every_range_and_container() {
    let dir = tempfile::tempdir().unwrap();
    let grey = dir.path().join("ramp.gray");
    std::fs::write(&grey, ramp().repeat(3)).unwrap();
    let named = "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m";
    for (range, scaled) in [("pc", "full"), ("tv", "limited")] {
        for (codec, colours) in [
            ("libx264 -qp 0", named),
            ("libx264 -qp 0", ""),
            ("libx265 -x265-params lossless=1:log-level=none", named),
        ] {
            for container in ["mp4", "mkv"] {
                let what = format!("{range} {codec} {colours} {container}");
                let path = dir.path().join(format!("ramp.{container}"));
                ffmpeg(
                    &format!(
                        "-f rawvideo -pix_fmt gray -s 576x416 -r 25 -i {} \
                         -vf scale=in_range=full:out_range={scaled},format=yuv420p -color_range {range} {colours} \
                         -c:v {codec}",
                        grey.display()
                    ),
                    &path,
                );
                let cart = Cart::new(&format!(
                    r#"
                    source = {{ kind = "file", path = "{}" }}
                    model = {{ bundle = "BUNDLE" }}
                    http = {{ enabled = false }}
                    overlay = {{ enabled = false }}
                    [[sinks]]
                    kind = "file"
                    path = "out.mkv"
                    encoder = "x264enc pass=quant quantizer=0"
                    "#,
                    path.display()
                ))
                .unwrap();
                let ended = cart.run("run").unwrap();
                assert!(ended.success, "{what}: {}", ended.stderr);
                // What the crop is expanded by follows from the range that the frames have in the daemon.
                let pictures = decode(&cart.path("out.mkv")).unwrap();
                assert_eq!(pictures.len(), 3, "{what}");
                let grey = |luma: u8| match pictures[0].full_range {
                    true => f32::from(luma),
                    false => (f32::from(luma) - 16.0) * 255.0 / 219.0,
                };
                let off = pictures[0].luma.iter().zip(ramp()).map(|(&l, r)| (grey(l) - f32::from(r)).abs());
                let worst = off.fold(0.0, f32::max);
                assert!(worst < 1.5, "{what}: a grey is off by {worst}");
            }
        }
    }
}
