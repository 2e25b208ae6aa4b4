//! The other end of `/api/v1`: what `nervelightd deploy` and `nervelightd models --to` ask carts. A cart is known by its
//! certificate; the token comes from a file.

mod address;
mod answers;
mod cart;
mod send;
mod tls;
mod watch;

pub use address::{Address, fingerprint, read_list};
pub use answers::Deployment;
pub use cart::{Cart, ClientError};
pub use send::{Sent, Tar, send};
pub use tls::Trust;
pub use watch::{Outcome, watch};
