//! Errors of changing images that are in a layout.

use super::words::counted;

/// An image cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The manifest is that of an artifact, which has no image config.
    #[error("'{}' is an artifact: it has no image config", .image.escape_debug())]
    Artifact {
        /// The image, as it was named.
        image: String,
    },
    /// The entry is neither a manifest nor an index.
    #[error("'{}' is not an image", .image.escape_debug())]
    NoImage {
        /// The image, as it was named.
        image: String,
    },
    /// The image has no layer of that number.
    #[error("layer index {index} out of range ('{}' has {})", .image.escape_debug(), counted(*.count, "layer"))]
    LayerIndex {
        /// The number, from 0.
        index: usize,
        /// The number of layers.
        count: usize,
        /// The image, as it was named.
        image: String,
    },
    /// A staged layer is one of the base.
    #[error("layer {index} belongs to the base")]
    LayerOfBase {
        /// The number, from 0.
        index: usize,
    },
    /// Several entries of `index.json`, or none, have the digest.
    #[error("'{}' is not one entry of index.json", .reference.escape_debug())]
    NeedsTag {
        /// The reference.
        reference: String,
    },
    /// Indexes are nested too deeply.
    #[error("'{}' has more than {limit} nested indexes", .image.escape_debug())]
    TooDeep {
        /// The image, as it was named.
        image: String,
        /// How many indexes may be nested.
        limit: usize,
    },
    /// Two images of an index would be for one platform.
    #[error("two images would be for {}: '{}' and another one", .platform.escape_debug(), .image.escape_debug())]
    SamePlatform {
        /// The image that changes, as it was named.
        image: String,
        /// The platform.
        platform: String,
    },
    /// Two images of an index are for one platform.
    #[error("'{}' and '{}' are both for {}", .images[0].escape_debug(), .images[1].escape_debug(), .platform.escape_debug())]
    TwoForPlatform {
        /// The platform.
        platform: String,
        /// The images, as they were named.
        images: [String; 2],
    },
    /// An image is named where an index is needed.
    #[error("'{}' is an image, not an index", .image.escape_debug())]
    NoIndex {
        /// The image, as it was named.
        image: String,
    },
    /// An index does not list a manifest.
    #[error("'{}' lists no manifest '{}'", .image.escape_debug(), .digest.escape_debug())]
    NotListed {
        /// The index, as it was named.
        image: String,
        /// The digest, or its beginning.
        digest: String,
    },
    /// An index would have no image left.
    #[error("'{}' would have no image left", .image.escape_debug())]
    LastImage {
        /// The index, as it was named.
        image: String,
    },
    /// An annotation of an entry is one of its names.
    #[error("{key} is the name of the entry")]
    NameOfEntry {
        /// The key of the annotation.
        key: String,
    },
}
