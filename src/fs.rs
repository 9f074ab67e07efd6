//! Temporary files, syncing and renaming: the only module that makes a temporary file.
//!
//! A file is written where no name leads to it, synced, and then given its name in one step; a reader sees the old file,
//! the new one or none, and never a part of one. On Linux the temporary file has no name at all where the file system
//! can do that (`O_TMPFILE`), so that a killed program leaves nothing. Elsewhere it is called [`TEMP_PREFIX`]`…` and is
//! locked while its writer lives; [`remove_stale`] deletes those that nobody locks.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use tempfile::{NamedTempFile, TempPath};

use crate::abandon::{Registered, Section};

/// How the names of temporary files begin.
const TEMP_PREFIX: &str = ".regshape-tmp-";

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

/// A file that somebody asked for, outside of any layout. It gets its name when it is whole; what is no regular file, such as
/// a pipe or a device, is written to as it is.
#[derive(Debug)]
pub(crate) enum Output {
    New(TempFile, PathBuf),
    There(File),
}

impl Output {
    /// Begins to write a file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // A link stays, and what it leads to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&target).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::There(OpenOptions::new().write(true).open(&target)?));
        }
        if target.file_name().is_none() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // In a layout the writers that hold its lock see to that. What cannot be cleaned is not in the way.
        if !directory.join("oci-layout").exists() {
            let _ = remove_stale(directory);
        }
        Ok(Self::New(TempFile::create_in(directory)?, target))
    }

    /// Returns the file, unless it was there.
    pub(crate) fn file(&self) -> Option<&TempFile> {
        match self {
            Self::New(file, _) => Some(file),
            Self::There(_) => None,
        }
    }

    /// Waits until the bytes are on the disk, if it has any.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self {
            Self::New(file, _) => file.sync(),
            Self::There(_) => Ok(()),
        }
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::New(file, path) => {
                let _section = Section::begin();
                file.persist(&path)
            }
            Self::There(mut file) => file.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::New(file, _) => file.write(bytes),
            Self::There(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::New(file, _) => file.flush(),
            Self::There(file) => file.flush(),
        }
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

/// Gives the content of a file a name in a directory of another one, on whose file system it may not be: by a clone, which
/// shares the blocks, by a link, or by a copy, whichever is the first that the system can do.
pub(crate) fn clone_file(source: &File, source_path: &Path, directory: &Path, target: &Path) -> io::Result<()> {
    let mut copy = TempFile::create_in(directory)?;
    if !copy.clone_from(source) {
        let is_file = fs::symlink_metadata(source_path).is_ok_and(|metadata| metadata.is_file());
        if is_file && fs::hard_link(source_path, target).is_ok() {
            return Ok(());
        }
        let mut source = source;
        source.seek(SeekFrom::Start(0))?;
        io::copy(&mut source, &mut copy)?;
    }
    copy.sync()?;
    copy.persist(target)
}

/// Returns a name of hexadecimal digits that nobody else has.
pub(crate) fn random_name(length: usize) -> String {
    let mut name = String::with_capacity(length + 16);
    while name.len() < length {
        // The one source of randomness in std: each of these has keys of its own.
        name.push_str(&format!("{:016x}", RandomState::new().hash_one(std::process::id())));
    }
    name.truncate(length);
    name
}

/// Unlocks a file that is about to get its name: on Windows a lock keeps others from reading.
fn unlocked(file: NamedTempFile<File>) -> io::Result<NamedTempFile<File>> {
    file.as_file().unlock().or_else(unless_impossible)?;
    Ok(file)
}

/// Tells whether an error says that this file system, or the system, has no locks.
pub(crate) fn cannot_lock(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // Some network file systems lock only files that are open for writing, and say BADF of any other.
        let none = [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::BADF];
        if Errno::from_io_error(error).is_some_and(|errno| none.contains(&errno)) {
            return true;
        }
    }
    error.kind() == io::ErrorKind::Unsupported
}

/// Passes over an error that says that there are no locks here.
fn unless_impossible(error: io::Error) -> io::Result<()> {
    if cannot_lock(&error) { Ok(()) } else { Err(error) }
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

/// Waits until the names in a directory are on the disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    // Windows has no such call: a directory cannot be opened as a file there.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// What tells a file from one that was at its path before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    modified: SystemTime,
    size: u64,
    /// The number of the file where there is one, 0 elsewhere.
    inode: u64,
}

