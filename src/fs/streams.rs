//! Information about an output path, for programs that treat standard output and files differently.

use std::fs::File;
use std::path::Path;

use super::Destination;
use crate::error::{Error, Result};

/// Returns whether output to a path goes to standard output: the path is `/dev/stdout`, a link to it, or another
/// descriptor of the same file, pipe or terminal. See `fs/output.rs`.
pub fn is_standard_output(path: impl AsRef<Path>) -> bool {
    Destination::resolve(path.as_ref()).is_ok_and(|destination| destination.is_stdout())
}

/// Returns whether a path names an open descriptor, a pipe or a device, which is written to instead of replaced.
pub fn is_stream(path: impl AsRef<Path>) -> bool {
    let destination = Destination::resolve(path.as_ref());
    destination.is_ok_and(|it| matches!(it, Destination::Descriptor(_) | Destination::Device(_)))
}

/// Opens a log file for appending, and creates it if it does not exist. The path may name an open descriptor.
///
/// # Errors
///
/// [`Error::Io`].
pub fn open_log(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    Destination::resolve(path).and_then(|it| it.append()).map_err(Error::io("open log file", path))
}
