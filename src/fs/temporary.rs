//! Temporary files and directories: content that is being written, with a temporary name or none.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use tempfile::{NamedTempFile, TempPath};

use super::directory::Directory;
use super::files::{rename_new, unless_impossible};
use super::leftovers::{Identity, new_name, proven_name};
use crate::interrupt::{Interrupt, Registered};

/// A file that is being written, with a temporary name or none.
#[derive(Debug)]
pub(crate) struct TempFile {
    /// The directory in which an unnamed file gets a temporary name.
    #[cfg(target_os = "linux")]
    directory: PathBuf,
    kind: TempKind,
}

#[derive(Debug)]
enum TempKind {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile<File>, Registered),
}

impl TempFile {
    /// Creates an empty file on the file system of a directory, with mode 0666 less the umask.
    pub(crate) fn create_in(directory: &Path, interrupt: &Interrupt) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed::create(directory)? {
            return Ok(Self { directory: directory.to_owned(), kind: TempKind::Unnamed(file) });
        }
        let (file, path, registered) = try_names(|| {
            interrupt.make_named(|| {
                let path = directory.join(new_name());
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
                let proven = lock_new(&file).and_then(|()| prove(&path, &file.metadata()?));
                match proven {
                    Ok(path) => Ok((file, path)),
                    Err(error) => {
                        let _ = fs::remove_file(&path);
                        Err(error)
                    }
                }
            })
        })?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            directory: directory.to_owned(),
            kind: TempKind::Named(NamedTempFile::from_parts(file, TempPath::try_from_path(path)?), registered),
        })
    }

    /// Creates an empty file as [`TempFile::create_in`] does, in an open directory.
    pub(crate) fn create_within(directory: &Directory, interrupt: &Interrupt) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed::create_within(directory)? {
            return Ok(Self { directory: directory.path().to_owned(), kind: TempKind::Unnamed(file) });
        }
        Self::create_in(directory.path(), interrupt)
    }

    /// Opens an existing file to be hard-linked into a directory. Tries out whether the file can be linked there.
    #[cfg(target_os = "linux")]
    pub(crate) fn link(
        source: &File,
        _source_path: &Path,
        directory: &Directory,
        interrupt: &Interrupt,
    ) -> io::Result<Self> {
        let file = source.try_clone()?;
        let identity = Identity::of(&file.metadata()?);
        // The temporary name is not registered for cleanup: it exists only inside this section.
        let _section = interrupt.begin_section();
        drop(TempName::make(directory, identity, |temporary| unnamed::link_within(&file, directory, temporary))?);
        Ok(Self { directory: directory.path().to_owned(), kind: TempKind::Unnamed(file) })
    }

    /// Hard-links an existing file into a directory under a temporary name.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn link(
        source: &File,
        source_path: &Path,
        directory: &Directory,
        interrupt: &Interrupt,
    ) -> io::Result<Self> {
        let file = source.try_clone()?;
        // While it is locked, the file does not count as a leftover.
        file.lock_shared().or_else(unless_impossible)?;
        let identity = Identity::of(&file.metadata()?);
        let ((), path, registered) = try_names(|| {
            interrupt.make_named(|| {
                let path = directory.path_of(proven_name(identity));
                fs::hard_link(source_path, &path).map(|()| ((), path))
            })
        })?;
        Ok(Self { kind: TempKind::Named(NamedTempFile::from_parts(file, TempPath::try_from_path(path)?), registered) })
    }

    pub(crate) fn file(&self) -> &File {
        match &self.kind {
            #[cfg(target_os = "linux")]
            TempKind::Unnamed(file) => file,
            TempKind::Named(file, _) => file.as_file(),
        }
    }

    /// Syncs the content to disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file().sync_data()
    }

    /// Starts to sync the content on another thread. Returns `None` if the system has no more threads or descriptors;
    /// the final sync then does all the work.
    pub(crate) fn start_sync(&self) -> Option<JoinHandle<io::Result<()>>> {
        let file = self.file().try_clone().ok()?;
        Builder::new().spawn(move || file.sync_data()).ok()
    }

    /// Makes the file share the blocks of another file. Returns whether the file system supports that.
    pub(crate) fn clone_from(&self, source: &File) -> bool {
        #[cfg(target_os = "linux")]
        return rustix::fs::ioctl_ficlone(self.file(), source).is_ok();
        #[cfg(not(target_os = "linux"))]
        return {
            let _ = source;
            false
        };
    }

    /// Copies a range of another file into this file within the kernel. Returns the number of bytes copied, at most
    /// `length`; `None` if the kernel cannot copy between these files.
    pub(crate) fn copy_range(&self, source: &File, from: u64, to: u64, length: u64) -> io::Result<Option<u64>> {
        #[cfg(target_os = "linux")]
        {
            use rustix::io::Errno;
            let (mut from, mut to) = (from, to);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            match rustix::fs::copy_file_range(source, Some(&mut from), self.file(), Some(&mut to), length) {
                Ok(copied) => Ok(Some(copied as u64)),
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::BADF) => {
                    Ok(None)
                }
                Err(errno) => Err(errno.into()),
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (source, from, to, length);
            Ok(None)
        }
    }

    // Files are renamed only within a section, because the temporary names used for that are not registered.

    /// Renames the file to a new path. Returns an error of kind `AlreadyExists` if the path exists.
    pub(crate) fn persist_new(self, target: &Path) -> io::Result<()> {
        match self.kind {
            #[cfg(target_os = "linux")]
            TempKind::Unnamed(file) => unnamed::link(&file, target),
            TempKind::Named(file, _registered) => {
                unlocked(file)?.persist_noclobber(target).map(drop).map_err(|error| error.error)
            }
        }
    }

    /// Renames the file to a new name in an open directory, as [`TempFile::persist_new`] does.
    pub(crate) fn persist_new_within(self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        match self.kind {
            #[cfg(target_os = "linux")]
            TempKind::Unnamed(file) => unnamed::link_within(&file, directory, name),
            TempKind::Named(file, _registered) => {
                let (_file, path) = unlocked(file)?.into_parts();
                directory.take_new(&path, name)?;
                // The file was moved, so there is nothing to delete.
                drop(path.keep());
                Ok(())
            }
        }
    }

    /// Renames the file to a name in an open directory. Replaces an existing file.
    pub(crate) fn persist_within(self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        match self.kind {
            #[cfg(target_os = "linux")]
            TempKind::Unnamed(file) => {
                // The lock keeps the file from counting as a leftover until it has its name.
                file.lock().or_else(unless_impossible)?;
                let identity = Identity::of(&file.metadata()?);
                let link = |temporary: &OsStr| unnamed::link_within(&file, directory, temporary);
                TempName::make(directory, identity, link)?.persist(name)
            }
            TempKind::Named(file, _registered) => {
                let (_file, path) = unlocked(file)?.into_parts();
                directory.take(&path, name)?;
                drop(path.keep());
                Ok(())
            }
        }
    }

    /// Renames the file as [`TempFile::persist_within`] does. Keeps the replaced file until the result is dropped.
    pub(crate) fn replace(self, directory: &Directory, name: &OsStr) -> io::Result<Replaced> {
        let before = Before::keep(directory, name);
        self.persist_within(directory, name)?;
        Ok(Replaced { directory: directory.clone(), name: name.to_owned(), before })
    }

    /// Renames the file as [`TempFile::persist`] does, but replaces only a regular file. Returns an error of kind
    /// `AlreadyExists` if the path belongs to anything else.
    pub(crate) fn persist_in_place_of_file(self, target: &Path) -> io::Result<()> {
        /// The number of attempts while other processes create and delete the path.
        const TRIES: usize = 16;
        // The open file holds its lock until it has its name.
        let (_file, mut path) = match self.kind {
            #[cfg(target_os = "linux")]
            TempKind::Unnamed(file) => {
                file.lock().or_else(unless_impossible)?;
                let identity = Identity::of(&file.metadata()?);
                let path = link_temporarily(&self.directory, identity, |path| unnamed::link(&file, path))?;
                ((file, None), path)
            }
            TempKind::Named(file, registered) => {
                let (file, path) = unlocked(file)?.into_parts();
                ((file, Some(registered)), path)
            }
        };
        for _ in 0..TRIES {
            let failure = match fs::symlink_metadata(target) {
                Ok(metadata) if metadata.is_file() => return path.persist(target).map_err(|error| error.error),
                Ok(_) => return Err(taken()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match path.persist_noclobber(target) {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                },
                Err(error) => return Err(error),
            };
            if failure.error.kind() != io::ErrorKind::AlreadyExists {
                return Err(failure.error);
            }
            path = failure.path;
        }
        Err(taken())
    }

    /// Renames the file to a path. Replaces an existing file.
    pub(crate) fn persist(self, target: &Path) -> io::Result<()> {
        match self.kind {
            // An unnamed file can only be linked to a new name, so it gets a temporary name before it replaces a file.
            #[cfg(target_os = "linux")]
            TempKind::Unnamed(file) => {
                // The lock keeps the file from counting as a leftover until it has its name.
                file.lock().or_else(unless_impossible)?;
                let identity = Identity::of(&file.metadata()?);
                link_temporarily(&self.directory, identity, |path| unnamed::link(&file, path))?
                    .persist(target)
                    .map_err(|error| error.error)
            }
            TempKind::Named(file, _registered) => {
                unlocked(file)?.persist(target).map(drop).map_err(|error| error.error)
            }
        }
    }
}

