//! The path of a layout that need not be there yet: how it is written, and the files that every writer makes there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::WriteOptions;
use crate::error::{Error, Reason, Result};
use crate::fs::{Directory, TempFile, open_inside, read_at_most, sync_directory, sync_name};
use crate::interrupt::Interrupt;
use crate::json::Node;
use crate::metrics::{Metrics, Phase};
use crate::oci::Digest;

/// The file that makes a directory a layout (image-spec, image-layout.md, "oci-layout file").
pub(crate) const MARKER_FILE: &str = "oci-layout";

/// The directory of the blobs.
pub(crate) const BLOBS_DIRECTORY: &str = "blobs";

/// The layout in a temporary directory in which images are built.
pub(crate) const SCRATCH_DIRECTORY: &str = "layout";

/// The one version of the layout format that there is.
const LAYOUT_VERSION: &str = "1.0.0";

/// The largest marker that is read. Real ones have 30 bytes.
pub(crate) const MARKER_LIMIT: u64 = 64 * 1024;

/// A path where a layout is or may be made, and how work there is done. A [`Layout`](super::handle::Layout) is a site whose marker was
/// checked.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    root: PathBuf,
    metrics: Arc<Metrics>,
    options: WriteOptions,
    shares_blobs: bool,
}

/// Returns whether a directory has the marker of a layout, of any content.
pub(crate) fn has_marker(directory: &Path) -> bool {
    directory.join(MARKER_FILE).is_file()
}

/// Returns the layout that a path is in, or is itself. Of a path that is to be made, the directories above it count.
pub(crate) fn layout_above(path: &Path) -> Option<PathBuf> {
    let or_here = |path: &Path| if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path.to_owned() };
    let real = path.ancestors().find_map(|above| std::fs::canonicalize(or_here(above)).ok())?;
    real.ancestors().find(|above| has_marker(above)).map(Path::to_owned)
}

