//! Ending the requests of some work: none begins any more, and those that are on their way are cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the requests of some work have ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Lets no request begin any more. Returns whether that was so before.
    pub(super) fn set(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
