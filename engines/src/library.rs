//! Finding the runtimes' shared libraries, which are opened at run time.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

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

/// Something that is loaded once in the life of the process and never again: a runtime's libraries leave threads behind.
pub struct Once<T> {
    /// Where it was loaded from, where that is known, and what came of it.
    loaded: OnceLock<(Option<PathBuf>, T)>,
    loading: Mutex<()>,
}

impl<T> Once<T> {
    /// Nothing is loaded yet.
    pub const fn new() -> Self {
        Self { loaded: OnceLock::new(), loading: Mutex::new(()) }
    }

    /// What is loaded, or else what `load` loads, with the place it comes from. One that fails may be tried again.
    ///
    /// # Errors
    /// What `load` returns; what `refuse` makes of the place in use when another one is `asked` for.
    pub fn get<E>(
        &self,
        asked: Option<&Path>,
        load: impl FnOnce() -> Result<(Option<PathBuf>, T), E>,
        refuse: impl FnOnce(Option<&Path>) -> E,
    ) -> Result<&T, E> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((place, loaded)) = self.loaded.get() {
            return match asked {
                Some(_) if asked != place.as_deref() => Err(refuse(place.as_deref())),
                _ => Ok(loaded),
            };
        }
        let loaded = load()?;
        Ok(&self.loaded.get_or_init(|| loaded).1)
    }
}

/// Why a library cannot be loaded while the one at `place` is.
pub fn in_use(place: Option<&Path>) -> String {
    match place {
        Some(place) => format!("this process already uses {}", place.display()),
        None => "this process already uses another one".into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_loaded_once_and_no_other_takes_its_place() {
        let once = Once::new();
        let from = |place: &'static str, value: u8| move || Ok((Some(PathBuf::from(place)), value));
        let refuse = |place: Option<&Path>| format!("{place:?} is loaded");
        let failed = once.get(None, || Err("not there".to_owned()), refuse);
        assert_eq!(failed, Err("not there".into()));
        assert_eq!(once.get(None, from("a", 1), refuse), Ok(&1), "a failure is not for ever");
        assert_eq!(once.get(Some(Path::new("a")), from("b", 2), refuse), Ok(&1));
        assert_eq!(once.get(None, from("b", 2), refuse), Ok(&1));
        assert_eq!(once.get(Some(Path::new("b")), from("b", 2), refuse), Err("Some(\"a\") is loaded".into()));
    }
}
