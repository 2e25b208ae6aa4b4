//! A TensorRT engine takes minutes to build: the video goes on meanwhile, and so does the model that is shown.

use nervelight_tests::deploy::{api, deploy};
use nervelight_tests::fake_tensorrt::{bundle, libraries};
use nervelight_tests::wait_for;

use super::{Setting, Ward};

#[test]
fn an_engine_is_built_beside_the_video_and_can_be_given_up() {
    let engine = "{ backend = \"tensorrt\", precision = \"fp16\", tensorrt = { store = \"engines\" } }";
    let deploying = "{ probation_s = 1, probation_frames = 20, max_latency_factor = 1000 }";
    let mut ward = Ward::prepared(Setting { engine, deploy: deploying, ..Setting::default() });
    let make = |name: &str, content: &str| {
        let path = ward.cart.path(name);
        bundle(&path, &[("fp16.onnx", content)]).unwrap();
        path
    };
    make("first.tar", "fake:identity");
    let (second, third) = (make("2.tar", "fake:identity 2"), make("3.tar", "fake:identity 3"));
    let libraries = libraries().unwrap();
    let journal = ward.cart.path("journal");
    let start = |ward: &Ward, faults: &str| {
        let mut command = ward.cart.command("run").unwrap();
        command.env("LD_LIBRARY_PATH", libraries.path()).env("NERVELIGHT_FAKE_TENSORRT", faults);
        command.env("NERVELIGHT_FAKE_TENSORRT_JOURNAL", &journal);
        ward.cart.start_as(command).unwrap()
    };
    // The first engine is built at once, and comes from the engine store afterwards.
    ward.running = Some(start(&ward, ""));
    ward.until("the first engine", |s| s["ai"] == "on");
    ward.running.take().unwrap().terminate().unwrap();
    ward.running = Some(start(&ward, "slow_build=400"));
    let before =
        ward.until("the first engine again", |s| s["ai"] == "on" && s["frames_masked"].as_u64() > Some(30));

    assert_eq!(deploy(ward.port, &second).unwrap().0, 202);
    let building = ward.until_state(&["building"]);
    let s = ward.until("frames beside the build", |s| {
        s["frames_masked"].as_u64() > before["frames_masked"].as_u64().map(|n| n + 20)
    });
    assert_eq!((&s["ai"], &s["engine_generation"]), (&"on".into(), &1.into()), "{building:#}");
    let ended = ward.ended();
    assert_eq!(ended["state"], "kept", "{ended:#}");
    let built = ended["steps"].as_array().unwrap().iter().find(|step| step["state"] == "building").unwrap();
    assert!(built["seconds"].as_f64() > Some(0.4), "{built}");

    // Nobody has to wait for the end of a build.
    assert_eq!(deploy(ward.port, &third).unwrap().0, 202);
    ward.until_state(&["building"]);
    assert_eq!(api(ward.port, "POST", "/api/v1/models/rollback").unwrap().0, 200);
    let ended = ward.ended();
    assert_eq!(
        (&ended["state"], &ended["failed"]["gate"]),
        (&"failed".into(), &"operator".into()),
        "{ended:#}"
    );
    wait_for("the end of the build", || {
        std::fs::read_to_string(&journal).ok().filter(|text| text.contains("cancelled"))
    })
    .unwrap();
    assert_eq!(ward.stop()["dropped"], 0);
}
