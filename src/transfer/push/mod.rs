//! Sending images to a registry.
//!
//! A push is planned from a view before anything is sent: every document is read, and every blob is there with its size.
//! Then blobs go first, the largest first and several at once, and manifests after what they refer to; the tags are last.

mod body;
mod journal;
mod options;
mod plan;
mod run;
mod skip_or_mount;
mod upload;

pub use options::PushOptions;
pub use plan::{PlannedPush, PushPlan};
pub use run::{PushStatus, PushSummary, Pushed, PushedBlob, PushedImage};
pub use upload::UploadAction;
