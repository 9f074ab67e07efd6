//! Where a tree appears: a new directory, or an empty one.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::options::UnpackOptions;
use super::state::PreparedState;
use crate::error::{Error, Result, UnpackError};
use crate::fs::made::is_root;
use crate::fs::{TempDirectory, is_vacant, rename_new, sync_directory};
use crate::interrupt::Interrupt;
use crate::layout::leftovers::{TREE_MARKER, clean_trees, make_removable};
use crate::layout::site::layout_above;

/// The place of a tree.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is not there.
    New,
    /// An empty directory, which is replaced.
    Empty,
    /// A directory that must stay the same: a mount point, the working directory, or one whose parent is not writable. The
    /// tree is made in it and moved up.
    InPlace,
}

/// The directory in which a tree is made.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: TempDirectory,
    is_finished: bool,
}

impl Destination {
    /// Checks the place of a whole tree.
    ///
    /// # Errors
    ///
    /// [`UnpackError::NotADirectory`], [`UnpackError::NotEmpty`], [`UnpackError::InLayout`]; [`Error::Io`].
    pub(super) fn of_tree(path: &Path) -> Result<Self> {
        expect_outside_layouts(path)?;
        let here = || path.to_owned();
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match fs::symlink_metadata(path) {
                    Ok(_) => Err(UnpackError::NotADirectory { path: here() }.into()),
                    Err(_) => Ok(Self { path: here(), kind: Kind::New }),
                };
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        if !metadata.is_dir() {
            return Err(UnpackError::NotADirectory { path: here() }.into());
        }
        if !is_vacant(path).map_err(Error::io("read", path))? {
            return Err(UnpackError::NotEmpty { path: here() }.into());
        }
        let real = fs::canonicalize(path).map_err(Error::io("read", path))?;
        let is_here = std::env::current_dir().and_then(fs::canonicalize).is_ok_and(|here| here == real);
        let is_mount = match real.parent().map(fs::metadata) {
            Some(Ok(above)) => above.dev() != metadata.dev() || is_mount_point(&real),
            _ => true,
        };
        let kind = if is_here || is_mount { Kind::InPlace } else { Kind::Empty };
        Ok(Self { path: real, kind })
    }

    /// Checks a directory to which entries are added. It is made if it is not there.
    ///
    /// # Errors
    ///
    /// Those of [`Destination::of_tree`] but for a directory that is not empty; [`UnpackError::Exists`] for a name that is taken.
    pub(super) fn of_entries<'a>(path: &Path, names: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        match Self::of_tree(path) {
            Ok(Self { path, kind: Kind::New }) => Ok(Self { path, kind: Kind::New }),
            Ok(_) => Ok(Self { path: path.to_owned(), kind: Kind::InPlace }),
            Err(Error::Unpack(UnpackError::NotEmpty { .. })) => {
                for name in names {
                    let taken = path.join(OsStr::from_bytes(name));
                    if fs::symlink_metadata(&taken).is_ok() {
                        return Err(UnpackError::Exists { path: taken }.into());
                    }
                }
                Ok(Self { path: path.to_owned(), kind: Kind::InPlace })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the directory in which the tree is made, on the file system of the destination.
    pub(super) fn scratch(&mut self, interrupt: &Interrupt) -> Result<Scratch> {
        let parent = self
            .path
            .parent()
            .map_or(Path::new("."), |parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        let parent = parent.to_owned();
        let made = match self.kind {
            Kind::InPlace => Scratch::make(&self.path, interrupt),
            Kind::New => Scratch::make(&parent, interrupt),
            Kind::Empty => match cleaned(&self.path).and_then(|()| Scratch::make(&parent, interrupt)) {
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                    self.kind = Kind::InPlace;
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

    /// Moves the tree to its place, and gives the state file its name just before.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`UnpackError::Exists`]. After an error the destination is as it was.
    pub(super) fn take(
        &self,
        mut scratch: Scratch,
        options: &UnpackOptions,
        state: Option<PreparedState>,
    ) -> Result<()> {
        let failed = || Error::io("write to", &self.path);
        let root = scratch.root();
        if options.sync {
            let opened = fs::File::open(&root).map_err(failed())?;
            rustix::fs::syncfs(opened.as_fd()).map_err(|error| failed()(error.into()))?;
        }
        let _section = options.interrupt.begin_section();
        let state = state.map(PreparedState::persist).transpose()?;
        let taken = self.take_root(&root);
        if taken.is_err() {
            state.iter().for_each(|state| drop(fs::remove_file(state)));
        }
        taken?;
        scratch.is_finished = true;
        if options.sync {
            let above = self.path.parent().filter(|above| !above.as_os_str().is_empty());
            sync_directory(above.unwrap_or(Path::new("."))).map_err(failed())?;
        }
        Ok(())
    }

    fn take_root(&self, root: &Path) -> Result<()> {
        let failed = || Error::io("write to", &self.path);
        match self.kind {
            Kind::New => movable(root, &self.path, rename_new).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => UnpackError::Exists { path: self.path.clone() }.into(),
                _ => failed()(error),
            })?,
            Kind::Empty => movable(root, &self.path, |from, to| fs::rename(from, to)).map_err(failed())?,
            Kind::InPlace => self.move_up(root)?,
        }
        Ok(())
    }

    /// Moves the entries of the tree into the destination: all or none.
    fn move_up(&self, root: &Path) -> Result<()> {
        let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut move_all = || -> Result<()> {
            let entries = fs::read_dir(root).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            for entry in entries.map_err(Error::io("read", root))? {
                let target = self.path.join(entry.file_name());
                movable(&entry.path(), &target, rename_new).map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => UnpackError::Exists { path: target.clone() }.into(),
                    _ => Error::io("write", &target)(error),
                })?;
                moved.push((target, entry.path()));
            }
            Ok(())
        };
        let result = move_all();
        if result.is_err() {
            for (target, from) in moved.iter().rev() {
                // An error here would hide the first one.
                let _ = movable(target, from, |from, to| fs::rename(from, to));
            }
        }
        result
    }

    /// Returns whether entries are moved into a directory that stays: its own attributes are set in the end.
    pub(super) fn stays(&self) -> bool {
        self.kind == Kind::InPlace
    }
}

impl Scratch {
    fn make(parent: &Path, interrupt: &Interrupt) -> io::Result<Self> {
        clean_trees(parent);
        let directory = TempDirectory::create_in(parent, interrupt)?;
        let path = directory.path().to_owned();
        let scratch = Self { directory, is_finished: false };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        // It says that everything below belongs to a tree that is being made.
        fs::File::create(path.join(TREE_MARKER))?;
        fs::create_dir(path.join("content"))?;
        fs::create_dir(path.join("root"))?;
        Ok(scratch)
    }

    /// Returns the directory that becomes the tree.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Returns the directory of the pool.
    pub(super) fn content(&self) -> PathBuf {
        self.directory.path().join("content")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_finished {
            make_removable(self.directory.path());
        }
    }
}

/// Moves a file or directory. A directory that its owner cannot write is made writable meanwhile: `..` in it changes.
fn movable(from: &Path, to: &Path, rename: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_dir() || mode & 0o200 != 0 || is_root() {
        return rename(from, to);
    }
    let directory = fs::File::open(from)?;
    directory.set_permissions(fs::Permissions::from_mode(mode | 0o200))?;
    let renamed = rename(from, to);
    directory.set_permissions(fs::Permissions::from_mode(mode))?;
    renamed
}

/// Deletes the trees that killed programs left in a directory that is to be replaced.
fn cleaned(directory: &Path) -> io::Result<()> {
    clean_trees(directory);
    Ok(())
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
