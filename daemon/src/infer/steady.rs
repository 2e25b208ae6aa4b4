//! Maps made steady, job by job.

use std::time::Instant;

use nervelight_engines::steady::Steady;

use crate::infer::job::Job;

/// The filter, and which map it has seen last.
#[derive(Default)]
pub struct SteadyMaps {
    filter: Steady,
    /// Scene and arrival of the last crop.
    last: Option<(u64, Instant)>,
}

impl SteadyMaps {
    /// The maps to come are of another engine.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Makes the map of `job` steady.
    pub fn apply(&mut self, job: &mut Job) {
        let since = match self.last {
            Some((scene, at)) if scene == job.scene => job.arrived.saturating_duration_since(at),
            _ => {
                self.filter.forget();
                Default::default()
            }
        };
        self.last = Some((job.scene, job.arrived));
        self.filter.apply(&job.crop, &mut job.map, since.as_secs_f32());
    }
}
