//! Errors about base images.

use std::path::PathBuf;

use super::words::{counted, list};
use crate::compress::BoundError;
use crate::oci::Digest;

/// An image cannot be the base of another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// The source has no image: it is empty, or an artifact.
    #[error("{} has no image to build on", .path.display())]
    NoImage {
        /// The source.
        path: PathBuf,
    },
    /// The source has images for several platforms.
    #[error("{} has images for {}", .path.display(), list(.platforms))]
    SeveralImages {
        /// The source.
        path: PathBuf,
        /// The platforms.
        platforms: Vec<String>,
    },
    /// The config of the base does not have a diff_id for each layer.
    #[error("the base in {} has {}, but its config has {}", .path.display(), counted(*.layers, "layer"), counted(*.diff_ids, "diff_id"))]
    DiffIds {
        /// The source.
        path: PathBuf,
        /// The number of layers.
        layers: usize,
        /// The number of diff_ids.
        diff_ids: usize,
    },
    /// A layer does not have the diff_id that the config of the base, or the staging file, has for it.
    #[error("layer {layer} does not have the diff_id of its config: expected {expected}, got {actual}")]
    DiffId {
        /// The digest of the layer.
        layer: Digest,
        /// The diff_id that was expected.
        expected: Digest,
        /// The diff_id of the content.
        actual: Digest,
    },
    /// A layer that others are put on is not a well-formed tar.
    #[error("layer {layer} is not a well-formed tar: {reason}")]
    MalformedTar {
        /// The digest of the layer.
        layer: Digest,
        /// The fault.
        reason: String,
    },
    /// A layer that others are put on cannot be decompressed.
    #[error("layer {layer} {reason}")]
    CorruptLayer {
        /// The digest of the layer.
        layer: Digest,
        /// The fault.
        reason: String,
    },
    /// A layer that others are put on becomes larger than it may.
    #[error("layer {layer} {bound}")]
    LayerBound {
        /// The digest of the layer.
        layer: Digest,
        /// The bound that it exceeds.
        bound: BoundError,
    },
    /// The staging area is not empty.
    #[error("the staging area of {} is not empty", .path.display())]
    Staged {
        /// The layout.
        path: PathBuf,
    },
}