impl Site {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, metrics: Arc::default(), options: WriteOptions::default(), shares_blobs: false }
    }

    /// Returns another path that is written as this one is, and counted with it.
    pub(crate) fn another(&self, root: PathBuf) -> Self {
        Self { root, ..self.clone() }
    }

    /// Makes writers work as the options say.
    pub(crate) fn with_write_options(self, options: WriteOptions) -> Self {
        Self { options, ..self }
    }

    /// Makes a link at `blobs` that leads out of the layout be followed.
    pub(crate) fn with_shared_blobs(self) -> Self {
        Self { shares_blobs: true, ..self }
    }

    /// Makes the work here count with others.
    pub(crate) fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Checks that there is a layout, by its marker.
    ///
    /// # Errors
    ///
    /// [`Error::NotALayout`] if the directory has no `oci-layout` file; [`Error::MalformedMarker`] if that is not one,
    /// [`Error::LayoutVersion`] if it does not say version 1.0.0; [`Error::Io`].
    pub(crate) fn check_marker(&self) -> Result<()> {
        let path = self.marker_path();
        let malformed = |reason: String| {
            let reason = Reason::new(reason);
            Error::MalformedMarker { path: self.root.clone(), reason }
        };
        let read = open_inside(&self.root, &path).and_then(|file| read_marker(&file));
        let content = match read {
            Ok(Some(content)) => content,
            Ok(None) => return Err(malformed(format!("it is larger than {MARKER_LIMIT} bytes"))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(Error::NotALayout { path: self.root.clone() });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(malformed(error.to_string())),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        check_version(&content, &self.root)
    }

    /// Returns the directory, as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    pub(crate) fn marker_path(&self) -> PathBuf {
        self.root.join(MARKER_FILE)
    }

    /// Returns the path of a blob.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS_DIRECTORY).join(digest.algorithm_name()).join(digest.encoded())
    }

    /// Returns the counters of the work.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the counters, for others to count with.
    pub(crate) fn shared_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    pub(crate) fn write_options(&self) -> &WriteOptions {
        &self.options
    }

    /// Returns the value by which the work is ended.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.options.interrupt
    }

    /// Returns whether a link at `blobs` that leads out of the layout is followed.
    pub(crate) fn shares_blobs(&self) -> bool {
        self.shares_blobs
    }

    /// Returns whether writers wait for the disk.
    pub(crate) fn waits_for_disk(&self) -> bool {
        !self.options.no_sync
    }

    /// Opens the directory.
    pub(crate) fn open_root(&self) -> Result<Directory> {
        Directory::open(&self.root).map_err(Error::io("open", &self.root))
    }

    /// Writes a temporary file in a directory, in small pieces, and syncs it.
    pub(crate) fn temp_file(
        &self,
        directory: &Directory,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<TempFile> {
        let failed = || Error::io("write to", &self.root);
        let mut file = TempFile::create_within(directory, self.interrupt()).map_err(failed())?;
        self.metrics
            .time(Phase::Write, || {
                let mut counted = Counted { file: &mut file, metrics: &self.metrics };
                let mut buffered = BufWriter::with_capacity(WRITE_BUFFER, &mut counted);
                write(&mut buffered)?;
                buffered.flush()
            })
            .map_err(failed())?;
        self.sync_file(&file)?;
        Ok(file)
    }

    /// Waits until a file that has no name yet is on the disk.
    pub(crate) fn sync_file(&self, file: &TempFile) -> Result<()> {
        if self.options.no_sync {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || file.sync()).map_err(Error::io("write to", &self.root))
    }

    /// Waits until an open file that another process stored at a path, and its name, are on the disk.
    pub(crate) fn sync_stored(&self, file: &File, path: &Path) -> Result<()> {
        // Windows syncs only files that are open for writing, and syncs names with their files.
        if self.options.no_sync || cfg!(windows) {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || file.sync_data()).map_err(Error::io("sync", path))?;
        path.parent().map_or(Ok(()), |directory| self.sync_directory(directory))
    }

    /// Waits until the name of a directory that was made is on the disk.
    pub(crate) fn sync_name(&self, path: &Path) -> Result<()> {
        if self.options.no_sync {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || sync_name(path)).map_err(Error::io("sync", path))
    }

    /// Waits until the names in an open directory are on the disk.
    pub(crate) fn sync_names(&self, directory: &Directory) -> Result<()> {
        if self.options.no_sync {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || directory.sync()).map_err(Error::io("sync", directory.path()))
    }

    /// Waits until the names in a directory are on the disk.
    pub(crate) fn sync_directory(&self, directory: &Path) -> Result<()> {
        if self.options.no_sync {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || sync_directory(directory)).map_err(Error::io("sync", directory))
    }
}

/// How many bytes of a document are written at a time.
const WRITE_BUFFER: usize = 64 * 1024;

/// Counts written bytes.
struct Counted<'a> {
    file: &'a mut TempFile,
    metrics: &'a Metrics,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.metrics.count_written(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Returns the content of the file that makes a directory a layout.
pub(crate) fn marker() -> String {
    format!("{{\"imageLayoutVersion\":\"{LAYOUT_VERSION}\"}}")
}

/// Checks the content of that file.
///
/// # Errors
///
/// [`Error::MalformedMarker`]; [`Error::LayoutVersion`].
pub(crate) fn check_version(content: &[u8], path: &Path) -> Result<()> {
    let malformed = |reason: Reason| Error::MalformedMarker { path: path.to_owned(), reason };
    let marker = Node::parse(content).map_err(|error| malformed(error.into()))?;
    if !marker.is_object() {
        return Err(malformed(Reason::new("it is not a JSON object")));
    }
    let version = marker.get("imageLayoutVersion");
    let version = version.ok_or_else(|| malformed(Reason::new("it has no imageLayoutVersion")))?;
    match version.as_str() {
        Some(version) if version == LAYOUT_VERSION => Ok(()),
        Some(version) => Err(Error::LayoutVersion { found: version.into_owned(), expected: LAYOUT_VERSION }),
        None => Err(malformed(Reason::new("imageLayoutVersion is not a string"))),
    }
}

fn read_marker(file: &File) -> io::Result<Option<Vec<u8>>> {
    // On Windows a lock keeps others from reading too: wait for the writer.
    if cfg!(windows) {
        file.lock_shared()?;
    }
    read_at_most(file, MARKER_LIMIT)
}
