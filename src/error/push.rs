//! Errors of images that cannot be pushed as they are.

use std::path::PathBuf;

use crate::oci::{Digest, MediaType};

/// Images cannot be pushed as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// There is nothing to push.
    #[error("index.json at {} contains no manifests", .path.display())]
    NoImages {
        /// The layout.
        path: PathBuf,
    },
    /// One tag or digest was given for several images.
    #[error("the destination includes a tag or digest but index.json has {count} manifests")]
    SeveralImages {
        /// The number of entries.
        count: usize,
    },
    /// The image has another digest than the one that was given.
    #[error("the image is {actual}, not {expected}")]
    OtherDigest {
        /// The digest that was given.
        expected: Digest,
        /// The digest of the image.
        actual: Digest,
    },
    /// A name of an image gives no tag.
    #[error("the name '{name}' of {digest} gives no tag")]
    NoTag {
        /// The name.
        name: String,
        /// The manifest.
        digest: Digest,
    },
    /// Two images would get the same tag.
    #[error("{one} and {other} would both get the tag {tag}")]
    SameTag {
        /// The tag.
        tag: String,
        /// The first manifest.
        one: Digest,
        /// The second manifest.
        other: Digest,
    },
    /// An entry is neither a manifest nor an index.
    #[error("{digest} is not a manifest: it has the media type {media_type}")]
    NotADocument {
        /// The entry.
        digest: Digest,
        /// Its media type.
        media_type: MediaType,
    },
    /// An index lists itself.
    #[error("the index {digest} lists itself")]
    Cycle {
        /// The index.
        digest: Digest,
    },
    /// Indexes are nested too deeply.
    #[error("indexes are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}
