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
    /// Up to how many bytes of what cannot be read where it is are kept in memory, decompressed: 100 MiB by default.
    pub memory_threshold: u64,
    /// How much a compressed archive may decompress to.
    pub bounds: Bounds,
    /// Where what is not kept in memory is written; by default where the system has temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Who is told of the bytes that were read.
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

/// Says that a file is no archive of images.
pub(crate) fn not_an_archive(path: &Path, reason: impl Into<String>) -> Error {
    Error::NotAnArchive { path: path.to_owned(), reason: Reason::new(reason) }
}
