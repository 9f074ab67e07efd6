//! The format of the staging file: the layers and documents of an image that is being built.
//!
//! Schema 1 is shared with the original program: each reads the other's files. Keys that this program adds (`diff_id`
//! of a layer, `ref_name` of the manifest, `unnamed_manifest`) may be missing, and unknown keys are kept.

use serde::{Deserialize, Deserializer};

use crate::oci::fields::document_fields;
use crate::oci::{Annotations, Digest, MediaType, UnknownFields};

/// The version that this program writes and reads.
pub(crate) const SCHEMA_VERSION: u64 = 1;

/// The content of the staging file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stage {
    /// Always 1.
    pub schema_version: u64,
    /// The layers, in the order in which they were added: the lowest first.
    pub layers: Vec<StagedLayer>,
    /// The config, once it is generated.
    pub config: Option<StagedConfig>,
    /// The manifest, once it is generated.
    pub manifest: Option<StagedManifest>,
    /// The manifest that was generated without a ref name, if there is one: the next one takes its place. The original
    /// program does not write it.
    pub unnamed_manifest: Option<Digest>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// A layer that was added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StagedLayer {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// The annotations that its descriptor gets in the manifest.
    pub annotations: Annotations,
    /// The digest of the uncompressed tar. The original program does not write it.
    pub diff_id: Option<Digest>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// The config that was generated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StagedConfig {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// The manifest that was generated last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StagedManifest {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// The annotations in the manifest.
    pub annotations: Annotations,
    /// The ref name of its entry in `index.json`. The original program does not write it.
    pub ref_name: Option<String>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

/// A media type of the form type/subtype: staged types are written into documents.
struct StatedMediaType(MediaType);

impl<'de> Deserialize<'de> for StatedMediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

document_fields!(Stage {
    schema_version: required "schema_version",
    layers: required "layers",
    config: required "config",
    manifest: required "manifest",
    unnamed_manifest: optional "unnamed_manifest",
});

document_fields!(StagedLayer {
    digest: required "digest",
    size: required "size",
    media_type: required "media_type" via StatedMediaType,
    annotations: default "annotations",
    diff_id: optional "diff_id",
});

document_fields!(StagedConfig {
    digest: required "digest",
    size: required "size",
    media_type: required "media_type" via StatedMediaType,
});

document_fields!(StagedManifest {
    digest: required "digest",
    size: required "size",
    media_type: required "media_type" via StatedMediaType,
    annotations: default "annotations",
    ref_name: optional "ref_name",
});

impl Stage {
    /// Returns the stage of a new layout.
    pub(crate) fn empty() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            layers: Vec::new(),
            config: None,
            manifest: None,
            unnamed_manifest: None,
            extra: UnknownFields::new(),
        }
    }

    /// Returns the blobs that the staging file names.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let layers = self.layers.iter().map(|layer| &layer.digest);
        let config = self.config.iter().map(|config| &config.digest);
        layers.chain(config).chain(self.manifest.iter().map(|manifest| &manifest.digest))
    }
}

/// The result of a change, and its consequence for earlier results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated<T> {
    /// The changed value.
    pub value: T,
    /// Whether a manifest was generated that does not have the change.
    pub outdates_manifest: bool,
}
