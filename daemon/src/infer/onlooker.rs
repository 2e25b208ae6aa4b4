//! Who sees the engine's answers besides the frame path.

use std::sync::Arc;

use crate::infer::Job;

/// Sees each answer on the engine's thread: the crop, and the map as the network computed it, before it is made steady.
/// It must not wait: the next crop does until it is done.
pub trait Onlooker: Send + Sync {
    /// Looks at an answer, be it good or an error.
    fn see(&self, job: &Job);
}

/// All of them; every engine that is opened shows them its answers.
pub type Onlookers = Arc<[Arc<dyn Onlooker>]>;
