//! References between the image-spec's documents: walking, resolving a reference, choosing a platform.
//!
//! Over a trait that reads documents (`walk::Documents`); nothing here knows a disk.

pub(crate) mod edit;
pub(crate) mod finding;
pub(crate) mod images;
pub(crate) mod index_members;
pub(crate) mod left_behind;
pub(crate) mod names;
pub(crate) mod platform;
pub(crate) mod resolve;
pub(crate) mod severity;
pub(crate) mod stale;
pub(crate) mod summary;
pub(crate) mod verify;
pub(crate) mod walk;

pub use finding::{Finding, Mismatch};
pub use index_members::PlatformContradiction;
pub use platform::{Choice, Chosen};
pub use summary::ImageSummary;
