//! Fetching images from a registry.
//!
//! The documents come first, in memory: what is refused leaves nothing behind. Then the blobs go to the uploads of the layout,
//! several at once, verified while they are written; what an earlier run left there goes on. At last all is added to the
//! layout at once, as an import does.

mod fetch;
mod images;
mod incoming;
mod options;
mod run;

pub use images::{RemoteImages, RemoteReferences};
pub use options::PullOptions;
pub use run::{DownloadAction, PullPlan, PullStatus, PullSummary, Pulled, PulledBlob, PulledImage};
