//! One `.safetensors` file: tensors, and whatever else belongs to them as JSON in its header.
//!
//! One file, so that a power cut never leaves parameters of one epoch with moments of another.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use nervelight_engines::store::atomic::{self, Access};
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};

use crate::net::Parameters;

/// What a checkpoint file holds.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// By name; 32-bit.
    pub tensors: Parameters,
    /// Small texts by name.
    pub notes: HashMap<String, String>,
}

/// Writes `checkpoint` so that `path` holds either the old file or the whole new one.
pub fn write(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let tensors: Vec<_> = checkpoint
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let shape: Vec<usize> = tensor.size().iter().map(|n| *n as usize).collect();
            (name, shape, bytes(tensor))
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(other)?))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let notes = Some(checkpoint.notes.clone());
    atomic::write(path, Access::Umask, &safetensors::serialize(views, notes).map_err(other)?)
}

/// Reads a file of [`write`], or any other of 16- or 32-bit floats.
pub fn read(path: &Path) -> io::Result<Checkpoint> {
    let file = std::fs::read(path)?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&file).map_err(other)?;
    let notes = header.metadata().clone().unwrap_or_default();
    let mut tensors = Parameters::new();
    for (name, view) in safetensors::SafeTensors::deserialize(&file).map_err(other)?.tensors() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            dtype => return Err(other(format!("`{name}` is {dtype:?}, wanted floats"))),
        };
        let shape: Vec<i64> = view.shape().iter().map(|n| *n as i64).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind).map_err(other)?;
        tensors.insert(name, tensor.to_kind(Kind::Float));
    }
    Ok(Checkpoint { tensors, notes })
}

/// Elements as little-endian 32-bit floats, row-major.
pub fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.detach().to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut values = vec![0f32; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn other(error: impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("last.safetensors");
        let tensor = Tensor::randn([2, 3], (Kind::Float, tch::Device::Cpu));
        let written = Checkpoint {
            tensors: Parameters::from([("a".to_owned(), tensor.transpose(0, 1))]),
            notes: HashMap::from([("state".to_owned(), "{\"epoch\":3}".to_owned())]),
        };
        write(&path, &written).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.tensors["a"], tensor.transpose(0, 1));
        assert_eq!(read.notes, written.notes);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn half_a_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("last.safetensors");
        std::fs::write(&path, b"\x40\0\0\0\0\0\0\0{\"a\":").unwrap();
        assert!(read(&path).is_err());
    }
}
