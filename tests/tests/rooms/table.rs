//! What the rules allow.

/// One crate: its folder, and its rooms (the modules below its root) with the other rooms that each may use.
pub struct Crate {
    pub folder: &'static str,
    pub rooms: &'static [(&'static str, &'static [&'static str])],
}

/// Values come first, then those who know them; nobody knows who comes later.
pub const CRATES: &[Crate] = &[
    Crate {
        folder: "daemon",
        rooms: &[
            ("redact", &[]),
            ("log", &["redact"]),
            ("frame", &[]),
            ("pipeline", &[]),
            ("config", &["redact"]),
            ("source", &["config", "frame", "pipeline"]),
            ("infer", &[]),
            ("sink", &["config", "pipeline", "status"]),
            ("status", &["config", "redact", "sink"]),
            ("path", &["config", "frame", "infer", "sink", "status"]),
            ("web", &["sink", "status"]),
            ("supervise", &["config", "frame", "infer", "path", "sink", "source", "status", "web"]),
            (
                "cmd",
                &[
                    "config",
                    "frame",
                    "infer",
                    "path",
                    "redact",
                    "sink",
                    "source",
                    "status",
                    "supervise",
                    "web",
                ],
            ),
        ],
    },
    Crate {
        folder: "engines",
        rooms: &[
            ("contract", &[]),
            ("say", &[]),
            ("settings", &[]),
            ("library", &[]),
            ("processor", &[]),
            ("regions", &[]),
            ("bundle", &["contract", "golden", "say"]),
            ("golden", &["bundle", "contract", "engine", "processor", "regions"]),
            ("engine", &["bundle", "contract", "golden", "onnx", "openvino", "tensorrt"]),
            ("onnx", &["bundle", "contract", "engine", "library"]),
            ("openvino", &["bundle", "contract", "engine", "library"]),
            ("tensorrt", &["bundle", "contract", "engine", "golden"]),
        ],
    },
    Crate {
        folder: "phantom",
        rooms: &[
            ("rng", &[]),
            ("motion", &["rng"]),
            ("nerve", &["rng"]),
            ("anatomy", &["nerve", "rng"]),
            ("paint", &["anatomy", "motion", "rng", "section"]),
            ("section", &["anatomy", "motion", "paint", "rng"]),
            ("beam", &["motion", "section"]),
            ("settings", &["beam", "rng"]),
            ("scanner", &["beam", "motion", "rng", "section", "settings"]),
            ("tests", &[]),
        ],
    },
    Crate { folder: "web", rooms: &[("guard", &[]), ("watched", &[]), ("serve", &["guard", "watched"])] },
    Crate { folder: "tests", rooms: &[("browser", &[]), ("double", &[]), ("video", &[]), ("web", &[])] },
];

/// A crate, a file of it and another that it names in a circle, and why that is so.
pub const CYCLES: &[(&str, &str, &str, &str)] = &[
    (
        "daemon",
        "sink/preview.rs",
        "status/mod.rs",
        "a picture leaves with its frame's state; to be separated",
    ),
    ("daemon", "source/colour.rs", "source/gstreamer.rs", "caps that both write; to be separated"),
    ("engines", "bundle/draft.rs", "golden.rs", "to be separated"),
    ("engines", "bundle/mod.rs", "golden.rs", "to be separated"),
    ("engines", "engine.rs", "golden.rs", "opening a proven engine; to be separated"),
    ("engines", "engine.rs", "onnx.rs", "opening a backend; to be separated"),
    ("engines", "engine.rs", "openvino.rs", "opening a backend; to be separated"),
    ("engines", "engine.rs", "tensorrt/mod.rs", "opening a backend; to be separated"),
    ("phantom", "paint.rs", "section.rs", "paints a section's structures, which own their brushes"),
];

/// Lines of a file, at most.
pub const LONGEST: usize = 400;

/// Files that are longer, and why.
pub const LONG: &[(&str, &str)] = &[
    ("tests/tests/bad_input.rs", "a list of bad inputs"),
    ("tests/tests/tensorrt.rs", "a list of what a builder may do"),
    ("engines/src/tensorrt/ffi.rs", "to be split"),
    ("engines/src/tensorrt/store.rs", "to be split"),
    ("engines/src/settings.rs", "to be split"),
    ("daemon/src/path/mod.rs", "to be split"),
    ("daemon/src/sink/mod.rs", "to be split"),
    ("daemon/src/source/gstreamer.rs", "to be split"),
    ("daemon/src/supervise/mod.rs", "to be split"),
    ("trainer/src/data/corrections.rs", "to be split"),
    ("trainer/src/data/dataset.rs", "to be split"),
    ("trainer/src/onnx/int8.rs", "to be split"),
    ("trainer/src/train.rs", "to be split"),
];

/// Files that docs name and that are gone. The docs follow; nothing is to be added here.
pub const GONE: &[&str] = &["capture.rs", "infer.rs", "stream.rs", "way.rs"];
