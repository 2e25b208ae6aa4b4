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
            ("lock", &[]),
            ("redact", &["lock"]),
            ("log", &["redact"]),
            ("control", &[]),
            ("exit", &[]),
            ("frame", &[]),
            ("pipeline", &["exit", "lock"]),
            ("secret", &["redact"]),
            ("writable", &[]),
            ("config", &["redact"]),
            ("igtl", &[]),
            ("tls", &["config", "lock", "secret"]),
            ("source", &["config", "frame", "igtl", "lock", "pipeline", "redact", "secret"]),
            ("model", &["config"]),
            ("infer", &["exit", "frame"]),
            ("harvest", &["config", "control", "infer", "lock"]),
            ("sink", &["config", "frame", "igtl", "lock", "pipeline", "secret", "tls", "writable"]),
            ("status", &["config", "frame", "harvest", "lock", "redact", "sink", "source"]),
            ("deploy", &["config", "infer", "status"]),
            ("path", &["config", "frame", "infer", "sink", "source", "status"]),
            ("upload", &["lock"]),
            ("web", &["config", "control", "lock", "redact", "secret", "sink", "status", "tls", "upload"]),
            ("follow", &["config", "control", "redact", "status"]),
            ("client", &["lock"]),
            (
                "supervise",
                &[
                    "config", "control", "deploy", "follow", "frame", "harvest", "infer", "model", "path",
                    "pipeline", "sink", "source", "status", "upload", "web",
                ],
            ),
            (
                "cmd",
                &[
                    "client",
                    "config",
                    "exit",
                    "frame",
                    "harvest",
                    "infer",
                    "model",
                    "path",
                    "redact",
                    "secret",
                    "sink",
                    "source",
                    "status",
                    "supervise",
                    "tls",
                    "web",
                    "writable",
                ],
            ),
        ],
    },
    Crate {
        folder: "engines",
        rooms: &[
            ("contract", &[]),
            ("say", &[]),
            ("telemetry", &[]),
            ("digest", &[]),
            ("components", &[]),
            ("library", &[]),
            ("processor", &[]),
            ("probation", &[]),
            ("name", &[]),
            ("precision", &["name"]),
            ("settings", &[]),
            ("steady", &["contract"]),
            // The store of models opens bundles; what writes and unpacks files knows nothing of them.
            ("store", &["bundle", "digest", "precision"]),
            ("bundle", &["contract", "digest", "precision", "say", "store"]),
            ("engine", &["bundle", "contract", "name", "precision"]),
            ("golden", &["bundle", "components", "contract", "engine", "processor"]),
            ("onnx", &["bundle", "contract", "engine", "library", "precision"]),
            ("openvino", &["bundle", "contract", "engine", "library", "precision"]),
            (
                "tensorrt",
                &[
                    "bundle",
                    "contract",
                    "digest",
                    "engine",
                    "golden",
                    "library",
                    "open",
                    "precision",
                    "store",
                ],
            ),
            ("open", &["bundle", "engine", "golden", "onnx", "openvino", "precision", "tensorrt"]),
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
    Crate {
        folder: "trainer",
        rooms: &[
            ("util", &[]),
            ("net", &[]),
            ("data", &["util"]),
            ("weights", &["net", "util"]),
            ("metrics", &["data", "net", "util"]),
            ("train", &["data", "metrics", "net", "util", "weights"]),
            ("evaluate", &["data", "metrics", "train", "util"]),
            ("report", &["evaluate", "metrics", "train", "util"]),
            ("compare", &["metrics", "report", "util"]),
            ("analyze", &["data", "report", "util"]),
            ("export", &["data", "evaluate", "metrics", "net", "util", "weights"]),
            ("phantom", &["util"]),
            ("sign", &[]),
            ("import", &["data", "util"]),
            (
                "cmd",
                &[
                    "analyze", "compare", "data", "evaluate", "export", "import", "metrics", "net",
                    "phantom", "report", "sign", "train", "util", "weights",
                ],
            ),
        ],
    },
    Crate {
        folder: "cine",
        rooms: &[
            ("error", &[]),
            ("attributes", &["error"]),
            ("subject", &["attributes"]),
            ("syntax", &["error"]),
            ("times", &["attributes"]),
            ("region", &["attributes"]),
            ("layout", &["error"]),
            ("rle", &[]),
            ("jpeg", &[]),
            ("grey", &["attributes", "error"]),
            ("luma", &[]),
            ("palette", &["attributes", "error", "luma"]),
            ("colour", &["attributes", "error", "grey", "luma", "palette"]),
            ("header", &["attributes", "error", "syntax"]),
            ("video", &["layout", "syntax"]),
            (
                "cine",
                &[
                    "attributes",
                    "colour",
                    "error",
                    "grey",
                    "header",
                    "jpeg",
                    "layout",
                    "region",
                    "rle",
                    "subject",
                    "syntax",
                    "times",
                    "video",
                ],
            ),
        ],
    },
    Crate {
        folder: "registry",
        rooms: &[
            ("error", &[]),
            ("place", &["error"]),
            ("credentials", &["error"]),
            ("artifact", &["error"]),
            ("verdict", &["artifact", "place"]),
            ("layout", &["artifact", "error"]),
            ("client", &["artifact", "credentials", "error", "place", "verdict"]),
        ],
    },
    Crate {
        folder: "web",
        rooms: &[
            ("problem", &[]),
            ("guard", &["problem"]),
            ("watched", &[]),
            ("serve", &["guard", "watched"]),
        ],
    },
    Crate {
        folder: "tests",
        rooms: &[
            ("access", &["web"]),
            ("browser", &["web"]),
            ("onnx", &[]),
            ("bundles", &["onnx"]),
            ("clock", &[]),
            ("web", &[]),
            ("deploy", &["web"]),
            ("fake_tensorrt", &[]),
            ("igtl", &[]),
            ("proof", &[]),
            ("registry", &[]),
            ("rtsp", &[]),
            ("rtsp_server", &[]),
            ("screen", &[]),
            ("video", &[]),
            ("whep", &[]),
        ],
    },
];

/// A crate, a file of it and another that it names in a circle, and why that is so.
pub const CYCLES: &[(&str, &str, &str, &str)] =
    &[("phantom", "paint.rs", "section.rs", "paints a section's structures, which own their brushes")];

/// Lines of a file, at most.
pub const LONGEST: usize = 400;

/// Files that are longer, and why.
pub const LONG: &[(&str, &str)] = &[
    ("engines/tests/signed.rs", "a list of bad bundles"),
    ("tests/tests/bad_input.rs", "a list of bad inputs"),
    ("tests/tests/tensorrt.rs", "a list of what a builder may do"),
];

/// Files that docs name and that are gone. The docs follow; nothing is to be added here.
pub const GONE: &[&str] = &[];
