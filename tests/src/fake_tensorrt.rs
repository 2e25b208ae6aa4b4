//! The stand-in for CUDA's driver, its measuring library and TensorRT, compiled from `tests/fake_tensorrt` and TensorRT's own headers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use libloading::Library;
use nervelight_engines::bundle::{Draft, Manifest};
use nervelight_engines::digest::sha256;
use nervelight_engines::golden::Golden;
use nervelight_engines::{Bundle, plane};

use crate::root;

/// TensorRT's abstract implementation classes that the stand-in implements.
const CLASSES: [&str; 9] = [
    "HostMemory",
    "Tensor",
    "NetworkDefinition",
    "TimingCache",
    "BuilderConfig",
    "Builder",
    "ExecutionContext",
    "CudaEngine",
    "Runtime",
];

/// What `setup.sh test` fetched: a folder by version, and `lean`.
///
/// # Errors
/// When it has not run.
pub fn fetched(name: &str) -> Result<PathBuf> {
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).context("no HOME")?;
    let folder = cache.join("nervelight/tensorrt").join(name);
    ensure!(folder.is_dir(), "{} is missing: run ./setup.sh test", folder.display());
    Ok(folder)
}

/// The headers that this program was compiled with.
///
/// # Errors
/// When there are none.
pub fn headers() -> Result<PathBuf> {
    match option_env!("TENSORRT_INCLUDE_DIR") {
        Some(folder) => Ok(folder.into()),
        None => bail!("these tests are built by `make test`, which sets TENSORRT_INCLUDE_DIR"),
    }
}

/// Compiles with TensorRT's headers in `include`; `fake_tensorrt` beside the test programs keeps what came out, by content.
///
/// # Errors
/// What the compiler says.
pub fn compile(include: &Path, sources: &[&str], flags: &[&str]) -> Result<PathBuf> {
    let sources_at = root().join("tests/fake_tensorrt");
    let shim = root().join("engines/src/tensorrt");
    let stubs = stubs(include)?;
    let mut content = format!("{flags:?}{stubs}{}", include.display()).into_bytes();
    for file in
        sources.iter().map(|s| sources_at.join(s)).chain([sources_at.join("fake.h"), shim.join("shim.h")])
    {
        content.extend(fs::read(&file).with_context(|| file.display().to_string())?);
    }
    let folder = std::env::current_exe()?.with_file_name("fake_tensorrt");
    let out = folder.join(sha256(&content));
    if out.exists() {
        return Ok(out);
    }
    fs::create_dir_all(&folder)?;
    let work = tempfile::tempdir_in(&folder)?;
    fs::write(work.path().join("stubs.h"), stubs)?;
    let made = work.path().join("out");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(compiler);
    command.arg("-std=c++17").args(flags);
    command.arg("-isystem").arg(shim.join("include")).arg("-isystem").arg(include);
    command.arg("-I").arg(work.path()).arg("-I").arg(&sources_at);
    command.args(sources.iter().map(|s| sources_at.join(s))).arg("-o").arg(&made);
    let ended = crate::run(&mut command)?;
    ensure!(ended.success && ended.stderr.is_empty(), "{command:?}\n{}", ended.stderr);
    // The first one stays: another test that has it open must find the same file under every name.
    match fs::hard_link(made, &out) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e.into()),
        _ => Ok(out),
    }
}

/// For each of the abstract classes a `Stub` whose every function ends the process.
fn stubs(include: &Path) -> Result<String> {
    let read =
        |name: &str| fs::read_to_string(include.join(name)).with_context(|| include.display().to_string());
    let (impls, parser) = (read("NvInferImpl.h")?, read("NvOnnxParser.h")?);
    let mut text = String::from("namespace nvinfer1::apiv {\n");
    for class in CLASSES {
        text += &stub(&impls, &format!("V{class}"), &format!("Stub{class}"))?;
    }
    text += "}\nnamespace nvonnxparser {\n";
    text += &stub(&parser, "IParser", "StubIParser")?;
    Ok(text + "}\n")
}

