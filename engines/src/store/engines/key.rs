use serde::{Deserialize, Serialize};

use crate::digest::sha256;

/// What plans are and how they are named. Raised when plans of before must not be used: 1 was built with TF32.
const FORMAT: &str = "2";

/// What a plan is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// As the driver calls it.
    pub name: String,
    /// Such as `8.7`.
    pub compute_capability: String,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// CUDA version and release of the driver.
    pub driver: String,
}

/// Everything that must be the same for a plan to be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// SHA-256 of the ONNX file.
    pub onnx: String,
    /// `tensorrt` or `tensorrt-rtx`.
    pub backend: String,
    /// Version of its library.
    pub version: String,
    /// The GPU and its driver.
    pub gpu: Gpu,
    /// Bytes a layer may use for itself.
    pub workspace: u64,
    /// Optimisation level.
    pub level: u8,
}

impl Key {
    /// The name of the plan's files: the first half of a SHA-256 of every field.
    pub fn name(&self) -> String {
        let Self { onnx, backend, version, gpu, workspace, level } = self;
        let [workspace, level] = [workspace.to_string(), level.to_string()];
        let own = [onnx, backend, version, &workspace, &level].map(String::as_str);
        digest([FORMAT].into_iter().chain(own).chain(gpu.fields(&gpu.multiprocessors.to_string())), 32)
    }

    /// The name of what was measured while building: it holds for every model on this GPU with this library.
    pub(super) fn timing_name(&self) -> String {
        let own = [FORMAT, &self.backend, &self.version];
        digest(own.into_iter().chain(self.gpu.fields(&self.gpu.multiprocessors.to_string())), 16)
    }
}

impl Gpu {
    fn fields<'a>(&'a self, multiprocessors: &'a str) -> [&'a str; 4] {
        [&self.name, &self.compute_capability, multiprocessors, &self.driver]
    }
}

/// The first `length` digits of a SHA-256 of texts, each behind its length, so that no two lists look alike.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>, length: usize) -> String {
    let all: String = texts.into_iter().map(|text| format!("{}:{text}", text.len())).collect();
    let mut digest = sha256(all.as_bytes());
    digest.truncate(length);
    digest
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A key that differs from others in its model only.
    pub fn key(onnx: &str) -> Key {
        let gpu = Gpu {
            name: "g".into(),
            compute_capability: "8.7".into(),
            multiprocessors: 8,
            driver: "CUDA 12.6".into(),
        };
        Key {
            onnx: onnx.into(),
            backend: "tensorrt".into(),
            version: "10.3.0".into(),
            gpu,
            workspace: 0,
            level: 3,
        }
    }

    #[test]
    fn a_plans_name_stays_what_it_is_and_no_two_keys_share_one() {
        let key = key("a");
        // Another name would leave every engine in the field unused: a change is meant, or it is a mistake.
        assert_eq!(key.name(), "9b9efb23eb0ed768a6c25cda113ae325");
        let mut other = key.clone();
        other.gpu.name = "g8.7".into();
        other.gpu.compute_capability = String::new();
        assert_ne!(key.name(), other.name(), "fields do not run into each other");
        other = key.clone();
        other.backend = "tensorrt-rtx".into();
        assert_ne!(key.name(), other.name());
    }
}
