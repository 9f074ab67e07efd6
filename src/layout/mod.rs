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
//! [`Layout::generate_manifest`]. The staging file ([`Stage`]) carries the results from step to step.
//!
//! The rules that keep a layout whole:
//!
//! 1. Blobs come first, then `index.json`, then the staging file. Each is written under no name or a temporary one,
//!    synced, and renamed; then the directory is synced. Deleting comes last. A crash at any point leaves a valid layout
//!    and at worst a blob that nothing refers to.
//! 2. A writer of documents holds the lock, on `oci-layout`, from the first read to the last write. Readers need none:
//!    every file that they open is whole. Long work (reading, compressing, hashing a layer) is done before the lock.
//! 3. Paths of blobs are made from [`Digest`](crate::oci::Digest)s only, which are valid from birth. Blobs are regular
//!    files, opened without following a link and without waiting.
//! 4. Content from disk is not trusted: the sizes of documents are bounded, digests are verified before content is
//!    used, cycles and nesting are followed at most once.
//! 5. Documents that are read and written again keep the fields that this program does not know.
//!
//! On Unix a program that writes layouts ignores or handles `SIGXFSZ`: only then a limit on the size of files (`ulimit -f`) is an
//! error, after which everything is as it was. By default that signal kills the process.

pub(crate) mod blob_directory;
pub(crate) mod blobs;
pub(crate) mod commit;
pub(crate) mod document_files;
pub(crate) mod entries;
pub(crate) mod filling;
pub(crate) mod gc;
pub(crate) mod handle;
pub(crate) mod init;
pub(crate) mod leftovers;
pub(crate) mod links;
pub(crate) mod lock;
pub(crate) mod options;
pub(crate) mod reachable;
pub(crate) mod site;
pub(crate) mod staging_file;
pub(crate) mod unreferenced;
pub(crate) mod uploads;

pub use gc::{Garbage, GarbageOptions, KeptSubject};
pub use handle::Layout;
pub use leftovers::clean;
pub use options::LeftoverObserver;
pub use options::{LockEvent, LockObserver, WriteOptions};
pub use staging_file::{Stage, StagedBase, StagedConfig, StagedLayer, StagedManifest, Updated};
