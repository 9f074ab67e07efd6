//! Errors of the library from those of the system and of streams.

use std::io;
use std::path::PathBuf;

use super::variants::Error;
use crate::compress::{Encoding, bound_of, trailing_of};

impl Error {
    /// Returns a function that gives an error of the operating system its context.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Returns the error of a compressed stream that cannot be read to its end.
    pub(crate) fn from_stream(path: impl Into<PathBuf>, encoding: Encoding, source: io::Error) -> Self {
        let path = path.into();
        match (bound_of(&source), trailing_of(&source)) {
            (Some(bound), _) => Self::BeyondBound { path, bound },
            (None, Some(trailing)) => Self::TrailingBytes { path, trailing },
            (None, None) => Self::CorruptStream { path, encoding, source },
        }
    }
}
