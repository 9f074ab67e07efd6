//! The image config (image-spec, config.md): the part of it that this program reads and writes.

use serde::{Deserialize, Serialize};

use super::{Digest, Platform, UnknownFields};

/// What an image runs on, what it is made of, and what it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The CPU architecture, in Go's words.
    pub architecture: String,
    /// The operating system, in Go's words.
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The features that the operating system must have.
    #[serde(rename = "os.features", default, skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    /// The variant of the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How a container of this image starts; `Labels` are among it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<UnknownFields>,
    /// The layers, as the digests of their uncompressed tars.
    pub rootfs: RootFs,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

/// The layers that the file system of an image is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed tars, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

impl ImageConfig {
    /// Returns the platform that an index entry of this image carries.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: Some(self.architecture.clone()),
            os: Some(self.os.clone()),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
            extra: UnknownFields::new(),
        }
    }
}
