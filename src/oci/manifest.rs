//! The image manifest (image-spec, manifest.md).

use serde::{Deserialize, Serialize};

use super::{Annotations, Descriptor, MediaType, UnknownFields, index};

/// One image or artifact: its config and its layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always 2.
    #[serde(rename = "schemaVersion", deserialize_with = "index::schema_version")]
    pub schema_version: u32,
    /// The media type of the manifest itself.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of an artifact.
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, the lowest first. Some Go programs write `null` for none.
    #[serde(deserialize_with = "index::null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// What this manifest refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// The annotations of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}
