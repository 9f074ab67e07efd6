//! The documents of the OCI image-spec, as values.
//!
//! Nothing here touches a file: this module defines digests, descriptors, manifests, indexes and image configs, their
//! JSON and their media types. Types that are read and written again keep unknown fields, so that a document passes
//! through this program without loss.

pub(crate) mod annotation_change;
mod config;
mod config_values;
mod descriptor;
mod digest;
pub(crate) mod entry_name;
pub(crate) mod field_change;
pub(crate) mod fields;
mod index;
mod manifest;
mod media_type;
mod platform;
mod platform_check;
mod platform_words;
mod ref_name;
mod reference;
mod text_names;
mod time;

pub use annotation_change::AnnotationChange;
pub use config::{ImageConfig, RootFs};
pub use config_values::{ConfigField, ConfigValueError, ExposedPort, Healthcheck, ProcessUser, StopSignal};
pub(crate) use descriptor::{ATTESTATION, EMPTY_CONTENT, REFERENCE_TYPE, embedded};
pub use descriptor::{Annotations, Descriptor};
pub use digest::{Algorithm, Digest, DigestError, Hasher, is_short_digest};
pub(crate) use entry_name::{IMAGE_NAME, ImageNames, Match, NameKey, NameKind, WholeName, is_name, tag_in};
pub use field_change::FieldChange;
pub use index::Index;
pub use manifest::Manifest;
pub use media_type::{LayerEncoding, MediaType, MediaTypeError};
pub use platform::{Fit, Platform, PlatformError};
pub use platform_check::check_platform;
pub use platform_words::{
    PlatformWordError, check_architecture, check_os, check_variant, is_known_architecture, is_known_os,
};
pub use ref_name::{RefName, RefNameError};
pub use reference::{NameError, Reference, RepositoryName, Tag};
pub use time::{ParseTimestampError, Timestamp};

pub use crate::json::{Json, JsonError, UnknownFields, from_json, to_blob, to_json_pretty, write_json_pretty};

/// The annotation that names an entry of `index.json` (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation that names the file of an artifact's layer (image-spec, annotations.md): oras writes the file by this name.
pub const TITLE: &str = "org.opencontainers.image.title";
