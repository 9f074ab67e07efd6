//! The directory in which a tree is made. It is used by descriptors: another process may move it, or put a link in its place.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::fs::TempDirectory;
use crate::fs::beneath::Beneath;
use crate::fs::made::{PRIVATE, create_file, make_directory, make_private, move_new, own_ids, replace_empty, set_mode};
use crate::fs::remove::remove_content;
use crate::interrupt::Interrupt;
use crate::layout::leftovers::{TREE_MARKER, clean_trees};

/// The names in the directory.
const CONTENT: &str = "content";
const ROOT: &str = "root";

/// The directory in which a tree is made.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: File,
    beneath: Beneath,
    /// The permissions that the umask leaves a directory that is made.
    usual_mode: u32,
    interrupt: Interrupt,
    /// Deletes the directory, which is empty by then.
    _temporary: TempDirectory,
}

impl Scratch {
    /// Makes it in a directory.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn make(parent: &Path, interrupt: &Interrupt) -> io::Result<Self> {
        clean_trees(parent);
        let temporary = TempDirectory::create_in(parent, interrupt)?;
        let opened = temporary.opened().ok_or(io::ErrorKind::Unsupported)?;
        let directory = opened.try_clone()?;
        let metadata = directory.metadata()?;
        if metadata.uid() != own_ids().0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "another user replaced the temporary directory",
            ));
        }
        // After the work is abandoned nothing is made in it any more: it is being deleted.
        let _section = interrupt.begin_section();
        make_private(directory.as_fd())?;
        // It says that everything below belongs to a tree that is being made.
        drop(create_file(directory.as_fd(), TREE_MARKER, PRIVATE)?);
        make_directory(directory.as_fd(), CONTENT.as_bytes())?;
        make_directory(directory.as_fd(), ROOT.as_bytes())?;
        let beneath = Beneath::new(directory.try_clone()?.into());
        let usual_mode = metadata.mode() & 0o777;
        Ok(Self { directory, beneath, usual_mode, interrupt: interrupt.clone(), _temporary: temporary })
    }

    /// Opens the directory that becomes the tree.
    pub(super) fn root(&self) -> io::Result<File> {
        self.beneath.open_directory(ROOT.as_bytes())
    }

    /// Gives the directory that becomes the tree the permissions of one that the user makes.
    pub(super) fn make_root_usual(&self) -> io::Result<()> {
        set_mode(self.root()?.as_fd(), self.usual_mode)
    }

    /// Opens the directory of the pool.
    pub(super) fn content(&self) -> io::Result<File> {
        self.beneath.open_directory(CONTENT.as_bytes())
    }

    /// Moves the tree to a name that is free.
    pub(super) fn move_root(&self, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        move_new(self.directory.as_fd(), ROOT.as_bytes(), to, name.as_bytes())
    }

    /// Moves the tree to the place of an empty directory.
    pub(super) fn replace_with_root(&self, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        replace_empty(self.directory.as_fd(), ROOT.as_bytes(), to, name.as_bytes())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _section = self.interrupt.begin_section();
        // The next command deletes the rest.
        let _ = remove_content(self.directory.as_fd(), TREE_MARKER);
    }
}
