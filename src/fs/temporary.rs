//! Temporary files and directories: what is being written and has no name yet, or none that counts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use tempfile::{NamedTempFile, TempPath};

use super::unless_impossible;
use crate::abandon::{Registered, Section};

/// How the names of temporary files begin.
pub(super) const TEMP_PREFIX: &str = ".regshape-tmp-";

/// A file that is being written and has no name yet, or none that counts.
#[derive(Debug)]
pub(crate) struct TempFile {
    /// Where a file without a name gets a temporary one.
    #[cfg(target_os = "linux")]
    directory: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile<File>, Registered),
}

impl TempFile {
    /// Makes an empty file on the file system of a directory, with the mode that the umask leaves of 0666.
    pub(crate) fn create_in(directory: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed::create(directory)? {
            return Ok(Self { directory: directory.to_owned(), kind: Kind::Unnamed(file) });
        }
        let mut registered = None;
        let file = temp_names().make_in(directory, |path| {
            let create = |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(path);
            let (file, entry) = Registered::make(path, create)?;
            if let Err(error) = file.lock().or_else(unless_impossible) {
                let _ = fs::remove_file(path);
                return Err(error);
            }
            registered = Some(entry);
            // Between the two calls above another process may have taken the file for a stale one.
            if path.exists() { Ok(file) } else { Err(io::ErrorKind::AlreadyExists.into()) }
        })?;
        let registered = registered.expect("the file was made");
        Ok(Self {
            #[cfg(target_os = "linux")]
            directory: directory.to_owned(),
            kind: Kind::Named(file, registered),
        })
    }

    pub(crate) fn file(&self) -> &File {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Unnamed(file) => file,
            Kind::Named(file, _) => file.as_file(),
        }
    }

    /// Waits until the bytes are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file().sync_data()
    }

    /// Begins to bring the bytes so far to the disk, on a thread of its own.
    pub(crate) fn start_sync(&self) -> io::Result<JoinHandle<io::Result<()>>> {
        let file = self.file().try_clone()?;
        Ok(thread::spawn(move || file.sync_data()))
    }

    /// Makes the file share the blocks of another one, and tells whether the file system could do that.
    pub(crate) fn clone_from(&self, source: &File) -> bool {
        #[cfg(target_os = "linux")]
        return rustix::fs::ioctl_ficlone(self.file(), source).is_ok();
        #[cfg(not(target_os = "linux"))]
        return {
            let _ = source;
            false
        };
    }

    /// Makes the system copy a part of another file to its place in this one, at most so many bytes, and returns how many it
    /// copied; `None` if it cannot do that between these files.
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

    // A file gets its name within a section only: the temporary names that this takes are not registered.

    /// Gives the file a name that is free; an error of kind `AlreadyExists` if it is not.
    pub(crate) fn persist_new(self, target: &Path) -> io::Result<()> {
        match self.kind {
            #[cfg(target_os = "linux")]
            Kind::Unnamed(file) => unnamed::link(&file, target),
            Kind::Named(file, _registered) => {
                unlocked(file)?.persist_noclobber(target).map(drop).map_err(|error| error.error)
            }
        }
    }

    /// Gives the file a name as [`TempFile::persist`] does, and keeps what had it before until the result is dropped.
    pub(crate) fn replace(self, target: &Path) -> io::Result<Replaced> {
        let directory = target.parent().expect("a file is in a directory");
        let before = match temp_names().make_in(directory, |path| fs::hard_link(target, path)) {
            Ok(file) => Before::File(file.into_temp_path()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Before::Nothing,
            Err(_) => Before::Lost,
        };
        self.persist(target)?;
        Ok(Replaced { target: target.to_owned(), before })
    }

    /// Gives the file a name, in place of the file that has it now.
    pub(crate) fn persist(self, target: &Path) -> io::Result<()> {
        match self.kind {
            // An unnamed file cannot take the place of another, only a name that is free: it gets a temporary one first.
            #[cfg(target_os = "linux")]
            Kind::Unnamed(file) => {
                // Nobody takes it for a stale one in between.
                file.lock().or_else(unless_impossible)?;
                temp_names()
                    .make_in(&self.directory, |path| unnamed::link(&file, path))?
                    .persist(target)
                    .map(drop)
                    .map_err(|error| error.error)
            }
            Kind::Named(file, _registered) => unlocked(file)?.persist(target).map(drop).map_err(|error| error.error),
        }
    }
}

/// A file that has taken the place of another, or a name that was free.
#[derive(Debug)]
pub(crate) struct Replaced {
    target: PathBuf,
    before: Before,
}

/// What had a name before.
#[derive(Debug)]
enum Before {
    Nothing,
    /// A file, which is kept under a temporary name.
    File(TempPath),
    /// A file that this file system cannot keep under another name.
    Lost,
}

