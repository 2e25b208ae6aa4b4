//! TensorRT for RTX: `nervelightd` and NVIDIA's own builder, on a machine without a GPU and with the stand-in of one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use nervelight_tests::fake_tensorrt::{self, compile, fetched};
use nervelight_tests::{Cart, Ended, program, root, run};
use tempfile::TempDir;

/// A cart with the demo model, and a stand-in of the driver.
struct Bench {
    cart: Cart,
    driver: TempDir,
}

impl Bench {
    fn new() -> Self {
        let cart = Cart::new(&format!(
            r#"
            source = {{ kind = "phantom", fps = 15 }}
            model = {{ bundle = '{}' }}
            http = {{ enabled = false }}
            sinks = [{{ kind = "null" }}]
            [engine]
            backend = "tensorrt-rtx"
            precision = "fp16"
            [engine.tensorrt]
            store = "engines"
            library = '{}'
            "#,
            root().join("engines/demo.bundle").display(),
            fetched("rtx").unwrap().display(),
        ))
        .unwrap();
        Self { cart, driver: fake_tensorrt::libraries().unwrap() }
    }

    /// Runs it with the stand-in of a GPU, or of none.
    fn run(&self, faults: &str, arguments: &[&str]) -> Ended {
        let mut command = Command::new(program("nervelightd").unwrap());
        command.args(arguments).args(["--config", "cart.toml"]).current_dir(self.cart.dir.path());
        command.env("LD_LIBRARY_PATH", self.driver.path()).env("NERVELIGHT_FAKE_TENSORRT", faults);
        run(&mut command).unwrap()
    }

    /// Builds where there is no driver at all.
    fn build(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(program("nervelightd").unwrap());
        command.args(["build", "--config", "cart.toml"]).args(arguments).current_dir(self.cart.dir.path());
        run(&mut command).unwrap()
    }

    fn plans(&self) -> usize {
        fs::read_dir(self.cart.path("engines")).map_or(0, |files| {
            files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "plan")).count()
        })
    }
}

#[test]
fn an_engine_is_built_ahead_and_found_by_the_gpu_that_it_is_for() {
    let bench = Bench::new();
    let built = bench.build(&["--compute-capability", "8.9"]);
    assert!(built.success && !built.stderr.contains("ERROR"), "{built:?}");
    let words = "fp16 engine for any GPU of compute capability 8.9 (TensorRT for RTX 1.7";
    assert!(built.stdout.contains(words) && !built.stdout.contains("built before"), "{built:?}");
    assert_eq!(bench.plans(), 1);
    let again = bench.build(&["--compute-capability", "8.9"]);
    assert!(again.success && again.stdout.contains("built before"), "{again:?}");
    assert!(bench.build(&["--compute-capability", "8.9", "--precision", "int8"]).success);
    assert_eq!(bench.plans(), 2);

    let check = bench.run("cc=89", &["check"]);
    assert!(check.success && check.stdout.contains("TensorRT for RTX 1.7"), "{check:?}");
    assert!(check.stdout.contains("Fake GPU, fp16, built before"), "{check:?}");
    let other = bench.run("cc=86", &["check"]);
    assert!(other.success && other.stdout.contains("not built yet"), "{other:?}");

    let listed = bench.run("cc=89", &["engines"]);
    assert_eq!(listed.stdout.matches(": good").count(), 2, "{listed:?}");
    let pruned = bench.run("cc=86", &["engines", "--prune"]);
    assert!(pruned.success && pruned.stdout.contains("of another GPU"), "{pruned:?}");
    assert_eq!(bench.plans(), 0);
}

#[test]
fn what_cannot_be_built_ahead_is_refused_with_what_to_do() {
    let bench = Bench::new();
    for (arguments, words) in [
        (&["--compute-capability", "9.0"][..], "builds nothing for compute capability 9.0. It knows 7.5"),
        (&["--compute-capability", "sm_89"], "builds nothing for compute capability sm_89"),
        (
            &["--compute-capability", "8.9", "--backend", "tensorrt"],
            "Only backend \"tensorrt-rtx\" can build ahead",
        ),
        (
            &["--compute-capability", "8.9", "--library", "/no/such/folder"],
            "libtensorrt_rtx.so.1 cannot be opened",
        ),
    ] {
        let refused = bench.build(arguments);
        assert!(!refused.success && refused.stderr.contains(words), "{arguments:?}: {refused:?}");
        assert!(!refused.stderr.contains("panicked"), "{refused:?}");
    }
    let nothing = bench.run("no_gpu", &["build"]);
    assert!(!nothing.success && nothing.stderr.contains("there is no GPU 0"), "{nothing:?}");
    assert_eq!(bench.plans(), 0);
}

/// One program holds the shim twice. Inline functions of the two libraries' headers are called alike and go through tables
/// of other layouts; a linker would keep one of each name.
#[test]
fn the_shims_for_both_libraries_share_no_function_of_theirs() {
    let shim = "../../engines/src/tensorrt/shim.cpp";
    let names = |include: &Path, flags: &[&str]| {
        let object = compile(include, &[shim], flags).unwrap();
        let listed = run(Command::new("nm").args(["--defined-only", "--extern-only"]).arg(object)).unwrap();
        assert!(listed.success, "{listed:?}");
        listed
            .stdout
            .lines()
            .filter_map(|l| Some(l.split(' ').next_back()?.to_owned()))
            .collect::<BTreeSet<_>>()
    };
    let flags = ["-Wall", "-Wextra", "-Werror", "-c"];
    let rtx = names(&fetched("rtx").unwrap().join("include"), &[&flags[..], &["-DNL_RTX"]].concat());
    for version in ["10.16", "11.4"] {
        let full = names(&fetched(version).unwrap(), &flags);
        let theirs = |name: &&String| name.contains("nvinfer1") || name.contains("nvonnxparser");
        assert!(full.iter().any(|name| theirs(&name)), "{version}: {full:?}");
        let shared: Vec<_> =
            full.intersection(&rtx).filter(|name| theirs(name) || name.contains("Opened")).collect();
        assert!(shared.is_empty(), "{version}: {shared:?}");
    }
}
