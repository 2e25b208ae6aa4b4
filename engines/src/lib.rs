//! Model contract, model bundles and inference engines for nerve segmentation.
