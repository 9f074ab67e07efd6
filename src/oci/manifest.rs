//! The image manifest (image-spec, manifest.md).

use super::descriptor::says_artifact;
use super::fields::document_fields;
use super::index::{Descriptors, SchemaVersion};
use super::{Annotations, Descriptor, MediaType, UnknownFields};

/// One image or artifact: its config and its layers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of the manifest itself.
    pub media_type: Option<MediaType>,
    /// The type of an artifact.
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, the lowest first. Some Go programs write `null` for none.
    pub layers: Vec<Descriptor>,
    /// The subject of this manifest.
    pub subject: Option<Descriptor>,
    /// The annotations of the manifest.
    pub annotations: Option<Annotations>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

impl Manifest {
    /// Returns the manifest of a config and layers, the lowest first.
    ///
    /// ```
    /// use regshape::oci::{Annotations, Descriptor, Digest, Manifest, MediaType, to_blob};
    ///
    /// let config = Descriptor::new(MediaType::config(), Digest::sha256_of(b"{}"), 2);
    /// let mut manifest = Manifest::new(config, Vec::new());
    /// manifest.annotations = Some(Annotations::from([("com.example.role".to_owned(), "base".to_owned())]));
    /// assert!(to_blob(&manifest).starts_with(br#"{"annotations":{"com.example.role":"base"},"config":"#));
    /// ```
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::manifest()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: None,
            extra: UnknownFields::new(),
        }
    }

    /// Returns whether an entry of an index that leads here leads to an image: the config is that of an image, and neither the
    /// entry nor the manifest says that this is something else. Signatures and other artifacts may have an image's config,
    /// and layers of which none is one of an image; without any layers this is an image.
    pub fn is_image(&self, entry: &Descriptor) -> bool {
        self.config.media_type.is_image_config()
            && !entry.says_no_image()
            && !says_artifact(self.artifact_type.as_deref())
            && (self.layers.is_empty() || self.layers.iter().any(|layer| layer.media_type.layer_encoding().is_some()))
    }
}

document_fields!(Manifest {
    schema_version: required "schemaVersion" via SchemaVersion,
    media_type: optional "mediaType",
    artifact_type: optional "artifactType",
    config: required "config",
    layers: required "layers" via Descriptors,
    subject: optional "subject",
    annotations: optional "annotations",
});
