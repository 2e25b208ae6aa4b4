//! Parameters by name. No gradient moves the running statistics among them.

use std::collections::BTreeMap;

use tch::Tensor;

/// Parameters by name (`conv1_1.weight`), as in checkpoints.
pub type Parameters = BTreeMap<String, Tensor>;

/// Parameters of batch normalisation.
pub const NORMALISATION: [&str; 4] = ["weight", "bias", RUNNING[0], RUNNING[1]];

/// What batch normalisation keeps of the batches it saw: it follows them, no gradient moves it.
const RUNNING: [&str; 2] = ["running_mean", "running_var"];

/// Whether the parameter called `name` is a running statistic.
pub fn is_statistic(name: &str) -> bool {
    RUNNING.iter().any(|part| name.ends_with(part))
}
