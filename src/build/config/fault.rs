//! Why a config cannot be changed.

use crate::error::{ConfigError, CopyError, Error, Reason};
use crate::oci::JsonError;

/// Why a config cannot be changed.
pub(crate) enum Fault {
    /// The config has a field of another type than the image-spec's.
    Malformed(Reason),
    Other(Error),
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::Malformed(reason)
    }
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        Self::Malformed(error.into())
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        Self::Other(error.into())
    }
}

impl From<CopyError> for Fault {
    fn from(error: CopyError) -> Self {
        Self::Other(error.into())
    }
}

impl Fault {
    /// Returns the error. The caller names the config that is malformed.
    pub(crate) fn into_error(self, malformed: impl FnOnce(Reason) -> Error) -> Error {
        match self {
            Self::Malformed(reason) => malformed(reason),
            Self::Other(error) => error,
        }
    }
}

pub(crate) fn is_not_object(name: &str) -> Reason {
    Reason::new(format!("{name} is not an object"))
}
