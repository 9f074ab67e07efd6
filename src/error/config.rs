//! Errors about the fields of image configs.

use super::words::{counted, list};
use crate::oci::ConfigValueError;

/// Why a config cannot be made, changed or read as asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is not one that the config can have.
    #[error(transparent)]
    Value(#[from] ConfigValueError),
    /// A value of the environment refers to a variable that is not set.
    #[error("{entry}: no variable '{}' is set in the config's Env", .variable.escape_debug())]
    UnknownVariable {
        /// The name of the variable that is to be set.
        entry: String,
        /// The name of the unknown variable.
        variable: String,
    },
    /// A value of the environment has a `${` without its `}`.
    #[error("{entry}: '${{' without '}}' in '{}'", .value.escape_debug())]
    UnclosedVariable {
        /// The name of the variable that is to be set.
        entry: String,
        /// Its value.
        value: String,
    },
    /// A path of the process is relative.
    #[error("{field} '{}' is not an absolute path", .path.escape_debug())]
    RelativePath {
        /// The field.
        field: &'static str,
        /// The path.
        path: String,
    },
    /// The history has more entries of layers than the image has layers.
    #[error("the history has {} of layers, but the image has {layers}", counted(*.entries, "entry"))]
    LongHistory {
        /// The number of entries of layers.
        entries: usize,
        /// The number of layers.
        layers: usize,
    },
    /// The given config is not an image config.
    #[error("the given config is not valid: {reason}")]
    Invalid {
        /// The fault.
        reason: String,
    },
    /// A field that is to be removed is neither known nor set.
    #[error("the config has no field '{}'", .field.escape_debug())]
    UnknownField {
        /// The field.
        field: String,
    },
    /// A field of an image's config is not set.
    #[error("the config of '{}' has no {}", .reference.escape_debug(), .field.escape_debug())]
    UnsetField {
        /// The image, as it was asked for.
        reference: String,
        /// The field.
        field: String,
    },
    /// A reference is that of an index with several images.
    #[error("'{}' has images for {}", .reference.escape_debug(), list(.platforms))]
    SeveralImages {
        /// The reference.
        reference: String,
        /// Their platforms.
        platforms: Vec<String>,
    },
    /// A reference is that of an index without images.
    #[error("'{}' is an index without images", .reference.escape_debug())]
    NoImages {
        /// The reference.
        reference: String,
    },
}
