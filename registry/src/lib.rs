//! Model bundles in OCI registries, which workstations push to and carts follow, and in OCI layouts, which are carried
//! by hand.
//!
//! A bundle is an [`Artifact`]: its manifest is the artifact's configuration, so that the configuration's digest is the
//! bundle's; its one layer is the bundle as a tar. A cart's [`Verdict`] about a bundle is a small artifact beside it.
//!
//! Nothing that a registry says is trusted: sizes are limited, digests are checked, and the bundle's signature is checked
//! by whoever stores it.

mod artifact;
mod client;
mod credentials;
mod error;
mod layout;
mod place;
mod verdict;

pub use artifact::{Artifact, Offered};
pub use client::Registry;
pub use credentials::Credentials;
pub use error::RegistryError;
pub use layout::{read as read_layout, write as write_layout};
pub use place::{Place, Repository};
pub use verdict::{Outcome, Verdict};