impl Replaced {
    /// Puts back what was there before.
    pub(crate) fn restore(self) -> io::Result<()> {
        match self.before {
            Before::Nothing => fs::remove_file(&self.target),
            Before::File(before) => before.persist(&self.target).map_err(|error| error.error),
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

/// A directory that is being filled and has no name that counts. It is locked while its writer lives, and goes with all that is
/// in it unless it gets a name.
#[derive(Debug)]
pub(crate) struct TempDirectory {
    directory: TempDir,
    _registered: Registered,
    _lock: Option<File>,
}

impl TempDirectory {
    /// Makes an empty directory in another one, with the mode that the umask leaves of 0777.
    pub(crate) fn create_in(parent: &Path) -> io::Result<Self> {
        let directory = temp_names().make_in(parent, |path| {
            let ((), registered) = Registered::make_tree(path, |path| fs::create_dir(path))?;
            // After an error it goes.
            let directory = TempDir(path.to_owned());
            // Windows opens no directories.
            let lock = if cfg!(unix) { Some(File::open(path).map_err(if_gone)?) } else { None };
            lock.iter().try_for_each(|lock| lock.lock().or_else(unless_impossible))?;
            // Meanwhile another process may have taken the directory for a stale one.
            if path.exists() { Ok((directory, registered, lock)) } else { Err(io::ErrorKind::AlreadyExists.into()) }
        })?;
        let ((directory, registered, lock), path) = directory.into_parts();
        // tempfile would delete a file.
        path.keep().map_err(|error| error.error)?;
        Ok(Self { directory, _registered: registered, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory.0
    }

    /// Gives the directory a name that is free, or that of an empty directory.
    pub(crate) fn persist(mut self, target: &Path) -> io::Result<()> {
        let _section = Section::begin();
        if cfg!(windows) && target.is_dir() {
            fs::remove_dir(target)?;
        }
        fs::rename(self.path(), target)?;
        self.directory.0 = PathBuf::new();
        Ok(())
    }
}

/// Says of what was made just now, and is gone, that another name is to be tried: another process took it for a stale one.
fn if_gone(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::NotFound { io::ErrorKind::AlreadyExists.into() } else { error }
}

/// A directory that is deleted when this is dropped, unless its path is empty.
#[derive(Debug)]
struct TempDir(PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What stays is found by the next writer here.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Unlocks a file that is about to get its name: on Windows a lock keeps others from reading.
fn unlocked(file: NamedTempFile<File>) -> io::Result<NamedTempFile<File>> {
    file.as_file().unlock().or_else(unless_impossible)?;
    Ok(file)
}

fn temp_names() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMP_PREFIX);
    builder
}

/// Files without a name, as Linux has them.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use rustix::io::Errno;

    /// Makes a file without a name, or tells that this file system or system has none.
    pub(super) fn create(directory: &Path) -> io::Result<Option<File>> {
        // The file gets its name through /proc, which a bare container may not have.
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

    /// Gives the file a name that is free.
    pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, source, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// Tells whether there are temporary files in a directory, of writers that are gone or not.
pub(crate) fn has_temporary(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.flatten().any(|entry| is_temporary(&entry)))
}

fn is_temporary(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX)
}

/// Deletes the temporary files and directories in a directory whose writers are gone.
pub(crate) fn remove_stale(directory: &Path) -> io::Result<()> {
    for_each_stale(directory, |path| unless_gone(remove(path)))
}

/// Deletes the temporary directories in a directory whose writers are gone. Files may be of writers that hold another lock.
pub(crate) fn remove_stale_directories(directory: &Path) -> io::Result<()> {
    for_each_stale(directory, |path| if path.is_dir() { unless_gone(remove(path)) } else { Ok(()) })
}

/// Tells whether nothing is in a directory but what is temporary.
pub(crate) fn is_vacant(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if !is_temporary(&entry?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Passes over an error that says that somebody else was faster.
fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Deletes a file, or a directory with all that is in it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Does something with each of the temporary files in a directory whose writers are gone. Nobody takes it up meanwhile.
pub(crate) fn for_each_stale<E: From<io::Error>>(
    directory: &Path,
    mut work: impl FnMut(&Path) -> Result<(), E>,
) -> Result<(), E> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if is_temporary(&entry) && (kind.is_file() || kind.is_dir() && cfg!(unix)) {
            unless_in_use(&entry.path(), &mut work)?;
        }
    }
    Ok(())
}

/// Does something with a file unless somebody has locked it, and tells whether it was done.
pub(crate) fn unless_in_use<E>(path: &Path, work: impl FnOnce(&Path) -> Result<(), E>) -> Result<bool, E> {
    // What vanishes or cannot be opened is not ours.
    let Ok(file) = File::open(path) else { return Ok(false) };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    work(path).map(|()| true)
}
