//! Compiles the shim over the headers of TensorRT and of TensorRT for RTX, where a feature asks for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "nvidia")]
    shim::compile();
}

#[cfg(feature = "nvidia")]
mod shim {
    use std::env;
    use std::path::{Path, PathBuf};

    const SHIM: &str = "src/tensorrt";

    /// A library to compile the shim for.
    struct Target {
        /// The feature that asks for it, as cargo hands it to build scripts.
        feature: &'static str,
        /// What it is called, oldest version included.
        name: &'static str,
        /// The variable that names the folder of its headers.
        variable: &'static str,
        /// Where packages and archives put them.
        places: &'static [&'static str],
        /// The headers, each with what holds it.
        headers: [(&'static str, &'static str); 2],
        /// What comes out.
        archive: &'static str,
        /// What the shim's source is told.
        define: Option<&'static str>,
    }

    const TARGETS: [Target; 2] = [
        Target {
            feature: "CARGO_FEATURE_TENSORRT",
            name: "TensorRT 10.3 or later",
            variable: "TENSORRT_INCLUDE_DIR",
            places: &[
                "/usr/include/aarch64-linux-gnu",
                "/usr/include/x86_64-linux-gnu",
                "/usr/include",
                "/usr/local/tensorrt/include",
                "/usr/local/TensorRT/include",
                "/opt/tensorrt/include",
            ],
            // JetPack's packages.
            headers: [
                (
                    "NvInfer.h",
                    "`apt-get install libnvinfer-headers-dev libnvinfer-dev` on JetPack or with NVIDIA's package source",
                ),
                (
                    "NvOnnxParser.h",
                    "`apt-get install libnvonnxparsers-dev` on JetPack or with NVIDIA's package source",
                ),
            ],
            archive: "nervelight_tensorrt",
            define: None,
        },
        Target {
            feature: "CARGO_FEATURE_TENSORRT_RTX",
            name: "TensorRT for RTX 1.7 or later",
            variable: "TENSORRT_RTX_INCLUDE_DIR",
            places: &["/opt/tensorrt-rtx/include", "/usr/local/tensorrt-rtx/include"],
            headers: [
                ("NvInfer.h", "Unpack NVIDIA's archive of TensorRT for RTX there"),
                ("NvOnnxParser.h", "Unpack NVIDIA's archive of TensorRT for RTX there"),
            ],
            archive: "nervelight_tensorrt_rtx",
            define: Some("NL_RTX"),
        },
    ];

    pub fn compile() {
        for file in ["shim.cpp", "shim.h", "include/cuda_runtime_api.h"] {
            println!("cargo:rerun-if-changed={SHIM}/{file}");
        }
        for target in TARGETS {
            println!("cargo:rerun-if-env-changed={}", target.variable);
            if env::var_os(target.feature).is_some() {
                target.compile();
            }
        }
    }

    impl Target {
        fn compile(&self) {
            // A folder that somebody named is the only one looked at.
            let places: Vec<PathBuf> = match env::var_os(self.variable).filter(|dir| !dir.is_empty()) {
                Some(dir) => vec![dir.into()],
                None => self.places.iter().map(PathBuf::from).collect(),
            };
            let mut build = cc::Build::new();
            build.cpp(true).std("c++17").file(format!("{SHIM}/shim.cpp")).warnings(true).extra_warnings(true);
            if let Some(define) = self.define {
                build.define(define, None);
            }
            // Ours first: see the file. System folders, so that only our own lines are warned of.
            build.flag("-isystem").flag(format!("{SHIM}/include"));
            for (header, remedy) in self.headers {
                let Some(folder) = places.iter().find(|place| place.join(header).is_file()) else {
                    self.fail(header, remedy, &places);
                };
                println!("cargo:rerun-if-changed={}", folder.join(header).display());
                if folder != Path::new("/usr/include") {
                    build.flag("-isystem").flag(folder);
                }
            }
            build.compile(self.archive);
        }

        fn fail(&self, header: &str, remedy: &str, places: &[PathBuf]) -> ! {
            let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            println!(
                "cargo::error={header} of {} is in none of: {}. {remedy}, or set {} to the folder that holds it; without \
                 the feature nervelightd runs ONNX Runtime",
                self.name,
                places.join(", "),
                self.variable,
            );
            std::process::exit(1);
        }
    }
}
