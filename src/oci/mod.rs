//! The documents of the OCI image-spec, as values.
//!
//! Nothing here touches a file: this module knows what a digest, a descriptor, a manifest, an index and an image config
//! are, how they are written as JSON and which media types name them. Types that are read and written again keep the
//! fields that they do not know, so that a document passes through this program without losing anything.

mod config;
mod descriptor;
mod digest;
pub(crate) mod fields;
mod index;
mod manifest;
mod media_type;
mod name;
mod platform;
mod reference;

pub use config::{ImageConfig, RootFs};
pub(crate) use descriptor::{ATTESTATION, CONTAINERD_NAME, REFERENCE_TYPE, embedded};
pub use descriptor::{Annotations, Descriptor};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use index::Index;
pub use manifest::Manifest;
pub use media_type::{LayerEncoding, MediaType, MediaTypeError};
pub use name::{NameError, Reference, RepositoryName, Tag};
pub use platform::{Fit, Platform, PlatformError, PlatformWordError, check_architecture, check_os};
pub use reference::{RefName, RefNameError};

use serde::Serialize;

/// The annotation that names an entry of `index.json` (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The fields of a document that this program does not know, kept as they were.
pub type UnknownFields = serde_json::Map<String, serde_json::Value>;

/// Writes a document as the bytes of a blob: compact JSON with sorted keys.
///
/// Equal documents give equal bytes, and so equal digests: what this function writes is a promise.
///
/// ```
/// let document = serde_json::json!({"b": 1, "a": [true]});
/// assert_eq!(regshape::oci::to_blob(&document), br#"{"a":[true],"b":1}"#);
/// ```
pub fn to_blob(document: &impl Serialize) -> Vec<u8> {
    // Going through `Value` sorts the keys: its objects are ordered maps.
    let value = serde_json::to_value(document).expect("documents have string keys only");
    serde_json::to_vec(&value).expect("a JSON value can always be written")
}
