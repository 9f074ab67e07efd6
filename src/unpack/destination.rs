//! Where a tree appears: a new directory, or an empty one.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::options::UnpackOptions;
use super::scratch::Scratch;
use crate::error::{Error, Result, UnpackError};
use crate::fs::made::{move_new, names_in, sync_all};
use crate::fs::{Directory, Replaced, is_vacant};
use crate::interrupt::Interrupt;
use crate::layout::leftovers::clean_trees;
use crate::layout::site::layout_above;

/// The place of a tree.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A name in a directory. It is free, or that of an empty directory, which is replaced.
    Name { above: Directory, name: OsString, is_empty_directory: bool },
    /// A directory that must stay the same: a mount point, the working directory, or one that this user cannot replace. The
    /// tree is made in it and moved up.
    InPlace(Directory),
}

impl Destination {
    /// Checks the place of a whole tree.
    ///
    /// # Errors
    ///
    /// [`UnpackError::NotADirectory`], [`UnpackError::NotEmpty`], [`UnpackError::InLayout`], [`UnpackError::NoParent`]; [`Error::Io`].
    pub(super) fn of_tree(path: &Path) -> Result<Self> {
        // Without `.` and slashes at its end.
        let path: PathBuf = path.components().collect();
        expect_outside_layouts(&path)?;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::new_name(path),
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(UnpackError::NoParent { path }.into()),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        if !metadata.is_dir() {
            return Err(UnpackError::NotADirectory { path }.into());
        }
        // A killed program may have left its tree here.
        clean_trees(&path);
        if !is_vacant(&path).map_err(Error::io("read", &path))? {
            return Err(UnpackError::NotEmpty { path }.into());
        }
        let real = fs::canonicalize(&path).map_err(Error::io("read", &path))?;
        let is_here = std::env::current_dir().and_then(fs::canonicalize).is_ok_and(|here| here == real);
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else { return Self::in_place(path) };
        let is_mount =
            fs::metadata(parent).map_or(true, |above| above.dev() != metadata.dev()) || is_mount_point(&real);
        match Directory::open(parent) {
            Ok(above) if !is_here && !is_mount => {
                let kind = Kind::Name { above, name: name.to_owned(), is_empty_directory: true };
                Ok(Self { path: real, kind })
            }
            _ => Self::in_place(path),
        }
    }

    fn new_name(path: PathBuf) -> Result<Self> {
        if fs::symlink_metadata(&path).is_ok() {
            return Err(UnpackError::BrokenLink { path }.into());
        }
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return Err(UnpackError::NoParent { path }.into());
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match Directory::open(parent.unwrap_or(Path::new("."))) {
            Ok(above) => Ok(Self { path, kind: Kind::Name { above, name, is_empty_directory: false } }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(UnpackError::NoParent { path }.into())
            }
            Err(error) => Err(Error::io("write to", path)(error)),
        }
    }

