//! Opens, reads, syncs and renames files.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Sets the times of a file to now. Works for any user who may write to the file, not only for its owner.
pub(crate) fn touch(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
        let _ = path;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        Ok(rustix::fs::futimens(file, &Timestamps { last_access: now, last_modification: now })?)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        OpenOptions::new().write(true).open(path)?.set_modified(SystemTime::now())
    }
}

/// Returns a random name of hexadecimal digits.
pub(crate) fn random_name(length: usize) -> String {
    let mut name = String::with_capacity(length + 16);
    while name.len() < length {
        // The only source of randomness in std: each `RandomState` has its own keys.
        name.push_str(&format!("{:016x}", RandomState::new().hash_one(std::process::id())));
    }
    name.truncate(length);
    name
}

/// Returns whether an error means that the system or the file system does not support locks.
pub(crate) fn cannot_lock(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // Some network file systems lock only files that are open for writing, and report BADF for others.
        let none = [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::BADF];
        if Errno::from_io_error(error).is_some_and(|errno| none.contains(&errno)) {
            return true;
        }
    }
    error.kind() == io::ErrorKind::Unsupported
}

/// Ignores an error that means that locks are not supported.
pub(crate) fn unless_impossible(error: io::Error) -> io::Result<()> {
    if cannot_lock(&error) { Ok(()) } else { Err(error) }
}

/// Syncs the names in a directory to disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    // Windows cannot open a directory as a file, so it cannot sync a directory.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Syncs the name of a file or directory to disk.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match sync_directory(parent) {
        // Syncing a directory takes read permission, which a writable directory may lack.
        #[cfg(target_os = "linux")]
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(rustix::fs::syncfs(File::open(path)?)?),
        // The parent may be on a file system that cannot sync directories.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Renames a file or directory to a new name.
///
/// # Errors
///
/// The error of the operating system; of kind `AlreadyExists` if the name exists.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems do not support this flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Detects whether a file was replaced or changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    modified: SystemTime,
    size: u64,
    /// The inode number; 0 on systems without inodes.
    inode: u64,
}

impl FileVersion {
    /// Returns the current version of a file.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self { modified: metadata.modified()?, size: metadata.len(), inode })
    }
}

/// Returns the name of a file type, for messages.
pub(crate) fn kind_of(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => "a regular file",
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link",
        #[cfg(unix)]
        () if std::os::unix::fs::FileTypeExt::is_fifo(&kind) => "a named pipe",
        #[cfg(unix)]
        () if std::os::unix::fs::FileTypeExt::is_socket(&kind) => "a socket",
        () => "a device",
    }
}

/// Returns the error for a file that is not a regular file.
fn not_regular(metadata: &fs::Metadata) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}, not a regular file", kind_of(metadata)))
}

/// Opens a regular file for reading. Does not follow links, and does not block on a pipe.
///
/// # Errors
///
/// The error of the operating system; of kind `InvalidInput` with a message of its own if the file is not a regular
/// file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(not_regular(&metadata));
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
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(file) } else { Err(not_regular(&metadata)) }
}

/// Returns the error for a link that points out of the directory in which it must stay.
pub(crate) fn leads_out() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a link that leads out of the layout")
}

/// Opens a regular file as [`open_regular`] does. Follows a link if its target is below a directory.
///
/// # Errors
///
/// Those of [`open_regular`]; also of kind `InvalidInput` if a link points out of the directory.
pub(crate) fn open_inside(root: &Path, path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_symlink() {
        return open_regular(path);
    }
    match target_inside(root, path)? {
        Some(target) => open_regular(&target),
        None => Err(leads_out()),
    }
}

/// Returns the target of a path, if it is below a directory.
pub(crate) fn target_inside(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let target = fs::canonicalize(path)?;
    Ok(target.starts_with(fs::canonicalize(root)?).then_some(target))
}

/// Allocates a buffer of zeros. Returns an error if there is not enough memory.
pub(crate) fn zeroed(length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Reads a whole file; `None` if it is larger than the limit.
pub(crate) fn read_at_most(file: &File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let expected = file.metadata()?.len();
    if expected > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let within = u64::try_from(bytes.len()).is_ok_and(|length| length <= limit);
    Ok(within.then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::fs::{Directory, TempFile};
    use crate::interrupt::Interrupt;

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
            let mut file = TempFile::create_in(directory.path(), &Interrupt::default()).expect("created");
            file.write_all(content.as_bytes()).expect("written");
            file.sync().expect("synced");
            file.persist(&target).expect("named");
            assert_eq!(fs::read_to_string(&target).expect("readable"), content);
            assert_eq!(names(directory.path()), ["target"]);
        }
        let file = TempFile::create_in(directory.path(), &Interrupt::default()).expect("created");
        let error = file.persist_new(&target).expect_err("the name is taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).expect("readable"), "second");
        drop(TempFile::create_in(directory.path(), &Interrupt::default()).expect("created"));
        assert_eq!(names(directory.path()), ["target"]);
    }

    #[test]
    fn a_replaced_file_can_be_put_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("target");
        let opened = Directory::open(directory.path()).expect("opened");
        let replace = |content: &str| {
            let mut file = TempFile::create_in(directory.path(), &Interrupt::default()).expect("created");
            file.write_all(content.as_bytes()).expect("written");
            file.replace(&opened, "target".as_ref()).expect("named")
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
