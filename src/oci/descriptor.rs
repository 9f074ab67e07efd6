//! Content descriptors (image-spec, descriptor.md).

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields::document_fields;
use super::{Digest, MediaType, Platform, UnknownFields};

/// Annotations: keys and values that people attach to descriptors, manifests and indexes.
pub type Annotations = BTreeMap<String, String>;

/// The content of a blob that stands for none.
pub(crate) const EMPTY_CONTENT: &[u8] = b"{}";

/// The annotation by which BuildKit names the subject of an attestation.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// A reference to content: its type, its digest, its size.
///
/// Fields are written in the order of the image-spec, unknown ones after them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Where else the content can be had.
    pub urls: Option<Vec<String>>,
    /// The annotations of the descriptor itself.
    pub annotations: Option<Annotations>,
    /// The content itself, in base 64.
    pub data: Option<String>,
    /// The type of an artifact when the content is its manifest.
    pub artifact_type: Option<String>,
    /// The platform of an image, in an index. Boxed, because an index may have many descriptors without one.
    pub platform: Option<Box<Platform>>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

document_fields!(Descriptor {
    media_type: required "mediaType",
    digest: required "digest",
    size: required "size",
    urls: optional "urls",
    annotations: optional "annotations",
    data: optional "data",
    artifact_type: optional "artifactType",
    platform: optional "platform",
});

/// The annotation with which BuildKit marks manifests in an index that are no images, and its value.
pub(crate) const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
pub(crate) const ATTESTATION: &str = "attestation-manifest";

impl Descriptor {
    /// Describes content with the three fields that every descriptor has.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: None,
            annotations: None,
            data: None,
            artifact_type: None,
            platform: None,
            extra: UnknownFields::new(),
        }
    }

    /// Describes the absence of content: `{}`, which the descriptor carries (image-spec, manifest.md, "Guidance for an Empty
    /// Descriptor").
    pub fn empty() -> Self {
        let (digest, size) = (Digest::sha256_of(EMPTY_CONTENT), EMPTY_CONTENT.len() as u64);
        let data = Some(STANDARD.encode(EMPTY_CONTENT));
        Self { data, ..Self::new(MediaType::empty(), digest, size) }
    }

    /// Makes the descriptor say other content of the same kind, in its copy of it too if it carries one.
    pub(crate) fn describe(&mut self, digest: Digest, content: &[u8]) {
        self.digest = digest;
        self.size = content.len() as u64;
        if let Some(data) = &mut self.data {
            *data = STANDARD.encode(content);
        }
    }

    /// Returns the platform if it is said: an empty operating system or architecture says nothing.
    pub fn said_platform(&self) -> Option<&Platform> {
        self.platform.as_deref().filter(|platform| platform.is_said())
    }

    /// Returns whether this is an image index or Docker's manifest list.
    pub fn is_index(&self) -> bool {
        self.media_type.is_index()
    }

    /// Returns whether an attestation of BuildKit is about one of some images.
    pub(crate) fn attests(&self, images: &HashSet<Digest>) -> bool {
        self.attested().is_some_and(|digest| images.contains(&digest))
    }

    /// Returns the image that an attestation of BuildKit is about.
    pub(crate) fn attested(&self) -> Option<Digest> {
        self.annotations.as_ref()?.get(REFERENCE_DIGEST)?.parse().ok()
    }

    /// Returns whether an entry of an index is an attestation of BuildKit, not an image.
    pub fn is_attestation(&self) -> bool {
        let reference_type = self.annotations.as_ref().and_then(|annotations| annotations.get(REFERENCE_TYPE));
        reference_type.is_some_and(|is| is == ATTESTATION)
    }

    /// Returns whether an entry of an index says that it is an attestation or an artifact, and so no image.
    pub(crate) fn says_no_image(&self) -> bool {
        self.is_attestation() || says_artifact(self.artifact_type.as_deref())
    }
}

/// Reads the content that a descriptor carries (image-spec, descriptor.md, "Embedded Content"): strict base64.
pub(crate) fn embedded(data: &str) -> Option<Vec<u8>> {
    STANDARD.decode(data).ok()
}

/// Returns whether an artifact type is one. Some programs say the type of the config of an image.
pub(super) fn says_artifact(artifact_type: Option<&str>) -> bool {
    artifact_type.is_some_and(|said| !said.is_empty() && !MediaType::is_image_config_type(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_content_is_read_strictly() {
        for (text, bytes) in
            [("", &b""[..]), ("YQ==", b"a"), ("YWI=", b"ab"), ("YWJj", b"abc"), ("+/+/", b"\xfb\xff\xbf")]
        {
            assert_eq!(embedded(text).as_deref(), Some(bytes), "{text}");
        }
        for bad in ["Y", "YQ", "YQ=", "YR==", "Y===", "====", "Y=Q=", "YQ==YQ==", "YW-_", "YQ==\n", " YQ="] {
            assert_eq!(embedded(bad), None, "{bad}");
        }
    }
}
