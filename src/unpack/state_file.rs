//! Writing the state file: begun before the tree is made, and given its name when the tree appears.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::destination::expect_outside_layouts;
use crate::error::{Error, Result, UnpackError};
use crate::fs::{Directory, FileKind, Replaced, TempFile, remove_stale_files};
use crate::interrupt::Interrupt;
use crate::oci::to_blob;
use crate::rootfs::UnpackState;

/// A state file that has no name yet.
#[derive(Debug)]
pub(super) struct StateFile {
    file: TempFile,
    path: PathBuf,
    name: OsString,
    directory: Directory,
}

/// Returns a path without links, as far as it exists.
fn real_path(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        let there = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        if let Ok(real) = fs::canonicalize(there) {
            return missing.into_iter().rev().fold(real, |path, name| path.join(name));
        }
        missing.extend(above.file_name());
    }
    path.to_owned()
}

impl StateFile {
    /// Begins a state file of a tree at a place.
    ///
    /// # Errors
    ///
    /// [`UnpackError::InLayout`], [`UnpackError::StateInTree`], [`UnpackError::StateNotAFile`]; [`Error::Io`].
    pub(super) fn create(path: &Path, destination: &Path, interrupt: &Interrupt) -> Result<Self> {
        expect_outside_layouts(path)?;
        let failed = || Error::io("write", path);
        let name = path.file_name().ok_or_else(|| UnpackError::StateNotAFile { path: path.to_owned() })?.to_owned();
        // Neither the tree nor the directory of the file need be there yet.
        if real_path(path.parent().unwrap_or(Path::new(""))).join(&name).starts_with(real_path(destination)) {
            return Err(UnpackError::StateInTree { path: path.to_owned() }.into());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = fs::canonicalize(parent).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => UnpackError::NoParent { path: path.to_owned() }.into(),
            _ => failed()(error),
        })?;
        let directory = Directory::open(&real).map_err(failed())?;
        if directory.find(&name).map_err(failed())?.is_some_and(|found| found.kind != FileKind::File) {
            return Err(UnpackError::StateNotAFile { path: path.to_owned() }.into());
        }
        remove_stale_files(&real);
        let file = TempFile::create_within(&directory, interrupt).map_err(failed())?;
        Ok(Self { file, path: path.to_owned(), name, directory })
    }

    /// Writes the content, synced.
    pub(super) fn write(&mut self, state: &UnpackState) -> Result<()> {
        let mut write = || {
            self.file.write_all(&[&*to_blob(state), b"\n"].concat())?;
            self.file.sync()
        };
        write().map_err(Error::io("write", &self.path))
    }

    /// Gives the file its name, in a section. Keeps the file that it replaces until the result is dropped.
    pub(super) fn persist(self) -> Result<Replaced> {
        let Self { file, path, name, directory } = self;
        let replaced = file.replace(&directory, &name).map_err(Error::io("write", &path))?;
        match directory.sync() {
            Ok(()) => Ok(replaced),
            Err(error) => {
                // A state without a tree would be one of another.
                let _ = replaced.restore();
                Err(Error::io("write", path)(error))
            }
        }
    }
}