    fn in_place(path: PathBuf) -> Result<Self> {
        let directory = Directory::open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { path, kind: Kind::InPlace(directory) })
    }

    /// Checks a directory to which entries are added. It is made if it is not there.
    ///
    /// # Errors
    ///
    /// Those of [`Destination::of_tree`] but for a directory that is not empty; [`UnpackError::Exists`] for a name that is taken.
    pub(super) fn of_entries<'a>(path: &Path, names: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        match Self::of_tree(path) {
            Ok(Self { kind: Kind::Name { is_empty_directory: true, .. }, .. }) => Self::in_place(path.to_owned()),
            Err(Error::Unpack(UnpackError::NotEmpty { .. })) => {
                for name in names {
                    let taken = path.join(OsStr::from_bytes(name));
                    if fs::symlink_metadata(&taken).is_ok() {
                        return Err(UnpackError::Exists { path: taken }.into());
                    }
                }
                Self::in_place(path.to_owned())
            }
            other => other,
        }
    }

    /// Makes the directory in which the tree is made, on the file system of the destination.
    pub(super) fn scratch(&mut self, interrupt: &Interrupt) -> Result<Scratch> {
        let made = match &self.kind {
            Kind::InPlace(_) => Scratch::make(&self.path, interrupt),
            Kind::Name { above, is_empty_directory, .. } => match Scratch::make(above.path(), interrupt) {
                Err(error) if *is_empty_directory && is_forbidden(&error) => {
                    *self = Self::in_place(self.path.clone())?;
                    Scratch::make(&self.path, interrupt)
                }
                made => made,
            },
        };
        made.map_err(Error::io("write to", &self.path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the tree to its place, and just before puts a file in its place by calling `before`. Returns the directory whose own
    /// attributes are still to be set, if the entries were moved into one that stays.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`UnpackError::Exists`]. After an error the destination is as it was, and so is the other file.
    pub(super) fn take(
        &self,
        scratch: &Scratch,
        options: &UnpackOptions,
        before: impl FnOnce() -> Result<Option<Replaced>>,
    ) -> Result<Option<Directory>> {
        let failed = || Error::io("write to", &self.path);
        if options.sync {
            scratch.root().and_then(|root| sync_all(root.as_fd())).map_err(failed())?;
        }
        let _section = options.interrupt.begin_section();
        let replaced = before()?;
        let taken = self.take_root(scratch);
        if taken.is_err() {
            // An error here would hide the first one.
            replaced.into_iter().for_each(|replaced| drop(replaced.restore()));
        }
        let stays = taken?;
        if options.sync {
            let changed = match &self.kind {
                Kind::Name { above, .. } => above,
                Kind::InPlace(directory) => directory,
            };
            changed.sync().map_err(failed())?;
        }
        Ok(stays)
    }

    fn take_root(&self, scratch: &Scratch) -> Result<Option<Directory>> {
        let failed = || Error::io("write to", &self.path);
        let (above, name) = match &self.kind {
            Kind::InPlace(directory) => return self.move_up(scratch, directory),
            Kind::Name { above, name, is_empty_directory: false } => {
                scratch.move_root(above.as_fd(), name).map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => UnpackError::Exists { path: self.path.clone() }.into(),
                    _ => failed()(error),
                })?;
                return Ok(None);
            }
            Kind::Name { above, name, .. } => (above, name),
        };
        match scratch.replace_with_root(above.as_fd(), name) {
            // In a directory with the sticky bit only its owner may replace it.
            Err(error) if is_forbidden(&error) => {
                self.move_up(scratch, &Directory::open(&self.path).map_err(failed())?)
            }
            replaced => replaced.map(|()| None).map_err(failed()),
        }
    }

    /// Moves the entries of the tree into a directory: all or none.
    fn move_up(&self, scratch: &Scratch, directory: &Directory) -> Result<Option<Directory>> {
        let root = scratch.root().map_err(Error::io("write to", &self.path))?;
        let names = names_in(root.as_fd()).map_err(Error::io("write to", &self.path))?;
        for (at, name) in names.iter().enumerate() {
            if let Err(error) = move_new(root.as_fd(), name, directory.as_fd(), name) {
                for moved in &names[..at] {
                    // An error here would hide the first one.
                    let _ = move_new(directory.as_fd(), moved, root.as_fd(), moved);
                }
                let path = self.path.join(OsStr::from_bytes(name));
                return Err(match error.kind() {
                    ErrorKind::AlreadyExists => UnpackError::Exists { path }.into(),
                    _ => Error::io("write", path)(error),
                });
            }
        }
        Ok(Some(directory.clone()))
    }
}

/// Returns whether this user may not change a directory.
fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy)
}

/// Checks that a destination is not in a layout, where its files could take the place of blobs.
pub(super) fn expect_outside_layouts(path: &Path) -> Result<()> {
    match layout_above(path) {
        Some(layout) => Err(UnpackError::InLayout { path: path.to_owned(), layout }.into()),
        None => Ok(()),
    }
}

/// Returns whether a file system is mounted at a directory, even one that is mounted elsewhere too.
fn is_mount_point(path: &Path) -> bool {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    mounts.split(|byte| *byte == b'\n').any(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4);
        field.is_some_and(|field| unescaped(field) == path.as_os_str().as_bytes())
    })
}

/// Returns a path of mountinfo: spaces and their like are written as `\ooo`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    let mut at = 0;
    while at < field.len() {
        let digits = field.get(at + 1..at + 4).filter(|_| field[at] == b'\\');
        let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                at += 4;
            }
            None => {
                path.push(field[at]);
                at += 1;
            }
        }
    }
    path
}
