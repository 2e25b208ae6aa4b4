//! Why a file of weights cannot start a network.

use std::path::PathBuf;

/// Why a file of weights cannot start a network.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Unreadable or in no known format.
    #[error(
        "{path}: cannot read weights: {cause}. Wanted: a checkpoint of an earlier run, a bundle, or \
         torchvision's VGG16 as .safetensors or .pth. A .pth from before PyTorch 1.6 must be \
         saved anew: python3 -c \"import torch; torch.save(torch.load('OLD.pth'), 'NEW.pth')\""
    )]
    Unreadable { path: PathBuf, cause: String },
    /// ImageNet weights exist for full width only.
    #[error(
        "{path}: torchvision's VGG16 fits width = 1.0 only, this run has width = {width}; set \
         width = 1.0, or leave `init` out to train from scratch"
    )]
    Width { path: PathBuf, width: f64 },
    /// Normalised features in a network without batch normalisation.
    #[error(
        "{path}: has batch normalisation, as vgg16_bn and vgg16-unet, but {network} has none; take weights without, or \
         network = \"vgg16-unet\""
    )]
    Normalised { path: PathBuf, network: &'static str },
    /// A bundle of another network.
    #[error(
        "{path}: holds {found}, this run's network is {network}; set network = \"{found}\", or take another bundle"
    )]
    Network { path: PathBuf, found: String, network: &'static str },
    /// Damaged, or no bundle.
    #[error(transparent)]
    Bundle(#[from] nervelight_engines::BundleError),
    /// An ONNX file that this trainer did not write.
    #[error(
        "{path}: no weights of this trainer in it: {cause}; export the bundle anew, or take a checkpoint"
    )]
    Onnx { path: PathBuf, cause: String },
    /// A parameter is absent.
    #[error("{path}: has no `{name}`; is this a checkpoint of {network}, or VGG16?")]
    Missing { path: PathBuf, name: String, network: &'static str },
    /// A parameter has another shape.
    #[error("{path}: `{name}` is {found:?}, {network} at width {width} has {wanted:?}")]
    Shape {
        path: PathBuf,
        name: String,
        found: Vec<i64>,
        wanted: Vec<i64>,
        network: &'static str,
        width: f64,
    },
}