/// Returns the error for a path that exists and is not replaced.
fn taken() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "something else was put there meanwhile")
}

/// A new file at a path, with the file that it replaced, if any.
#[derive(Debug)]
pub(crate) struct Replaced {
    directory: Directory,
    name: OsString,
    before: Before,
}

/// A temporary name in an open directory. The file is deleted on drop unless it was renamed.
#[derive(Debug)]
struct TempName {
    directory: Directory,
    /// Empty after the file was renamed.
    name: String,
}

impl TempName {
    /// Gives a file a new temporary name by calling `give`.
    fn make(
        directory: &Directory,
        identity: Identity,
        mut give: impl FnMut(&OsStr) -> io::Result<()>,
    ) -> io::Result<Self> {
        try_names(|| {
            let name = proven_name(identity);
            give(name.as_ref()).map(|()| Self { directory: directory.clone(), name })
        })
    }

    /// Renames the file. Replaces an existing file.
    fn persist(mut self, name: &OsStr) -> io::Result<()> {
        self.directory.rename(&self.name, &self.directory, name)?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for TempName {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // The next writer in this directory deletes a file that remains.
            let _ = self.directory.remove_file(&self.name);
        }
    }
}

/// The file that had a name before.
#[derive(Debug)]
enum Before {
    Nothing,
    /// A file that is kept under a temporary name, and locked so that it does not count as a leftover.
    File(TempName, File),
    /// A file that could not be kept under another name.
    Lost,
}

