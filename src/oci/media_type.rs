//! Media types (image-spec, media-types.md) and their meaning in this program.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fields::Text;

/// A media type as it stands in a document.
///
/// Documents of other programs are read with any text in this place; a media type that a user gives is parsed and must
/// follow the grammar of RFC 6838.
///
/// ```
/// use regshape::oci::MediaType;
///
/// assert!("application/spdx+json".parse::<MediaType>().is_ok());
/// assert!("spdx".parse::<MediaType>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaType(
    /// Shared: sets and queues of descriptors hold many copies.
    Arc<str>,
);

/// A string is not a media type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{0}' is not a media type of the form type/subtype")]
pub struct MediaTypeError(String);

/// How a layer's media type says that its bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerEncoding {
    /// A plain tar.
    Tar,
    /// A tar compressed with gzip.
    Gzip,
    /// A tar compressed with zstd.
    Zstd,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const LAYER_TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Every media type that is known to be a layer of an image.
const LAYERS: [(&str, LayerEncoding); 13] = [
    (LAYER_TAR, LayerEncoding::Tar),
    (LAYER_TAR_GZIP, LayerEncoding::Gzip),
    (LAYER_TAR_ZSTD, LayerEncoding::Zstd),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar", LayerEncoding::Tar),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LayerEncoding::Gzip),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LayerEncoding::Zstd),
    ("application/vnd.docker.image.rootfs.diff.tar", LayerEncoding::Tar),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerEncoding::Gzip),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", LayerEncoding::Zstd),
    ("application/vnd.docker.image.rootfs.diff.tar+zstd", LayerEncoding::Zstd),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar", LayerEncoding::Tar),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerEncoding::Gzip),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", LayerEncoding::Zstd),
];

/// The media types that occur most, each allocated once: documents have hundreds of thousands of descriptors.
static COMMON: LazyLock<[Arc<str>; 5]> =
    LazyLock::new(|| [MANIFEST, LAYER_TAR_GZIP, CONFIG, INDEX, LAYER_TAR_ZSTD].map(Arc::from));

impl MediaType {
    fn of(text: &str) -> Self {
        let common = COMMON.iter().find(|common| &***common == text);
        Self(common.map_or_else(|| Arc::from(text), Arc::clone))
    }

    /// Returns `application/vnd.oci.image.index.v1+json`.
    pub fn index() -> Self {
        Self::of(INDEX)
    }

    /// Returns `application/vnd.oci.image.manifest.v1+json`.
    pub fn manifest() -> Self {
        Self::of(MANIFEST)
    }

    /// Returns `application/vnd.oci.image.config.v1+json`.
    pub fn config() -> Self {
        Self::of(CONFIG)
    }

    /// Returns the media type of an OCI layer that is stored in a given way.
    pub fn layer(encoding: LayerEncoding) -> Self {
        let text = match encoding {
            LayerEncoding::Tar => LAYER_TAR,
            LayerEncoding::Gzip => LAYER_TAR_GZIP,
            LayerEncoding::Zstd => LAYER_TAR_ZSTD,
        };
        Self::of(text)
    }

    /// Returns `application/octet-stream`: content of which nothing is known.
    pub fn octet_stream() -> Self {
        Self::of("application/octet-stream")
    }

    /// Returns `application/vnd.oci.empty.v1+json`: no content (image-spec, manifest.md, "Guidance for an Empty Descriptor").
    pub fn empty() -> Self {
        Self::of(EMPTY)
    }

    /// Returns the media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this names an image index or Docker's manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), INDEX | DOCKER_MANIFEST_LIST)
    }

    /// Returns whether this names an image manifest or Docker's schema 2 manifest.
    pub fn is_manifest(&self) -> bool {
        matches!(self.as_str(), MANIFEST | DOCKER_MANIFEST)
    }

    /// Returns whether this names the config of an image that can be run.
    pub fn is_image_config(&self) -> bool {
        Self::is_image_config_type(self.as_str())
    }

    /// Returns whether a text is the media type of the config of an image.
    pub(crate) fn is_image_config_type(text: &str) -> bool {
        matches!(text, CONFIG | DOCKER_CONFIG)
    }

    /// Returns whether this says that there is no content (image-spec, manifest.md, "Guidance for an Empty Descriptor").
    pub fn is_empty(&self) -> bool {
        self.as_str() == EMPTY
    }

    /// Returns how the bytes of a layer of this type are stored, or `None` if this is not known to be a layer.
    pub fn layer_encoding(&self) -> Option<LayerEncoding> {
        LAYERS.iter().find(|(text, _)| *text == self.as_str()).map(|(_, encoding)| *encoding)
    }

    /// Returns whether this is Docker's name of a config or a layer, for which the image-spec has another.
    pub fn is_docker(&self) -> bool {
        self.0.starts_with("application/vnd.docker.") && (self.is_image_config() || self.layer_encoding().is_some())
    }

    /// Returns whether content of this type need not be in the layout (image-spec, layer.md, "Non-Distributable Layers").
    pub fn is_non_distributable(&self) -> bool {
        self.layer_encoding().is_some() && (self.0.contains(".nondistributable.") || self.0.contains(".foreign."))
    }

    /// Returns the image-spec's name, if this is one of Docker's names.
    pub(crate) fn to_oci(&self) -> Self {
        let text = match self.as_str() {
            _ if self.is_index() => return Self::index(),
            _ if self.is_manifest() => return Self::manifest(),
            _ if self.is_image_config() => return Self::config(),
            text => text,
        };
        match self.layer_encoding() {
            Some(encoding) if text.starts_with("application/vnd.docker.") => self.stored_as(encoding),
            _ => self.clone(),
        }
    }

    /// Returns the image-spec's name of this layer, stored in another way. A layer that need not be distributed stays one.
    pub(crate) fn stored_as(&self, encoding: LayerEncoding) -> Self {
        let is_it = |(text, other): &&(&str, LayerEncoding)| {
            *other == encoding && text.contains(".nondistributable.") && self.is_non_distributable()
        };
        LAYERS.iter().find(is_it).map_or_else(|| Self::layer(encoding), |(text, _)| Self::of(text))
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        // RFC 6838, section 4.2: restricted-name.
        let name = |name: &str| {
            name.len() <= 127
                && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        match text.split_once('/') {
            Some((top, sub)) if name(top) && name(sub) => Ok(Self::of(text)),
            _ => Err(MediaTypeError(text.escape_debug().to_string())),
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| Self::of(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_media_type_follows_rfc_6838() {
        for good in ["a/b", "application/vnd.oci.image.layer.v1.tar+gzip", "text/x-1!#$&-^_."] {
            assert!(good.parse::<MediaType>().is_ok(), "{good}");
        }
        for bad in ["", "/", "a", "a/", "/b", "a/b/c", "a b/c", "a/b;q=1", "a/\u{e9}", "a/b\n", ".a/b"] {
            assert!(bad.parse::<MediaType>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn layer_types_say_how_they_are_stored() {
        let encoding = |text: &str| MediaType::of(text).layer_encoding();
        assert_eq!(encoding(LAYER_TAR), Some(LayerEncoding::Tar));
        assert_eq!(encoding("application/vnd.docker.image.rootfs.diff.tar.gzip"), Some(LayerEncoding::Gzip));
        assert_eq!(encoding("application/vnd.oci.image.layer.v1.tar+zstd"), Some(LayerEncoding::Zstd));
        assert_eq!(encoding("application/octet-stream"), None);
        assert!(MediaType::of(LAYERS[4].0).is_non_distributable());
        assert!(!MediaType::of(LAYER_TAR).is_non_distributable());
    }
}
