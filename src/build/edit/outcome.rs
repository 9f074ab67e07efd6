//! How images are changed, and the results.

use std::fmt;

use crate::build::config::history::EPOCH;
use crate::graph::index_members::PlatformContradiction;
use crate::graph::platform::Choice;
use crate::graph::summary::ImageSummary;
use crate::oci::{Descriptor, Platform, RefName};
use crate::options::setters;

/// How an image is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EditOptions {
    /// The platforms of the images of an index to change; by default all.
    pub platforms: Vec<Platform>,
    /// A tag for the result, which leaves the entry that was named as it is.
    pub tag: Option<RefName>,
    /// Whether the tag is taken from another manifest, which then stays without a name.
    pub replace_tag: bool,
    /// The time of entries that are added to the history, in RFC 3339; by default that of 1970.
    pub created: Option<String>,
}

impl EditOptions {
    setters! {
        platforms: [Vec<Platform>],
        tag: [option RefName],
        replace_tag: [bool],
        created: [option String],
    }

    pub(crate) fn time_of_entries(&self) -> &str {
        self.created.as_deref().unwrap_or(EPOCH)
    }
}

/// An image that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Edited {
    /// The entry of the result in `index.json`.
    pub entry: Descriptor,
    /// Its images.
    pub images: Vec<ImageSummary>,
    /// The platforms that were chosen for those asked for.
    pub choices: Vec<Choice>,
    /// Whether anything was written.
    pub has_changed: bool,
    /// Whether a layer was added to an image that has layers and no history, and so gets none.
    pub lacks_history: bool,
    /// The consequences that users should know.
    pub warnings: Vec<EditWarning>,
}

/// A consequence of a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EditWarning {
    /// Attestations that the new index does not list, because their images changed.
    LeftOut(Vec<String>),
    /// Signatures and other referrers that stay with the old digest.
    LeftBehind(Vec<String>),
    /// The media types of the image, or of all images, were those of Docker.
    Converted,
    /// The media type of the index alone was that of Docker.
    ConvertedIndex,
    /// The media types of the images that changed were those of Docker. There are other images, which keep theirs.
    ConvertedPart,
    /// The layers of the base are no longer the lowest, so that the annotations that name it are removed.
    LeftBase,
    /// The descriptor of an image had another platform than its config, which holds in the index.
    OtherPlatform(Box<PlatformContradiction>),
}

impl fmt::Display for EditWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(digests) => {
                write!(formatter, "attestations of changed images were left out of the index: {}", digests.join(", "))
            }
            Self::LeftBehind(names) => {
                write!(formatter, "signatures and other referrers stay with the old digest: {}", names.join(", "))
            }
            Self::Converted => {
                formatter.write_str("the image had media types of Docker; it has those of the image-spec now")
            }
            Self::ConvertedIndex => formatter.write_str(
                "the index had Docker's media type; it has that of the image-spec now, and its images keep theirs",
            ),
            Self::ConvertedPart => formatter.write_str(
                "the images that changed had media types of Docker; they have those of the image-spec now, and the \
                 other images keep theirs",
            ),
            Self::LeftBase => formatter.write_str(
                "the layers of the base are no longer the lowest: the annotations that name the base are removed",
            ),
            Self::OtherPlatform(contradiction) => {
                let PlatformContradiction { image, listed, config } = &**contradiction;
                let image = image.escape_debug();
                write!(
                    formatter,
                    "'{image}' was listed for {listed}, but its config is for {config}; the index lists it for {config}"
                )
            }
        }
    }
}
