//! Systems on which files of images are not written.

use std::path::Path;

use super::options::UnpackOptions;
use super::report::Unpacked;
use crate::error::{Result, UnpackError};
use crate::metrics::Progress;
use crate::rootfs::ImageFiles;

impl ImageFiles {
    /// Writes all files of the image below a directory: on Linux only.
    ///
    /// # Errors
    ///
    /// [`UnpackError::Unsupported`].
    pub fn unpack(
        &mut self,
        _destination: &Path,
        _options: &UnpackOptions,
        _progress: Progress<'_>,
    ) -> Result<Unpacked> {
        Err(UnpackError::Unsupported.into())
    }

    /// Writes entries of the image into a directory: on Linux only.
    ///
    /// # Errors
    ///
    /// [`UnpackError::Unsupported`].
    pub fn extract(&mut self, _paths: &[Vec<u8>], _directory: &Path, _options: &UnpackOptions) -> Result<Unpacked> {
        Err(UnpackError::Unsupported.into())
    }
}
