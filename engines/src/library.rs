//! Finding the runtimes' shared libraries, which are opened at run time.

use std::path::{Path, PathBuf};

/// Finds the library `file`: the configured path, the path in the environment variable `variable`,
/// `/usr/lib/nervelight`, the user's cache (`$XDG_CACHE_HOME/nervelight`, where `setup.sh` puts it), the system's
/// library folders. A path that somebody named is the only one tried: another library would be a silent fallback.
///
/// # Errors
/// Every place looked at.
pub fn find(file: &str, variable: &str, configured: Option<&Path>) -> Result<PathBuf, Vec<String>> {
    let from_env = || std::env::var_os(variable).filter(|p| !p.is_empty()).map(PathBuf::from);
    let places = if let Some(path) = configured.map(Path::to_path_buf).or_else(from_env) {
        vec![path]
    } else {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        let mut places = vec![Path::new("/usr/lib/nervelight").join(file)];
        places.extend(cache.map(|c| c.join("nervelight").join(file)));
        let system =
            ["/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
        places.extend(system.iter().map(|dir| Path::new(dir).join(file)));
        places
    };
    let found = places.iter().find(|p| p.is_file()).cloned();
    found.ok_or_else(|| places.iter().map(|p| p.display().to_string()).collect())
}

/// Opens the library at `path` and looks for `symbol`, which ends in a zero byte.
///
/// # Errors
/// What the loader said.
#[allow(unsafe_code)]
pub fn has_symbol(path: &Path, symbol: &[u8]) -> Result<(), String> {
    // SAFETY: the initialisers of a library that the operator named run here, as they will when it is used. The
    // symbol is looked up and not called.
    unsafe {
        let library = libloading::Library::new(path).map_err(|e| e.to_string())?;
        library.get::<*const ()>(symbol).map(drop).map_err(|e| e.to_string())
    }
}

/// CPU threads for an engine: `asked`, or one per core for 0.
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}
