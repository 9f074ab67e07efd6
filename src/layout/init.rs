//! Making a layout.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::document_files::{STAGE_FILE, pretty};
use super::handle::Layout;
use super::site::{BLOBS_DIRECTORY, MARKER_FILE, MARKER_LIMIT, Site, marker};
use super::staging_file::Stage;
use crate::error::{Error, Result};
use crate::fs::{Identity, is_called_temporary, open_regular, read_at_most, target_inside};
use crate::graph::walk::INDEX_FILE;
use crate::interrupt::{Registered, Section};
use crate::layout::leftovers::clean_directory;
use crate::layout::lock::acquire;
use crate::layout::options::WriteOptions;
use crate::oci::Index;

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
        Self::init_with(path, &WriteOptions::default())
    }

    /// Makes a new layout as [`Layout::init`] does; the handle keeps the options.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::init`]; [`Error::Locked`].
    pub fn init_with(path: impl Into<PathBuf>, options: &WriteOptions) -> Result<Self> {
        Site::new(path.into()).with_write_options(options.clone()).initialised()
    }

    /// Makes a layout as [`Layout::init_with`] does, in a directory whose `blobs` may be a link to blobs that several layouts share,
    /// as [`Layout::with_shared_blobs`] says.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::init`].
    pub fn init_with_shared_blobs(path: impl Into<PathBuf>, options: &WriteOptions) -> Result<Self> {
        Site::new(path.into()).with_write_options(options.clone()).with_shared_blobs().initialised()
    }
}

impl Site {
    fn initialised(self) -> Result<Layout> {
        let mut made = NewDirectories::default();
        self.make(Purpose::ToBuildIn, &mut made)?;
        made.keep();
        Ok(Layout::made(self))
    }

    /// Makes the directory of a layout that is not there yet, so that something can be written for it.
    pub(crate) fn prepare_directory(&self) -> Result<NewDirectories> {
        let mut made = NewDirectories::default();
        made.directories(self, self.path())?;
        Ok(made)
    }

    /// Makes the layout, which was not there, without a staging file: nothing is built in it so far.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::init`], except that another process may make the layout at the same time.
    pub(crate) fn make_layout(&self, made: NewDirectories) -> Result<Layout> {
        self.make_with_others(Purpose::ToStoreIn, made)
    }

