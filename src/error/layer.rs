//! Errors about the layers of images that are read.

use crate::compress::BoundError;
use crate::oci::Digest;

/// A layer of an image cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The content does not have the diff_id that the config, or the staging file, has for it.
    #[error("layer {layer} does not have the diff_id of its config: expected {expected}, got {actual}")]
    DiffId {
        /// The digest of the layer.
        layer: Digest,
        /// The diff_id that was expected.
        expected: Digest,
        /// The diff_id of the content.
        actual: Digest,
    },
    /// The content is not a well-formed tar.
    #[error("layer {layer} is not a well-formed tar: {reason}")]
    MalformedTar {
        /// The digest of the layer.
        layer: Digest,
        /// The fault.
        reason: String,
    },
    /// The content cannot be decompressed.
    #[error("layer {layer} {reason}")]
    Corrupt {
        /// The digest of the layer.
        layer: Digest,
        /// The fault.
        reason: String,
    },
    /// The content is larger than it may be.
    #[error("layer {layer} {bound}")]
    Bound {
        /// The digest of the layer.
        layer: Digest,
        /// The bound that it exceeds.
        bound: BoundError,
    },
    /// The content is not a tar.
    #[error("layer {layer} is not a tar")]
    NotATar {
        /// The digest of the layer.
        layer: Digest,
    },
    /// The blob is stored elsewhere only.
    #[error("layer {layer} is not stored here; its manifest names other places for it")]
    StoredElsewhere {
        /// The digest of the layer.
        layer: Digest,
    },
}
