//! `[engine]`: what the engines crate reads as it is written, with its values checked and its paths made absolute.

use std::path::{Path, PathBuf};

use nervelight_engines::EngineSettings;

use crate::config::mistakes::Mistakes;

/// The settings as used.
pub fn resolve(raw: &EngineSettings, base: &Path, mistakes: &mut Mistakes) -> EngineSettings {
    mistakes.check(raw.threads <= 256, "engine.threads", "must be from 1 to 256, or 0 for one per core");
    let level = raw.tensorrt.optimization_level;
    mistakes.check(level <= 5, "engine.tensorrt.optimization_level", "must be from 0 (fast to build) to 5");
    let mut settings = raw.clone();
    let paths: [&mut Option<PathBuf>; 4] = [
        &mut settings.library,
        &mut settings.openvino.library,
        &mut settings.tensorrt.library,
        &mut settings.tensorrt.store,
    ];
    for path in paths.into_iter().flatten() {
        *path = base.join(&*path);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_relative_to_the_configuration() {
        let mut raw = EngineSettings { library: Some("a.so".into()), ..EngineSettings::default() };
        raw.openvino.library = Some("b.so".into());
        raw.tensorrt.library = Some("/opt/c".into());
        raw.tensorrt.store = Some("d".into());
        let settings = resolve(&raw, Path::new("/etc/cart"), &mut Mistakes::default());
        assert_eq!(settings.library, Some("/etc/cart/a.so".into()));
        assert_eq!(settings.openvino.library, Some("/etc/cart/b.so".into()));
        assert_eq!(settings.tensorrt.library, Some("/opt/c".into()));
        assert_eq!(settings.tensorrt.store, Some("/etc/cart/d".into()));
    }
}
