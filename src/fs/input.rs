//! Input files named by the user: layers, archives, blobs, manifests.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Opens a file, a pipe or a device for reading. Returns its size if that is known in advance.
///
/// # Errors
///
/// [`Error::FileNotFound`], [`Error::IsDirectory`]; [`Error::Io`].
pub fn open_input(path: impl AsRef<Path>) -> Result<(File, Option<u64>)> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::FileNotFound { path: path.to_owned() },
        // Windows fails to open a directory.
        _ if path.is_dir() => Error::IsDirectory { path: path.to_owned() },
        _ => Error::io("read", path)(error),
    })?;
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    if metadata.is_dir() {
        return Err(Error::IsDirectory { path: path.to_owned() });
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}
