//! The meaning of an output path, for programs that treat standard output and files differently.

use std::fs::File;
use std::path::Path;

use super::Destination;
use crate::error::{Error, Result};

/// Returns whether output to a path comes out at standard output: it is `/dev/stdout`, a link to that, or another
/// descriptor on the same file, pipe or terminal. See `write_file`.
pub fn is_standard_output(path: impl AsRef<Path>) -> bool {
    Destination::resolve(path.as_ref()).is_ok_and(|destination| destination.is_stdout())
}

/// Returns whether a path names an open descriptor, a pipe or a device, which is written to and not replaced.
pub fn is_stream(path: impl AsRef<Path>) -> bool {
    let destination = Destination::resolve(path.as_ref());
    destination.is_ok_and(|it| matches!(it, Destination::Descriptor(_) | Destination::Device(_)))
}

/// Opens a log file, which is made if it is not there; a path that names an open descriptor means that.
///
/// # Errors
///
/// [`Error::Io`].
pub fn open_log(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    Destination::resolve(path).and_then(|it| it.append()).map_err(Error::io("open log file", path))
}
