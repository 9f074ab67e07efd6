//! The directory of the pool, in which files are made.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::attributes::Rules;
use crate::error::{Error, Result};
use crate::fs::made::{Refused, create_file, set_attributes};
use crate::interrupt::Interrupt;
use crate::rootfs::Attributes;
use crate::text::shown;

/// The identity of a file: its layer, and the offset of its entry there.
pub(super) type Key = (u32, u64);

/// The directory of the pool.
pub(super) struct PoolDirectory {
    directory: File,
    /// The destination, for errors.
    path: PathBuf,
    pub(super) interrupt: Interrupt,
}

/// Returns the name of a file.
pub(super) fn name_of((layer, offset): Key) -> String {
    format!("{layer}-{offset}")
}

impl AsFd for PoolDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl PoolDirectory {
    /// Takes an open directory. Errors name files of the destination.
    pub(super) fn new(directory: File, destination: &Path, interrupt: &Interrupt) -> Self {
        Self { directory, path: destination.to_owned(), interrupt: interrupt.clone() }
    }

    /// Creates a file.
    pub(super) fn create(&self, key: Key, path: &[u8]) -> Result<File> {
        create_file(self.as_fd(), &name_of(key)).map_err(self.failed("write", path))
    }

    /// Returns a function that makes the error of a file.
    pub(super) fn failed(&self, action: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::io(action, self.path.join(shown(path)))(error)
    }

    /// Gives a file its attributes.
    pub(super) fn finish(
        &self,
        file: &File,
        path: &[u8],
        attributes: &Attributes,
        (rules, refused): (&Rules<'_>, &mut Refused),
    ) -> Result<()> {
        let set = rules.with(path, attributes, |made| set_attributes(file, made, refused))?;
        set.map_err(self.failed("set the attributes of", path))
    }
}
