//! The image config (image-spec, config.md): the part of it that this program reads and writes.

use super::fields::document_fields;
use super::{Digest, Platform, UnknownFields};

/// The platform of an image, its layers, and the process that it starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ImageConfig {
    /// When the image was made (RFC 3339).
    pub created: Option<String>,
    /// The CPU architecture, in Go's words.
    pub architecture: String,
    /// The operating system, in Go's words.
    pub os: String,
    /// The version of the operating system.
    pub os_version: Option<String>,
    /// The features that the operating system must have.
    pub os_features: Option<Vec<String>>,
    /// The variant of the CPU.
    pub variant: Option<String>,
    /// How a container of this image starts; `Labels` are among it.
    pub config: Option<UnknownFields>,
    /// The layers, as the digests of their uncompressed tars.
    pub rootfs: RootFs,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

document_fields!(ImageConfig {
    created: optional "created",
    architecture: required "architecture",
    os: required "os",
    os_version: optional "os.version",
    os_features: optional "os.features",
    variant: optional "variant",
    config: optional "config",
    rootfs: required "rootfs",
});

/// The layers that the file system of an image is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RootFs {
    /// Always `layers`.
    pub kind: String,
    /// The digests of the uncompressed tars, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

document_fields!(RootFs {
    kind: required "type",
    diff_ids: required "diff_ids",
});

impl RootFs {
    /// Returns the file system of layers, given as the digests of their uncompressed tars, the lowest first.
    pub fn new(diff_ids: Vec<Digest>) -> Self {
        Self { kind: "layers".to_owned(), diff_ids, extra: UnknownFields::new() }
    }
}

/// No layers.
impl Default for RootFs {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl ImageConfig {
    /// Returns the config of an image of a platform and layers. An operating system or architecture that the platform does
    /// not state is empty.
    ///
    /// ```
    /// use regshape::oci::{Digest, ImageConfig, RootFs};
    ///
    /// let layers = RootFs::new(vec![Digest::sha256_of(b"")]);
    /// let config = ImageConfig::new("linux/arm64/v8".parse()?, layers);
    /// assert_eq!((config.architecture.as_str(), config.variant.as_deref()), ("arm64", Some("v8")));
    /// # Ok::<(), regshape::oci::PlatformError>(())
    /// ```
    pub fn new(platform: Platform, rootfs: RootFs) -> Self {
        let Platform { architecture, os, os_version, os_features, variant, extra: _ } = platform;
        Self {
            created: None,
            architecture: architecture.unwrap_or_default(),
            os: os.unwrap_or_default(),
            os_version,
            os_features,
            variant,
            config: None,
            rootfs,
            extra: UnknownFields::new(),
        }
    }

    /// Returns the platform that an index entry of this image carries; `None` if the config does not say it.
    pub fn platform(&self) -> Option<Platform> {
        let platform = Platform {
            architecture: Some(self.architecture.clone()),
            os: Some(self.os.clone()),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
            extra: UnknownFields::new(),
        };
        platform.is_said().then_some(platform)
    }
}
