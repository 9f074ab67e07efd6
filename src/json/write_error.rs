//! Errors of writing JSON.

use std::fmt::{self, Display};
use std::io;

use serde::ser;

use super::error::JsonError;

/// Why a value could not be written.
#[derive(Debug)]
pub(super) enum WriteError {
    Io(io::Error),
    Value(JsonError),
}

impl WriteError {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            Self::Value(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {}

impl ser::Error for WriteError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Value(JsonError::new(message.to_string(), None))
    }
}
