//! OCI image layouts on the local disk (image-spec, image-layout.md).
//!
//! A layout is a directory:
//!
//! ```text
//! my-image/
//! ├── oci-layout               the marker, and what writers lock; never replaced
//! ├── index.json               the entry point: the images, by digest and ref name
//! ├── .regshape-stage.json     what was added and is not yet an image; not part of the image-spec
//! ├── .regshape-uploads/<id>   blobs that come in pieces and are not yet complete; not part of the image-spec
//! └── blobs/sha256/<hex>       layers, configs, manifests, named by their digests
//! ```
//!
//! An image is built in steps: [`Layout::init`], [`Layout::stage_layer`] for each layer, [`Layout::generate_config`],
//! [`Layout::generate_manifest`]. What the steps leave for each other is in the staging file ([`Stage`]).
//!
//! The rules that keep a layout whole:
//!
//! 1. Blobs come first, then `index.json`, then the staging file. Each is written under no name or a temporary one,
//!    synced, and renamed; then the directory is synced. Deleting comes last. A crash at any point leaves a valid layout
//!    and at worst a blob that nothing refers to.
//! 2. Whoever writes documents holds the lock, on `oci-layout`, from the first read to the last write. Readers need none:
//!    every file that they open is whole. Long work (reading, compressing, hashing a layer) is done before the lock.
//! 3. Paths of blobs are made from [`Digest`](crate::oci::Digest)s only, which are valid from birth. Blobs are regular
//!    files, opened without following a link and without waiting.
//! 4. What comes from disk is not trusted: the sizes of documents are bounded, digests are verified before content is
//!    used, cycles and nesting are followed at most once.
//! 5. Documents that are read and written again keep the fields that this program does not know.
//!
//! On Unix a program that writes layouts ignores or handles `SIGXFSZ`: only then a limit on the size of files (`ulimit -f`) is an
//! error, after which everything is as it was. By default that signal kills the process.

mod archive;
mod blob_directory;
mod blobs;
mod checked;
mod clean;
mod config;
mod document;
mod error;
mod export;
mod filling;
mod garbage;
mod handle;
mod init;
mod input;
mod layer;
mod links;
mod lock;
mod manifest;
mod metrics;
mod output;
mod parallel;
mod pipeline;
mod policy;
mod registry;
mod stage;
mod tree;
mod validate;
mod view;
mod walk;

pub use crate::abandon::abandon;
pub use archive::{Archive, LoadOptions};
pub use clean::LeftoverObserver;
pub use config::{ConfigChanges, ConfigOptions};
pub use error::{Candidate, Error, ErrorCode, Reason, Result};
pub use export::{
    ArchiveKind, ExportOptions, Exported, Format, Plan, export, export_dir, export_docker_tar, export_stream,
    export_tar, plan_export, plan_export_dir, save,
};
pub use garbage::{Garbage, GarbageOptions, KeptSubject, Swept};
pub use handle::Layout;
pub use input::open_input;
pub use layer::{AddedLayer, CompressionScope, LayerInput, LayerOptions, LayerPlan, Treatment};
pub use lock::{LockEvent, LockObserver, WriteOptions};
pub use manifest::ManifestOptions;
pub use metrics::{Metrics, Phase, Progress};
pub use output::{is_standard_output, is_stream, open_log};
pub use parallel::map_bounded;
pub use registry::{
    BlobReader, BlobUpload, ByteRange, Choice, Chosen, CommitError, Expected, Listed, ManifestInfo, PushOptions,
    Referrers, Registry, Renamed, Repository, StoredManifest, find_layout, split_path, write_file,
};
pub use stage::{Stage, StagedConfig, StagedLayer, StagedManifest, Updated};
pub use tree::{Drawn, Node, NodeKind, NodeState, Totals, Tree, Unreferenced};
pub use validate::{Checked, Finding, Report, ValidateOptions};
pub use view::{
    ArchiveImage, Content, ContentReader, ContentStore, FileSystem, FileType, ImageLayer, LayerReader, Reading,
    Selected, Selection, Stat, View,
};