fn stub(header: &str, class: &str, name: &str) -> Result<String> {
    let begin = [format!("class {class}\n"), format!("class {class} :")];
    let at = begin.iter().find_map(|b| header.find(b)).with_context(|| format!("no {class}"))?;
    let body = header[at..].split_once('{').and_then(|(_, rest)| rest.split_once("\n};"));
    let (body, _) = body.with_context(|| format!("no end of {class}"))?;
    let code: Vec<&str> = body
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .filter(|line| !line.contains("virtual ~"))
        .collect();
    let body = code.join("\n").replace("virtual ", "").replace("= 0;", "override { unexpected(__func__); }");
    Ok(format!("struct {name} : {class} {{{body}\n}};\n"))
}

/// A folder with `libcuda.so`, `libnvidia-ml.so.1`, `libnvinfer.so.N` and `libnvonnxparser.so.N`, which are one file:
/// for `LD_LIBRARY_PATH`, or `engine.tensorrt.library`.
///
/// # Errors
/// When it cannot be compiled.
pub fn libraries() -> Result<tempfile::TempDir> {
    let flags = ["-shared", "-fPIC", "-O1", "-Wno-deprecated-declarations", "-Wl,-soname,libcuda.so"];
    let library = compile(&headers()?, &["cuda.cpp", "nvml.cpp", "tensorrt.cpp"], &flags)?;
    let folder = tempfile::tempdir()?;
    let stems = ["libnvinfer", "libnvonnxparser"];
    let versioned = stems.iter().flat_map(|stem| [10, 11].map(|major| format!("{stem}.so.{major}")));
    for name in versioned.chain(["libcuda.so", "libcuda.so.1", "libnvidia-ml.so.1"].map(String::from)) {
        symlink(&library, folder.path().join(name))?;
    }
    Ok(folder)
}

/// The stand-in, loaded into this process before anything asks for the real libraries.
pub struct FakeTensorrt {
    library: Library,
    /// The folder of its libraries.
    pub folder: tempfile::TempDir,
}

impl FakeTensorrt {
    /// Loads it with these faults.
    ///
    /// # Errors
    /// When it cannot be compiled or loaded.
    pub fn load(faults: &str) -> Result<Self> {
        let folder = libraries()?;
        // SAFETY: our own library; its initialisers only set up globals.
        let library = unsafe { Library::new(folder.path().join("libcuda.so"))? };
        let fake = Self { library, folder };
        fake.set(faults)?;
        Ok(fake)
    }

    /// Replaces the faults: names with commas between.
    ///
    /// # Errors
    /// Never in fact.
    pub fn set(&self, faults: &str) -> Result<()> {
        let faults = CString::new(faults)?;
        // SAFETY: type as declared in fake.h; the text is copied.
        unsafe { self.library.get::<unsafe extern "C" fn(*const c_char)>(b"fake_set")?(faults.as_ptr()) };
        Ok(())
    }

    /// What was called since the last time.
    ///
    /// # Errors
    /// Never in fact.
    pub fn journal(&self) -> Result<String> {
        // SAFETY: type as declared in fake.h; the text lives until the next call.
        unsafe {
            let journal = self.library.get::<unsafe extern "C" fn() -> *const c_char>(b"fake_journal")?;
            Ok(CStr::from_ptr(journal()).to_string_lossy().into_owned())
        }
    }

    /// Objects and allocations that are alive.
    ///
    /// # Errors
    /// Never in fact.
    pub fn alive(&self) -> Result<i32> {
        // SAFETY: type as declared in fake.h.
        Ok(unsafe { self.library.get::<unsafe extern "C" fn() -> c_int>(b"fake_alive")?() })
    }
}

/// A bundle whose models are read by the stand-in only: `fake:identity` (agrees with the golden frame),
/// `fake:flat`, `fake:invert`.
///
/// # Errors
/// When it cannot be written.
pub fn bundle(path: &Path, models: &[(&str, &str)]) -> Result<Bundle> {
    let mut draft = Draft::new(Manifest { min_area: 0, ..Manifest::new("tiny", "1") });
    for (file, content) in models {
        // An ONNX file with nothing but a producer's name.
        let name = content.as_bytes();
        draft.file(*file, [&[0x12, name.len() as u8], name].concat());
    }
    let mut crop = plane();
    crop.iter_mut().enumerate().for_each(|(i, p)| *p = (i % 251) as u8);
    let map = crop.clone();
    draft.golden(&Golden { name: "0".into(), crop, map })?;
    Ok(draft.write(path)?)
}
