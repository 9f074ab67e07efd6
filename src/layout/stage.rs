//! The format of the staging file: what has been added to a layout and not yet made into an image.
//!
//! Schema 1 is shared with the original program: either reads what the other wrote. Keys that this program adds
//! (`diff_id` of a layer, `ref_name` of the manifest, `unnamed_manifest`) may be missing, and keys that it does not know are kept.

use serde::{Deserialize, Deserializer, Serialize};

use crate::oci::{Annotations, Digest, MediaType, UnknownFields};

/// The version that this program writes and reads.
pub(crate) const SCHEMA_VERSION: u64 = 1;

/// The content of the staging file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Always 1.
    pub schema_version: u64,
    /// The layers, in the order in which they were added: the lowest first.
    pub layers: Vec<StagedLayer>,
    /// The config, once it is generated.
    #[serde(deserialize_with = "required")]
    pub config: Option<StagedConfig>,
    /// The manifest, once it is generated.
    #[serde(deserialize_with = "required")]
    pub manifest: Option<StagedManifest>,
    /// The manifest that was generated without a ref name, if there is one: the next one takes its place. The original
    /// program does not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unnamed_manifest: Option<Digest>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

/// A layer that was added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagedLayer {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// The annotations that its descriptor gets in the manifest.
    #[serde(default)]
    pub annotations: Annotations,
    /// The digest of the uncompressed tar. The original program does not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

/// The config that was generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagedConfig {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

/// The manifest that was generated last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagedManifest {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The media type of the blob.
    pub media_type: MediaType,
    /// The annotations in the manifest.
    #[serde(default)]
    pub annotations: Annotations,
    /// The ref name of its entry in `index.json`. The original program does not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_name: Option<String>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

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
}

/// The result of a change, and what it means for what was made before.
#[derive(Clone, Debug, PartialEq)]
pub struct Updated<T> {
    /// What was changed, as it is now.
    pub value: T,
    /// Whether a manifest was generated that does not have the change.
    pub outdates_manifest: bool,
}

/// Takes a key that may be null, but not missing.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}