    fn make_with_others(&self, kind: Purpose, mut made: NewDirectories) -> Result<Layout> {
        match self.make(kind, &mut made) {
            Ok(()) => {
                made.keep();
                Ok(Layout::made(self.clone()))
            }
            Err(Error::AlreadyLayout { .. }) => {
                made.keep();
                Layout::at(self.clone())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether a directory holds only the files of an interrupted `init` or first upload: parts of an empty
    /// layout, and temporary files.
    pub(crate) fn is_half_made(&self) -> io::Result<bool> {
        let root = self.path();
        for entry in fs::read_dir(root)? {
            let name = entry?.file_name();
            let path = root.join(&name);
            let is_part = match name.to_str() {
                Some(BLOBS_DIRECTORY) if self.shares_blobs() && fs::symlink_metadata(&path)?.is_symlink() => {
                    path.is_dir()
                }
                Some(BLOBS_DIRECTORY) => fs::symlink_metadata(&path)?.is_dir() && !has_blobs(&path)?,
                Some(INDEX_FILE) => is_from_init(&path, &pretty(&Index::empty()))?,
                Some(STAGE_FILE) => is_from_init(&path, &pretty(&Stage::empty()))?,
                Some(MARKER_FILE) => is_from_init(&path, b"")?,
                _ => is_called_temporary(&name),
            };
            if !is_part {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the rest of a layout that is half made, as `init` does. Another process may do so at the same time.
    pub(crate) fn finish_half_made(&self) -> Result<()> {
        let is_to_build_in = fs::symlink_metadata(self.path().join(STAGE_FILE)).is_ok();
        self.make_with_others(
            if is_to_build_in { Purpose::ToBuildIn } else { Purpose::ToStoreIn },
            NewDirectories::default(),
        )
        .map(drop)
    }

    fn make(&self, kind: Purpose, made: &mut NewDirectories) -> Result<()> {
        let root = self.path();
        // Of two processes that make a layout here at once, one waits and then finds it made. The directory that it
        // locked may be gone.
        let directory = loop {
            made.directories(self, root)?;
            match self.lock_directory()? {
                DirectoryLock::Gone => {}
                DirectoryLock::Held(lock) => break lock,
            }
        };
        made.section = Some(self.interrupt().begin_section_with(&directory));

        let path = self.marker_path();
        let marker_is_empty = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => true,
            Ok(_) => return Err(Error::AlreadyLayout { path: root.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        clean_directory(self, root);
        let blobs = root.join(BLOBS_DIRECTORY);
        let is_link = fs::symlink_metadata(&blobs).is_ok_and(|metadata| metadata.is_symlink());
        let leads_out = is_link && target_inside(root, &blobs).is_ok_and(|target| target.is_none());
        if leads_out && !self.shares_blobs() {
            return Err(Error::LinkOutside { path: blobs });
        }
        // Blobs that other layouts share may be there already.
        if !leads_out && has_blobs(&blobs).map_err(Error::io("read", &blobs))? {
            return Err(Error::Occupied { path: root.to_owned(), name: BLOBS_DIRECTORY });
        }
        made.directories(self, &blobs.join("sha256"))?;
        self.make_file(INDEX_FILE, &pretty(&Index::empty()), made)?;
        if kind == Purpose::ToBuildIn {
            self.make_file(STAGE_FILE, &pretty(&Stage::empty()), made)?;
        }
        self.sync_directory(&blobs)?;
        self.sync_directory(root)?;

        let file = self.temp_file(&self.open_root()?, |writer| writer.write_all(marker().as_bytes()))?;
        let named = if marker_is_empty { file.persist(&path) } else { file.persist_new(&path) };
        match named {
            Ok(()) => made.files.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Another process made this layout meanwhile in our directories: they belong to it now.
                made.keep();
                return Err(Error::AlreadyLayout { path: root.to_owned() });
            }
            Err(error) => return Err(Error::io("write", path)(error)),
        }
        self.sync_directory(root)?;
        // A killed program may have made the directory, and not have waited for the disk.
        self.sync_name(root)?;
        drop(directory);
        Ok(())
    }

    /// Waits until no process makes a layout in the directory, and keeps others from making one there.
    pub(crate) fn lock_directory(&self) -> Result<DirectoryLock> {
        // Windows opens no directories.
        if !cfg!(unix) {
            return Ok(DirectoryLock::Held(None));
        }
        let root = self.path();
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let directory = match File::open(root) {
            Err(error) if is_gone(&error) => return Ok(DirectoryLock::Gone),
            opened => acquire(self, opened.map_err(Error::io("open", root))?, root, Instant::now())?,
        };
        let locked = directory.metadata().map_err(Error::io("read", root))?;
        match fs::metadata(root) {
            Ok(found) if Identity::of(&found) == Identity::of(&locked) => Ok(DirectoryLock::Held(Some(directory))),
            Err(error) if !is_gone(&error) => Err(Error::io("read", root)(error)),
            _ => Ok(DirectoryLock::Gone),
        }
    }

    /// Makes a document of a new layout, unless it is there already from an interrupted `init`.
    fn make_file(&self, name: &'static str, content: &[u8], made: &mut NewDirectories) -> Result<()> {
        let path = self.path().join(name);
        match open_regular(&path).and_then(|file| read_at_most(&file, MARKER_LIMIT)) {
            Ok(Some(found)) if found == content => return Ok(()),
            Ok(Some(found)) if found.is_empty() => {
                self.temp_file(&self.open_root()?, |writer| writer.write_all(content))?
                    .persist(&path)
                    .map_err(Error::io("write", &path))?;
                made.files.push(path);
                return Ok(());
            }
            Ok(_) => return Err(Error::Occupied { path: self.path().to_owned(), name }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(Error::Occupied { path: self.path().to_owned(), name });
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        }
        match self.temp_file(&self.open_root()?, |writer| writer.write_all(content))?.persist_new(&path) {
            Ok(()) => made.files.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Occupied { path: self.path().to_owned(), name });
            }
            Err(error) => return Err(Error::io("write", path)(error)),
        }
        Ok(())
    }
}

/// Returns whether an interrupted `init` made a file: it is empty, or has the content of a new one.
fn is_from_init(path: &Path, content: &[u8]) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let found = read_at_most(&open_regular(path)?, MARKER_LIMIT)?;
    Ok(found.is_some_and(|found| found.is_empty() || found == content))
}

/// Returns whether a `blobs` directory holds anything but the empty directories of an interrupted `init`.
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

/// The lock of a directory in which a layout is made.
#[derive(Debug)]
pub(crate) enum DirectoryLock {
    Held(Option<File>),
    /// Another directory, or none, has its name by now.
    Gone,
}

/// The purpose of a new layout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It has a staging file.
    ToBuildIn,
    /// The layout is complete by the image-spec.
    ToStoreIn,
}

/// The files and directories that an `init` made so far; they are deleted unless kept.
#[derive(Default)]
pub(crate) struct NewDirectories {
    files: Vec<PathBuf>,
    directories: Vec<(PathBuf, Registered)>,
    /// It ends after all has been taken away or kept.
    section: Option<Section>,
}

impl NewDirectories {
    /// Makes a directory and those above it, and waits until their names are on the disk.
    pub(crate) fn directories(&mut self, site: &Site, path: &Path) -> Result<()> {
        let missing: Vec<_> =
            path.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
        for directory in missing.into_iter().rev() {
            match site.interrupt().make(directory, |path| fs::create_dir(path)) {
                Ok(((), registered)) => {
                    self.directories.push((directory.to_owned(), registered));
                    site.sync_name(directory)?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", directory)(error)),
            }
        }
        if path.is_dir() { Ok(()) } else { Err(Error::io("create", path)(io::ErrorKind::NotADirectory.into())) }
    }

    pub(crate) fn keep(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for NewDirectories {
    fn drop(&mut self) {
        // An error here is not reported: the first error is on its way.
        for file in self.files.iter().rev() {
            let _ = fs::remove_file(file);
        }
        for (directory, _registered) in self.directories.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}
