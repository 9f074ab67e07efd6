//! Where the uploads of a layout lie: blobs that come in pieces and are not yet complete.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::site::Site;
use crate::error::{Error, Result};
use crate::fs::{Directory, FileKind};

/// Where the uploads of a layout are.
pub(crate) const UPLOADS_DIRECTORY: &str = ".regshape-uploads";

/// How many hexadecimal digits an id has.
pub(crate) const ID_LENGTH: usize = 32;

/// Returns whether a name is one that uploads have.
pub(crate) fn is_upload_id(name: &str) -> bool {
    name.len() == ID_LENGTH && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Opens the directory of the uploads; `None` if it is not there.
///
/// # Errors
///
/// [`Error::Io`] if it is a link.
pub(crate) fn find_uploads(root: &Directory) -> Result<Option<Directory>> {
    let failed = || Error::io("read", root.path_of(UPLOADS_DIRECTORY));
    let Some(found) = root.find(UPLOADS_DIRECTORY).map_err(failed())? else { return Ok(None) };
    if found.kind != FileKind::Directory {
        return Err(failed()(ErrorKind::NotADirectory.into()));
    }
    match root.open_beneath(UPLOADS_DIRECTORY) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed()(error)),
    }
}

/// Returns the path of an upload; `None` if this is no id of one.
pub(crate) fn upload_path(site: &Site, id: &str) -> Option<PathBuf> {
    is_upload_id(id).then(|| site.path().join(UPLOADS_DIRECTORY).join(id))
}

pub(crate) fn unknown_upload(site: &Site, id: &str) -> Error {
    Error::UnknownUpload { path: site.path().to_owned(), id: id.to_owned() }
}
