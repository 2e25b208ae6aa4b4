//! Compiles the shim over TensorRT's headers, where the feature asks for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "tensorrt")]
    shim::compile();
}

#[cfg(feature = "tensorrt")]
mod shim {
    use std::env;
    use std::path::{Path, PathBuf};

    const SHIM: &str = "src/tensorrt";
    /// The headers, each with the Debian packages (JetPack's names) that hold it.
    const HEADERS: [(&str, &str); 2] =
        [("NvInfer.h", "libnvinfer-headers-dev libnvinfer-dev"), ("NvOnnxParser.h", "libnvonnxparsers-dev")];
    /// Where packages and archives put them.
    const PLACES: [&str; 6] = [
        "/usr/include/aarch64-linux-gnu",
        "/usr/include/x86_64-linux-gnu",
        "/usr/include",
        "/usr/local/tensorrt/include",
        "/usr/local/TensorRT/include",
        "/opt/tensorrt/include",
    ];

    pub fn compile() {
        for file in ["shim.cpp", "shim.h", "include/cuda_runtime_api.h"] {
            println!("cargo:rerun-if-changed={SHIM}/{file}");
        }
        println!("cargo:rerun-if-env-changed=TENSORRT_INCLUDE_DIR");
        // A folder that somebody named is the only one looked at.
        let places: Vec<PathBuf> = match env::var_os("TENSORRT_INCLUDE_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => vec![dir.into()],
            None => PLACES.iter().map(PathBuf::from).collect(),
        };
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").file(format!("{SHIM}/shim.cpp")).warnings(true).extra_warnings(true);
        // Ours first: see the file. System folders, so that only our own lines are warned of.
        build.flag("-isystem").flag(format!("{SHIM}/include"));
        for (header, package) in HEADERS {
            let Some(folder) = places.iter().find(|place| place.join(header).is_file()) else {
                fail(header, package, &places);
            };
            println!("cargo:rerun-if-changed={}", folder.join(header).display());
            if folder != Path::new("/usr/include") {
                build.flag("-isystem").flag(folder);
            }
        }
        build.compile("nervelight_tensorrt");
    }

    fn fail(header: &str, package: &str, places: &[PathBuf]) -> ! {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        println!(
            "cargo::error=feature `tensorrt` needs {header} of TensorRT 10.3 or later, which is in none of: {}. \
             `apt-get install {package}` on JetPack or with NVIDIA's package source, or set TENSORRT_INCLUDE_DIR to \
             the folder that holds it; without the feature nervelightd runs ONNX Runtime",
            places.join(", ")
        );
        std::process::exit(1);
    }
}
