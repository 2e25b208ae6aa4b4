//! The sink that counts frames and forgets them.

use std::sync::Arc;
use std::time::Instant;

use gst_video::VideoInfo;

use crate::sink::feed::Taken;
use crate::sink::{Shown, Sink, SinkStatus};

/// Takes every frame, and keeps none.
pub struct Null {
    status: Arc<SinkStatus>,
}

impl Null {
    /// A sink that is ready at once.
    pub fn new(name: String) -> Self {
        Self { status: Arc::new(SinkStatus::new(name)) }
    }
}

impl Sink for Null {
    fn push(&mut self, _: Shown<'_>) {
        self.status.count(Taken::Yes);
    }

    fn follow(&mut self, _: &Arc<VideoInfo>) -> bool {
        true
    }

    fn end(&mut self) {}

    fn finish(&mut self, _: Instant) {}

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}
