//! Opening a layout, making one, and locking it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::document::{INDEX_FILE, STAGE_FILE, pretty};
use super::error::{Error, Result};
use super::metrics::{Metrics, Phase};
use super::stage::Stage;
use crate::fs::{TempFile, open_regular, read_at_most, remove_stale, sync_directory};
use crate::oci::Index;

/// The file that makes a directory a layout (image-spec, image-layout.md, "oci-layout file").
const MARKER_FILE: &str = "oci-layout";

/// The directory of the blobs.
pub(super) const BLOBS_DIRECTORY: &str = "blobs";

/// The one version of the layout format that there is.
const LAYOUT_VERSION: &str = "1.0.0";

/// The largest marker that is read. Real ones have 30 bytes.
const MARKER_LIMIT: u64 = 64 * 1024;

/// An OCI image layout on the local disk.
///
/// A handle holds nothing open. Any number of them, in any number of processes, can work on one layout at once: writers
/// wait for each other, and readers see whole documents only.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("my-image");
/// use regshape::layout::Layout;
///
/// Layout::init(&path)?;
/// let layout = Layout::open(&path)?;
/// assert!(layout.read_index()?.manifests.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    metrics: Arc<Metrics>,
    waits_for_disk: bool,
}

/// The right to change the documents of a layout, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _marker: File,
}

#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

impl Layout {
    /// Makes a new, empty layout in a directory, which is created if it is not there.
    ///
    /// Other files in the directory are left alone. The marker is written last, so that a directory is a layout only when
    /// all of it is there; after an interruption `init` can be run again.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyLayout`] if the directory is a layout; [`Error::Occupied`] if a file or directory that belongs to
    /// a layout is there and holds something; [`Error::Io`]. After an error everything is as it was.
    pub fn init(path: impl Into<PathBuf>) -> Result<Self> {
        Self::init_with(path, true)
    }

    /// Makes a new layout as [`Layout::init`] does, for throw-away use: nothing waits for the disk.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::init`].
    pub fn init_without_sync(path: impl Into<PathBuf>) -> Result<Self> {
        Self::init_with(path, false)
    }

    fn init_with(path: impl Into<PathBuf>, waits_for_disk: bool) -> Result<Self> {
        let layout = Self { root: path.into(), metrics: Arc::default(), waits_for_disk };
        let mut made = Made::default();
        layout.make(&mut made)?;
        made.keep();
        Ok(layout)
    }

    fn make(&self, made: &mut Made) -> Result<()> {
        let root = &self.root;
        made.directories(root)?;
        // Of two that make a layout here at once, one waits and then finds it made.
        let directory = if cfg!(unix) {
            let directory = File::open(root).map_err(Error::io("open", root))?;
            self.metrics.time(Phase::LockWait, || directory.lock()).map_err(Error::io("lock", root))?;
            Some(directory)
        } else {
            None
        };

        let marker = self.marker_path();
        let marker_is_empty = match fs::symlink_metadata(&marker) {
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => true,
            Ok(_) => return Err(Error::AlreadyLayout { path: root.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io("read", marker)(error)),
        };
        let blobs = root.join(BLOBS_DIRECTORY);
        if has_blobs(&blobs).map_err(Error::io("read", &blobs))? {
            return Err(Error::Occupied { path: root.clone(), name: BLOBS_DIRECTORY });
        }
        made.directories(&blobs.join("sha256"))?;
        self.make_file(INDEX_FILE, &pretty(&Index::empty()), made)?;
        self.make_file(STAGE_FILE, &pretty(&Stage::empty()), made)?;
        self.sync_directory(&blobs)?;
        self.sync_directory(root)?;

        let content = format!("{{\"imageLayoutVersion\":\"{LAYOUT_VERSION}\"}}");
        let file = self.temp_file(content.as_bytes())?;
        let named = if marker_is_empty { file.persist(&marker) } else { file.persist_new(&marker) };
        match named {
            Ok(()) => made.files.push(marker),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Somebody else made this layout meanwhile, of what we made: it is theirs now.
                made.keep();
                return Err(Error::AlreadyLayout { path: root.clone() });
            }
            Err(error) => return Err(Error::io("write", marker)(error)),
        }
        self.sync_directory(root)?;
        drop(directory);
        Ok(())
    }