impl Before {
    /// Keeps the file with the given name.
    fn keep(directory: &Directory, name: &OsStr) -> Self {
        let keep = || -> io::Result<Self> {
            let file = directory.open_file(name)?;
            // Where locks are not supported, no file counts as a leftover. On Windows a lock would block readers.
            let _ = if cfg!(unix) { file.try_lock() } else { Ok(()) };
            let identity = Identity::of(&file.metadata()?);
            Ok(Self::File(TempName::make(directory, identity, |temporary| directory.link(name, temporary))?, file))
        };
        keep().unwrap_or_else(|error| if error.kind() == io::ErrorKind::NotFound { Self::Nothing } else { Self::Lost })
    }
}

impl Replaced {
    /// Restores the previous state.
    pub(crate) fn restore(self) -> io::Result<()> {
        match self.before {
            Before::Nothing => self.directory.remove_file(&self.name),
            Before::File(before, _lock) => before.persist(&self.name),
            Before::Lost => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

/// A directory that is being filled, with a temporary name. It is locked while its writer lives, and is deleted with
/// its contents on drop unless it was renamed.
#[derive(Debug)]
pub(crate) struct TempDirectory {
    directory: TempDir,
    registered: Registered,
}

impl TempDirectory {
    /// Creates an empty directory in another directory, with mode 0777 less the umask.
    pub(crate) fn create_in(parent: &Path, interrupt: &Interrupt) -> io::Result<Self> {
        let (lock, path, registered) = try_names(|| {
            interrupt.make_tree(|| {
                let path = parent.join(new_name());
                fs::create_dir(&path)?;
                let make = || {
                    // Windows cannot open directories.
                    let lock = if cfg!(unix) { Some(open_directory(&path).map_err(if_gone)?) } else { None };
                    lock.iter().try_for_each(lock_new)?;
                    Ok((lock, prove(&path, &fs::symlink_metadata(&path).map_err(if_gone)?)?))
                };
                make().inspect_err(|_| drop(fs::remove_dir(&path)))
            })
        })?;
        Ok(Self { directory: TempDir { path, lock }, registered })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory.path
    }

    /// Returns the open directory, where the system opens directories.
    #[cfg(target_os = "linux")]
    pub(crate) fn opened(&self) -> Option<&File> {
        self.directory.lock.as_ref()
    }

    /// Moves the directory into another one, still under a temporary name.
    pub(crate) fn move_into(&mut self, parent: &Path) -> io::Result<()> {
        let path = parent.join(self.path().file_name().expect("it has a name"));
        let ((), path, registered) =
            self.registered.interrupt().make_tree(|| rename_new(self.path(), &path).map(|()| ((), path.clone())))?;
        self.directory.path = path;
        self.registered = registered;
        Ok(())
    }

    /// Renames the directory to a new path.
    ///
    /// # Errors
    ///
    /// The unchanged directory and the cause; of kind `AlreadyExists` if the path exists.
    pub(crate) fn persist(mut self, target: &Path) -> Result<(), (Self, io::Error)> {
        let _section = self.registered.interrupt().begin_section();
        match rename_new(self.path(), target) {
            Ok(()) => {
                self.directory.path = PathBuf::new();
                Ok(())
            }
            Err(error) => Err((self, error)),
        }
    }
}

/// Opens a directory, which may not be a link.
fn open_directory(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY;
        options.custom_flags(i32::try_from(flags.bits()).expect("flags are small numbers"));
    }
    options.open(path)
}

/// Calls a function that creates a file or directory under a random name. Calls it again if the name exists.
fn try_names<T>(mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const TRIES: usize = 100;
    for _ in 1..TRIES {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
    make()
}

/// Locks a new file or directory. If another process has locked it as a leftover, the error makes the caller try
/// another name.
fn lock_new(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(TryLockError::Error(error)) => unless_impossible(error),
    }
}

/// Renames a new file or directory to a name that contains its identity, and returns its path.
fn prove(path: &Path, metadata: &fs::Metadata) -> io::Result<PathBuf> {
    let proven = path.with_file_name(proven_name(Identity::of(metadata)));
    fs::rename(path, &proven).map_err(if_gone)?;
    Ok(proven)
}

/// Gives a file a temporary name, which is removed when the result is dropped.
#[cfg(target_os = "linux")]
fn link_temporarily(
    directory: &Path,
    identity: Identity,
    mut link: impl FnMut(&Path) -> io::Result<()>,
) -> io::Result<TempPath> {
    try_names(|| {
        let path = directory.join(proven_name(identity));
        link(&path)?;
        TempPath::try_from_path(path)
    })
}

/// Turns the error for a new file that is missing into one that makes the caller try another name: another process
/// deleted the file as a leftover.
fn if_gone(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::NotFound { io::ErrorKind::AlreadyExists.into() } else { error }
}

/// A directory that is deleted on drop, unless its path is empty.
#[derive(Debug)]
struct TempDir {
    path: PathBuf,
    lock: Option<File>,
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        // Only where there are no descriptors left is a tree deleted by paths, which another process could redirect.
        if let Err(error) = fs::remove_dir_all(&self.path)
            && matches!(error.raw_os_error(), Some(23 | 24))
        {
            // Release the lock's descriptor.
            self.lock = None;
            // The next writer in this directory deletes the leftovers.
            let _ = remove_with_one_descriptor(&self.path);
        }
    }
}

/// Deletes a directory with its contents, with only one directory open at a time.
fn remove_with_one_descriptor(directory: &Path) -> io::Result<()> {
    let entries = fs::read_dir(directory)?.map(|entry| {
        let entry = entry?;
        Ok((entry.path(), entry.file_type()?.is_dir()))
    });
    for (path, is_directory) in entries.collect::<io::Result<Vec<_>>>()? {
        if is_directory { remove_with_one_descriptor(&path)? } else { fs::remove_file(path)? }
    }
    fs::remove_dir(directory)
}

/// On Windows, unlocks a file that is about to be renamed, because a lock blocks readers. On other systems the file
/// stays locked until it has its name, so that it does not count as a leftover.
fn unlocked(file: NamedTempFile<File>) -> io::Result<NamedTempFile<File>> {
    if cfg!(windows) {
        file.as_file().unlock().or_else(unless_impossible)?;
    }
    Ok(file)
}

/// Creates a file without a name. On systems without such files, no other process can open the file.
pub(crate) fn private_file(directory: &Path, interrupt: &Interrupt) -> io::Result<File> {
    // Some systems give the file a name for a moment.
    let _section = interrupt.begin_section();
    tempfile::tempfile_in(directory)
}

/// Files without a name, on Linux.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use rustix::io::Errno;

    use super::Directory;

    /// Creates a file without a name; `None` if the system or the file system does not support that.
    pub(super) fn create(directory: &Path) -> io::Result<Option<File>> {
        // The file gets its name through /proc, which a minimal container may lack.
        if !Path::new("/proc/self/fd").exists() {
            return Ok(None);
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(directory, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Creates a file without a name as [`create`] does, in an open directory.
    pub(super) fn create_within(directory: &Directory) -> io::Result<Option<File>> {
        create(Path::new(&format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())))
    }

    /// Links the file to a new path.
    pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
        link_at(file, CWD, path)
    }

    /// Links the file to a new name in an open directory.
    pub(super) fn link_within(file: &File, directory: &Directory, name: &OsStr) -> io::Result<()> {
        link_at(file, directory, Path::new(name))
    }

    fn link_at(file: &File, directory: impl AsFd, path: &Path) -> io::Result<()> {
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, source, directory, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}
