//! The directory of the pool, in which files are made.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::shelves::{OnShelf, OpenShelf};
use crate::error::{Error, Result};
use crate::fs::beneath::Beneath;
use crate::fs::made::{Given, MadeAttributes, MissingAttributes, Refused, create_file, remove_file, rename};
use crate::interrupt::Interrupt;
use crate::text::shown;

/// The identity of a file: its layer, and the offset of its entry there.
pub(super) type Key = (u32, u64);

/// The directory of the pool.
pub(super) struct PoolDirectory {
    beneath: Beneath,
    /// The destination, for errors.
    path: PathBuf,
    given: Given,
    pub(super) interrupt: Interrupt,
}

/// A file that is being written.
pub(super) struct NewFile<'a> {
    pub(super) file: File,
    pub(super) is_on_shelf: bool,
    missing: MissingAttributes<'a>,
}

/// Returns the name of a file.
pub(super) fn name_of((layer, offset): Key) -> String {
    format!("{layer}-{offset}")
}

impl AsFd for PoolDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.beneath.root()
    }
}

impl PoolDirectory {
    /// Takes an open directory. Errors name files of the destination.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn new(directory: File, destination: &Path, interrupt: &Interrupt) -> Result<Self> {
        let given = Given::of(directory.as_fd()).map_err(Error::io("write to", destination))?;
        let (path, interrupt) = (destination.to_owned(), interrupt.clone());
        Ok(Self { beneath: Beneath::new(directory.into()), path, given, interrupt })
    }

    /// Creates a file: on a shelf if it is given a place there, and if that place is free.
    pub(super) fn create<'a>(
        &self,
        key: Key,
        path: &[u8],
        (place, open): (Option<&OnShelf>, &mut OpenShelf),
        attributes: &MadeAttributes<'a>,
    ) -> Result<NewFile<'a>> {
        let (mode, missing) = self.given.split(attributes);
        let on_shelf =
            place.and_then(|place| create_file(open.open(&self.beneath, place.shelf).ok()?, &*place.name, mode).ok());
        if let Some(file) = on_shelf {
            return Ok(NewFile { file, is_on_shelf: true, missing });
        }
        let file = create_file(self.as_fd(), name_of(key).as_str(), mode).map_err(self.failed("write", path))?;
        Ok(NewFile { file, is_on_shelf: false, missing })
    }

    /// Takes a file off its shelf: to the place of those that have none, or for good.
    pub(super) fn take_off(&self, key: Key, place: &OnShelf, is_needed: bool, open: &mut OpenShelf) -> Result<()> {
        let _section = self.interrupt.begin_section();
        let taken = open.open(&self.beneath, place.shelf).and_then(|shelf| match is_needed {
            true => rename(shelf, &place.name, self.as_fd(), name_of(key).as_bytes()),
            false => remove_file(shelf, &place.name),
        });
        taken.map_err(self.failed("write", &place.name))
    }

    /// Returns a function that makes the error of a file.
    pub(super) fn failed(&self, action: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::io(action, self.path.join(shown(path)))(error)
    }

    /// Gives a file the attributes that it lacks.
    pub(super) fn finish(&self, file: &NewFile<'_>, path: &[u8], refused: &mut Refused) -> Result<()> {
        file.missing.set(&file.file, refused).map_err(self.failed("set the attributes of", path))
    }
}