    /// Makes a document of a new layout, unless it is there already from an interrupted `init`.
    fn make_file(&self, name: &'static str, content: &[u8], made: &mut Made) -> Result<()> {
        let path = self.root.join(name);
        match open_regular(&path).and_then(|file| read_at_most(&file, MARKER_LIMIT)) {
            Ok(Some(found)) if found == content => return Ok(()),
            Ok(Some(found)) if found.is_empty() => {
                self.temp_file(content)?.persist(&path).map_err(Error::io("write", &path))?;
                made.files.push(path);
                return Ok(());
            }
            Ok(_) => return Err(Error::Occupied { path: self.root.clone(), name }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(Error::Occupied { path: self.root.clone(), name });
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        }
        match self.temp_file(content)?.persist_new(&path) {
            Ok(()) => made.files.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Occupied { path: self.root.clone(), name });
            }
            Err(error) => return Err(Error::io("write", path)(error)),
        }
        Ok(())
    }

    /// Opens a layout that is there.
    ///
    /// # Errors
    ///
    /// [`Error::NotALayout`] if the directory has no `oci-layout` file; [`Error::MalformedMarker`] if that does not say
    /// version 1.0.0; [`Error::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let layout = Self { root: path.into(), metrics: Arc::default(), waits_for_disk: true };
        let marker = layout.marker_path();
        let malformed = |reason: String| Error::MalformedMarker { path: layout.root.clone(), reason };
        let content = match open_regular(&marker).and_then(|file| read_marker(&file)) {
            Ok(content) => content.ok_or_else(|| malformed(format!("it is larger than {MARKER_LIMIT} bytes")))?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(Error::NotALayout { path: layout.root });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(malformed(error.to_string())),
            Err(error) => return Err(Error::io("read", marker)(error)),
        };
        let found: Marker = serde_json::from_slice(&content).map_err(|error| malformed(error.to_string()))?;
        if found.version != LAYOUT_VERSION {
            let found = found.version.escape_debug();
            return Err(malformed(format!("imageLayoutVersion is '{found}', expected '{LAYOUT_VERSION}'")));
        }
        Ok(layout)
    }

    /// Makes this handle write without waiting for the disk, for throw-away layouts: after a crash of the machine, not of
    /// the program, a layout may be broken.
    #[must_use]
    pub fn without_sync(self) -> Self {
        Self { waits_for_disk: false, ..self }
    }

    /// Returns the directory, as it was given.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Returns the counters of the work done through this handle.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn marker_path(&self) -> PathBuf {
        self.root.join(MARKER_FILE)
    }

    /// Waits until nobody else writes, and keeps others from writing. What killed writers left is cleaned.
    pub(super) fn lock(&self) -> Result<Lock> {
        let path = self.marker_path();
        // Some network file systems lock only files that are open for writing.
        let marker = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .or_else(|_| File::open(&path))
            .map_err(Error::io("open", &path))?;
        self.metrics.time(Phase::LockWait, || marker.lock()).map_err(Error::io("lock", &path))?;
        remove_stale(&self.root).map_err(Error::io("clean", &self.root))?;
        Ok(Lock { _marker: marker })
    }

    /// Writes a temporary file on the layout's file system and syncs it.
    pub(super) fn temp_file(&self, content: &[u8]) -> Result<TempFile> {
        let mut file = TempFile::create_in(&self.root).map_err(Error::io("write to", &self.root))?;
        self.metrics.count_written(content.len());
        self.metrics.time(Phase::Write, || file.write_all(content)).map_err(Error::io("write to", &self.root))?;
        self.sync_file(&file)?;
        Ok(file)
    }

    /// Waits until a file that has no name yet is on the disk.
    pub(super) fn sync_file(&self, file: &TempFile) -> Result<()> {
        if !self.waits_for_disk {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || file.sync()).map_err(Error::io("write to", &self.root))
    }

    /// Waits until the names in a directory are on the disk.
    pub(super) fn sync_directory(&self, directory: &Path) -> Result<()> {
        if !self.waits_for_disk {
            return Ok(());
        }
        self.metrics.time(Phase::Sync, || sync_directory(directory)).map_err(Error::io("sync", directory))
    }
}

fn read_marker(file: &File) -> io::Result<Option<Vec<u8>>> {
    // On Windows a lock keeps others from reading too: wait for the writer.
    if cfg!(windows) {
        file.lock_shared()?;
    }
    read_at_most(file, MARKER_LIMIT)
}

/// Tells whether a `blobs` directory holds anything but the empty directories of an interrupted `init`.
fn has_blobs(blobs: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(blobs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || fs::read_dir(entry.path())?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an `init` made so far, and takes away again unless it is kept.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Made {
    /// Makes a directory and those above it.
    fn directories(&mut self, path: &Path) -> Result<()> {
        let missing: Vec<_> =
            path.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
        for directory in missing.into_iter().rev() {
            match fs::create_dir(directory) {
                Ok(()) => self.directories.push(directory.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", directory)(error)),
            }
        }
        if path.is_dir() { Ok(()) } else { Err(Error::io("create", path)(io::ErrorKind::NotADirectory.into())) }
    }

    fn keep(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be taken away now cannot be reported any more either: the first error is on its way.
        for file in self.files.iter().rev() {
            let _ = fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}
