//! Options of a push.

use std::path::PathBuf;

use crate::oci::{Digest, RepositoryName, Tag};
use crate::options::setters;

/// Options of a push.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PushOptions {
    /// The tags to give. Without any, each image keeps its own.
    pub tags: Vec<Tag>,
    /// The digest that the image must have.
    pub digest: Option<Digest>,
    /// Other repositories of the registry that may have the blobs.
    pub mount_from: Vec<RepositoryName>,
    /// Whether everything is sent without asking what is there.
    pub force: bool,
    /// Whether blobs go in chunks.
    pub chunked: bool,
    /// The size of chunks in bytes.
    pub chunk_size: Option<u64>,
    /// How many blobs are sent at once.
    pub jobs: Option<usize>,
    /// Whether missing blobs are left out if their descriptors have `urls`, or if they are manifests in a nested index.
    pub allow_missing: bool,
    /// Whether a tag that is another manifest in the registry is an error.
    pub no_clobber: bool,
    /// The directory in which is noted where uploads go on. Without one they do not.
    pub journal: Option<PathBuf>,
}

impl PushOptions {
    setters! {
        tags: [Vec<Tag>],
        digest: [option Digest],
        mount_from: [Vec<RepositoryName>],
        force: [bool],
        chunked: [bool],
        chunk_size: [option u64],
        jobs: [option usize],
        allow_missing: [bool],
        no_clobber: [bool],
        journal: [some PathBuf],
    }
}