impl FileVersion {
    /// Returns the version of what is at a path now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Self::from(&fs::symlink_metadata(path)?)
    }

    /// Returns the version of a file that is open.
    pub(crate) fn of_file(file: &File) -> io::Result<Self> {
        Self::from(&file.metadata()?)
    }

    fn from(metadata: &fs::Metadata) -> io::Result<Self> {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self { modified: metadata.modified()?, size: metadata.len(), inode })
    }
}

/// Opens a regular file for reading; neither follows a link nor waits for the other end of a pipe.
///
/// # Errors
///
/// What opening says; of kind `InvalidInput` with a text of its own if the path leads to something else than a file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(not_regular());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).expect("open flags are small"));
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Opens a regular file as [`open_regular`] does; follows a link that leads to one below a directory.
///
/// # Errors
///
/// Those of [`open_regular`]; of kind `InvalidInput` too if a link leads out of the directory.
pub(crate) fn open_inside(root: &Path, path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_symlink() {
        return open_regular(path);
    }
    match target_inside(root, path)? {
        Some(target) => open_regular(&target),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a link that leads out of the layout")),
    }
}

/// Returns where a path leads, if that is below a directory.
pub(crate) fn target_inside(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let target = fs::canonicalize(path)?;
    Ok(target.starts_with(fs::canonicalize(root)?).then_some(target))
}

/// Reads a file to its end if it is not larger than a limit; `None` if it is.
pub(crate) fn read_at_most(file: &File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let expected = file.metadata()?.len();
    if expected > limit {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let within = u64::try_from(bytes.len()).is_ok_and(|length| length <= limit);
    Ok(within.then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_its_name_whole_and_leaves_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("target");
        for content in ["first", "second"] {
            let mut file = TempFile::create_in(directory.path()).expect("created");
            file.write_all(content.as_bytes()).expect("written");
            file.sync().expect("synced");
            file.persist(&target).expect("named");
            assert_eq!(fs::read_to_string(&target).expect("readable"), content);
            assert_eq!(names(directory.path()), ["target"]);
        }
        let file = TempFile::create_in(directory.path()).expect("created");
        let error = file.persist_new(&target).expect_err("the name is taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).expect("readable"), "second");
        drop(TempFile::create_in(directory.path()).expect("created"));
        assert_eq!(names(directory.path()), ["target"]);
    }

    #[test]
    fn what_a_file_replaced_can_be_put_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("target");
        let replace = |content: &str| {
            let mut file = TempFile::create_in(directory.path()).expect("created");
            file.write_all(content.as_bytes()).expect("written");
            file.replace(&target).expect("named")
        };
        replace("first").restore().expect("put back");
        assert_eq!(names(directory.path()), [""; 0]);
        drop(replace("first"));
        replace("second").restore().expect("put back");
        assert_eq!(fs::read_to_string(&target).expect("readable"), "first");
        drop(replace("second"));
        assert_eq!(fs::read_to_string(&target).expect("readable"), "second");
        assert_eq!(names(directory.path()), ["target"]);
    }

    #[test]
    fn only_files_that_nobody_writes_are_stale() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(format!("{TEMP_PREFIX}{name}"));
        fs::write(path("stale"), "half").expect("written");
        fs::write(path("live"), "half").expect("written");
        let live = File::open(path("live")).expect("opened");
        live.lock().expect("locked");
        fs::write(directory.path().join("other"), "whole").expect("written");
        remove_stale(directory.path()).expect("cleaned");
        assert_eq!(names(directory.path()), [format!("{TEMP_PREFIX}live"), "other".to_owned()]);
    }

    #[test]
    fn only_regular_files_are_opened_and_only_up_to_a_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        fs::write(&path, "12345").expect("written");
        let file = open_regular(&path).expect("opened");
        assert_eq!(read_at_most(&file, 4).expect("read"), None);
        assert_eq!(read_at_most(&file, 5).expect("read"), Some(b"12345".to_vec()));
        assert_eq!(open_regular(directory.path()).expect_err("a directory").kind(), io::ErrorKind::InvalidInput);
        #[cfg(unix)]
        {
            let link = directory.path().join("link");
            std::os::unix::fs::symlink(&path, &link).expect("linked");
            assert_eq!(open_regular(&link).expect_err("a link").kind(), io::ErrorKind::InvalidInput);
            assert!(open_inside(directory.path(), &link).is_ok());
            let elsewhere = tempfile::tempdir().expect("a directory");
            let error = open_inside(elsewhere.path(), &link).expect_err("a link out of it");
            assert_eq!(error.to_string(), "a link that leads out of the layout");
        }
    }
}
