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
    /// The base of an image is not named, or not stored, so that its layers are not known.
    #[error("{}", unknown_base(.image, .digest.as_deref()))]
    NoBase {
        /// The image, as it was named.
        image: String,
        /// The digest in the annotation of the manifest, if it has one.
        digest: Option<String>,
    },
    /// The old base of an image is not known, or not stored.
    #[error("{}", unknown_base(.image, .digest.as_deref()))]
    NoOldBase {
        /// The image, as it was named.
        image: String,
        /// The digest in the annotation of the manifest, if it has one.
        digest: Option<String>,
    },
    /// The history of an image does not begin with that of its base.
    #[error("the history of '{}' does not begin with that of its old base", .image.escape_debug())]
    OtherHistory {
        /// The image, as it was named.
        image: String,
    },
    /// A base is for another platform than an image.
    #[error("'{}' is for {}, but its new base is for {}", .image.escape_debug(), .platform.escape_debug(), .base.escape_debug())]
    OtherPlatform {
        /// The image, as it was named.
        image: String,
        /// Its platform.
        platform: String,
        /// The platform of the base.
        base: String,
    },
    /// The lowest layers of an image are not those of its base.
    #[error("the lowest layers of '{}' are not those of '{}'", .image.escape_debug(), .base.escape_debug())]
    NotOnBase {
        /// The image, as it was named.
        image: String,
        /// The path of the base.
        base: String,
    },
    /// An image has fewer layers than are to be kept.
    #[error("{kept} layers cannot be kept ('{}' has {count})", .image.escape_debug())]
    KeepsMore {
        /// The image, as it was named.
        image: String,
        /// The number of layers to keep.
        kept: usize,
        /// The number of layers.
        count: usize,
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

/// Returns why a base is not known. The annotation is the user's text.
fn unknown_base(image: &str, digest: Option<&str>) -> String {
    let image = image.escape_debug();
    match digest {
        None => format!("'{image}' does not name its base"),
        Some(digest) => format!("the base of '{image}' is not stored: {}", digest.escape_debug()),
    }
}
