//! Options of loading an archive, and the error for a file that is not an archive.

use std::path::{Path, PathBuf};

use crate::compress::Bounds;
use crate::error::{Error, Reason};
use crate::interrupt::Interrupt;
use crate::metrics::Progress;
use crate::options::setters;

/// Options of loading an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadOptions<'a> {
    /// The most bytes, decompressed, of an archive that cannot be read in place that are kept in memory: 100 MiB by
    /// default.
    pub memory_threshold: u64,
    /// The limits on the decompressed size of an archive.
    pub bounds: Bounds,
    /// The directory for archives too large for memory; by default the directory of the system for temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Called with the number of bytes that were read.
    pub progress: Progress<'a>,
    /// Ends the work, for instance when a signal arrives.
    pub interrupt: Interrupt,
}

impl<'a> LoadOptions<'a> {
    setters! {
        memory_threshold: [u64],
        bounds: [Bounds],
        spill_directory: [some PathBuf],
        progress: [into Progress<'a>],
        interrupt: [Interrupt],
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            memory_threshold: 100 << 20,
            bounds: Bounds::default(),
            spill_directory: None,
            progress: Progress::none(),
            interrupt: Interrupt::default(),
        }
    }
}

/// Returns the error for a file that is not an archive of images.
pub(crate) fn not_an_archive(path: &Path, reason: impl Into<String>) -> Error {
    Error::NotAnArchive { path: path.to_owned(), reason: Reason::new(reason) }
}
