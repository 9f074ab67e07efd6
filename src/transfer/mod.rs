//! Loading and exporting images: OCI layouts, archives of `docker save`, and `dir:` directories.

pub(crate) mod archive;
mod built;
pub(crate) mod contents;
pub(crate) mod copy;
pub(crate) mod dir;
pub(crate) mod dir_image;
pub(crate) mod docker;
pub(crate) mod docker_read;
pub(crate) mod entries;
pub(crate) mod entry_names;
#[cfg(feature = "remote")]
pub(crate) mod event;
#[cfg(feature = "remote")]
mod fallback_tag;
pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod listed;
pub(crate) mod load;
pub(crate) mod oci;
pub(crate) mod plain;
pub(crate) mod plan;
#[cfg(feature = "remote")]
mod pull;
#[cfg(feature = "remote")]
mod push;
mod rootfs_tar;
pub(crate) mod scratch;
pub(crate) mod tar;
pub(crate) mod union;

pub use contents::{ExportOptions, Exported};
#[cfg(feature = "remote")]
pub use event::{TransferEvent, TransferObserver};
pub use format::{ArchiveKind, Format};
pub use load::LoadOptions;
pub use plan::ExportPlan;
#[cfg(feature = "remote")]
pub use pull::{
    DownloadAction, PullOptions, PullPlan, PullStatus, PullSummary, Pulled, PulledBlob, PulledImage, RemoteImages,
    RemoteReferences,
};
#[cfg(feature = "remote")]
pub use push::{
    PlannedPush, PushOptions, PushPlan, PushStatus, PushSummary, Pushed, PushedBlob, PushedImage, UploadAction,
};
pub use rootfs_tar::{RootfsOptions, RootfsTar};
