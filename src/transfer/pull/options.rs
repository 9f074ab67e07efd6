//! Options of a pull.

use std::sync::Arc;

use crate::layout::options::WriteOptions;
use crate::metrics::Metrics;
use crate::options::setters;

/// Options of a pull.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Whether entries take their names from other manifests in the layout, which stay.
    pub replace: bool,
    /// Whether blobs that only the URLs of their descriptors have are fetched from there, without credentials.
    pub allow_foreign: bool,
    /// How many blobs are fetched at once.
    pub jobs: Option<usize>,
    /// Whether a symbolic link at `blobs` of the layout is followed, as described at
    /// [`Layout::with_shared_blobs`](crate::layout::Layout::with_shared_blobs).
    pub shares_blobs: bool,
    /// How the layout is written.
    pub write: WriteOptions,
    /// The counters of the work.
    pub metrics: Arc<Metrics>,
}

impl PullOptions {
    setters! {
        replace: [bool],
        allow_foreign: [bool],
        jobs: [option usize],
        shares_blobs: [bool],
        write: [WriteOptions],
        metrics: [Arc<Metrics>],
    }
}
