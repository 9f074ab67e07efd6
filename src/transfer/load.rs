//! Options of loading an archive, and the error for a file that is none.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::compress::Bounds;
use crate::error::{Error, Reason};
use crate::metrics::Progress;
use crate::options::setters;

/// How an archive is loaded.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoadOptions<'a> {
    /// The largest decompressed content that is kept in memory, if it cannot be read in place: 100 MiB by default.
    pub memory_threshold: u64,
    /// How much a compressed archive may decompress to.
    pub bounds: Bounds,
    /// The directory for content that is not kept in memory; by default that of the system's temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Called with the number of bytes that were read.
    pub progress: Option<Progress<'a>>,
}

impl<'a> LoadOptions<'a> {
    setters! {
        memory_threshold: [u64],
        bounds: [Bounds],
        spill_directory: [some PathBuf],
        progress: [option Progress<'a>],
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { memory_threshold: 100 << 20, bounds: Bounds::default(), spill_directory: None, progress: None }
    }
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_threshold, bounds, spill_directory, progress: _ } = self;
        f.debug_struct("LoadOptions")
            .field("memory_threshold", memory_threshold)
            .field("bounds", bounds)
            .field("spill_directory", spill_directory)
            .finish_non_exhaustive()
    }
}

/// Returns the error of a file that is not an image archive.
pub(crate) fn not_an_archive(path: &Path, reason: impl Into<String>) -> Error {
    Error::NotAnArchive { path: path.to_owned(), reason: Reason::new(reason) }
}
