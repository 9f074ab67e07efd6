//! Open directories. A change made through an open directory stays in that directory, even if another process renames
//! it or replaces its path with a link.
//!
//! On Unix a [`Directory`] is a file descriptor, and names are resolved relative to it. On other systems it is a path.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::Arc;
use std::time::SystemTime;

use super::files::leads_out;

/// An open directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    /// The path by which the directory was opened, for messages and for systems without directory descriptors.
    path: PathBuf,
    #[cfg(unix)]
    file: Arc<File>,
}

/// The type of a file. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Link,
    Other,
}

/// The metadata of a file in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) kind: FileKind,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    pub(crate) identity: FileIdentity,
}

/// The identity of a file. No other file has the same identity while the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    /// The device number; on Windows the creation time.
    device: u64,
    /// The inode number; on Windows the size.
    number: u64,
}

impl FileIdentity {
    /// Makes an identity of a device and an inode.
    pub(crate) fn new(device: u64, number: u64) -> Self {
        Self { device, number }
    }

    /// Returns the identity of an open file.
    pub(crate) fn from_file(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }
}

impl From<&fs::Metadata> for FileIdentity {
    #[cfg(unix)]
    fn from(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), number: metadata.ino() }
    }

    #[cfg(windows)]
    fn from(metadata: &fs::Metadata) -> Self {
        use std::os::windows::fs::MetadataExt;
        Self { device: metadata.creation_time(), number: metadata.file_size() }
    }
}

#[cfg(not(unix))]
impl From<&fs::FileType> for FileKind {
    fn from(kind: &fs::FileType) -> Self {
        match kind {
            kind if kind.is_file() => Self::File,
            kind if kind.is_dir() => Self::Directory,
            kind if kind.is_symlink() => Self::Link,
            _ => Self::Other,
        }
    }
}

#[cfg(not(unix))]
impl TryFrom<&fs::Metadata> for Found {
    type Error = io::Error;

    fn try_from(metadata: &fs::Metadata) -> io::Result<Self> {
        Ok(Self {
            kind: FileKind::from(&metadata.file_type()),
            size: metadata.len(),
            modified: metadata.modified()?,
            identity: FileIdentity::from(metadata),
        })
    }
}

impl Directory {
    /// Returns the path by which the directory was opened. By now the path may belong to another directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the directory, for messages.
    pub(crate) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Opens a directory at a path below this directory. Links are followed if they stay below it.
    ///
    /// # Errors
    ///
    /// The error of the operating system; [`leads_out`].
    pub(crate) fn open_beneath(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        match self.descend(path) {
            // An absolute link, or a link that leaves the directory by `..`, may point back into it.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let target = fs::canonicalize(self.path.join(path))?;
                let root = fs::canonicalize(&self.path)?;
                let inside = target.strip_prefix(root).map_err(|_| leads_out())?;
                self.descend(inside).map(|found| found.at(self.path.join(path)))
            }
            opened => opened.map(|found| found.at(self.path.join(path))),
        }
    }

    /// Returns this directory under another path.
    fn at(mut self, path: PathBuf) -> Self {
        self.path = path;
        self
    }

    /// Creates a directory. Returns `false` if the name exists already.
    pub(crate) fn make(&self, name: &str) -> io::Result<bool> {
        match self.make_new(name) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a file or a link. A missing file is not an error.
    pub(crate) fn remove_if_there(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        match self.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
mod descriptors {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::Component;
    use std::time::{Duration, UNIX_EPOCH};

    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
    use rustix::io::Errno;

    use super::*;

    /// The most links followed in a path, as on Linux.
    const MAX_LINKS: usize = 40;

    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    impl From<FileType> for FileKind {
        fn from(kind: FileType) -> Self {
            match kind {
                FileType::RegularFile => Self::File,
                FileType::Directory => Self::Directory,
                FileType::Symlink => Self::Link,
                _ => Self::Other,
            }
        }
    }

    impl From<&Stat> for Found {
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between systems")]
        fn from(stat: &Stat) -> Self {
            let (seconds, nanoseconds) = (stat.st_mtime as i64, stat.st_mtime_nsec as u64);
            let whole = Duration::from_secs(seconds.unsigned_abs());
            let second = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
            Self {
                kind: FileType::from_raw_mode(stat.st_mode).into(),
                size: stat.st_size as u64,
                modified: second.unwrap_or(UNIX_EPOCH) + Duration::from_nanos(nanoseconds),
                identity: FileIdentity { device: stat.st_dev as u64, number: stat.st_ino as u64 },
            }
        }
    }

    impl AsFd for Directory {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.file.as_fd()
        }
    }

    impl Directory {
        /// Opens a directory.
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            // An empty path is the current directory.
            let opened = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let file = rustix::fs::openat(CWD, opened, DIRECTORY, Mode::empty())?;
            Ok(Self { path: path.to_owned(), file: Arc::new(file.into()) })
        }

        /// Opens a subdirectory. Links are not followed.
        fn child(&self, name: &OsStr) -> Result<Self, Errno> {
            let file = rustix::fs::openat(self, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
            Ok(Self { path: self.path.join(name), file: Arc::new(file.into()) })
        }

        /// Opens a subdirectory. Links are not followed.
        pub(crate) fn open_child(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
            Ok(self.child(name.as_ref())?)
        }

        /// Opens a directory at a path below this directory, component by component.
        pub(super) fn descend(&self, path: &Path) -> io::Result<Self> {
            let steps = |path: &Path| -> io::Result<Vec<OsString>> {
                let mut steps = Vec::new();
                for component in path.components() {
                    match component {
                        Component::Normal(name) => steps.push(name.to_owned()),
                        Component::ParentDir => steps.push("..".into()),
                        Component::CurDir => {}
                        Component::RootDir | Component::Prefix(_) => return Err(leads_out()),
                    }
                }
                steps.reverse();
                Ok(steps)
            };
            let (mut above, mut here, mut links) = (Vec::new(), self.clone(), 0);
            let mut pending = steps(path)?;
            while let Some(name) = pending.pop() {
                if name == ".." {
                    here = above.pop().ok_or_else(leads_out)?;
                    continue;
                }
                match here.child(&name) {
                    Ok(child) => above.push(std::mem::replace(&mut here, child)),
                    // For a link, Linux reports NOTDIR, other systems LOOP or MLINK.
                    Err(error @ (Errno::NOTDIR | Errno::LOOP | Errno::MLINK)) => {
                        let Some(target) = here.read_link(&name)? else { return Err(error.into()) };
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(Errno::LOOP.into());
                        }
                        pending.extend(steps(&target)?);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(here)
        }

        /// Returns the target of a link; `None` if the file is not a link.
        fn read_link(&self, name: &OsStr) -> io::Result<Option<PathBuf>> {
            match rustix::fs::readlinkat(self, name, Vec::new()) {
                Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
                Err(Errno::INVAL) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        pub(super) fn make_new(&self, name: &str) -> io::Result<()> {
            Ok(rustix::fs::mkdirat(self, name, Mode::from_raw_mode(0o777))?)
        }

        /// Returns the metadata of a file; `None` if it does not exist. Links are not followed.
        pub(crate) fn find(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Found>> {
            self.stat(name.as_ref(), AtFlags::SYMLINK_NOFOLLOW)
        }

        /// Returns the metadata of a file; `None` if it does not exist. Links are followed, even out of the directory.
        pub(crate) fn find_target(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Found>> {
            self.stat(name.as_ref(), AtFlags::empty())
        }

        fn stat(&self, name: &OsStr, flags: AtFlags) -> io::Result<Option<Found>> {
            match rustix::fs::statat(self, name, flags) {
                Ok(stat) => Ok(Some(Found::from(&stat))),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        /// Returns the names and types of the files in the directory.
        pub(crate) fn entries(&self) -> io::Result<Vec<(OsString, FileKind)>> {
            let mut entries = Vec::new();
            for entry in Dir::read_from(self)? {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                let kind = match entry.file_type() {
                    FileType::Unknown => match self.find(name)? {
                        Some(found) => found.kind,
                        None => continue,
                    },
                    kind => kind.into(),
                };
                entries.push((name.to_owned(), kind));
            }
            Ok(entries)
        }

        /// Opens a file for reading. Does not follow links, and does not block on a pipe.
        pub(crate) fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(self, name.as_ref(), flags, Mode::empty())?.into())
        }

        /// Creates a file for reading and appending. Fails if the name exists.
        pub(crate) fn create_to_append(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
            let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(self, name.as_ref(), flags, Mode::from_raw_mode(0o666))?.into())
        }

        /// Opens a file for reading and appending. Does not follow links, and does not block on a pipe.
        pub(crate) fn open_to_append(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
            let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(self, name.as_ref(), flags, Mode::empty())?.into())
        }

        /// Deletes a file or a link.
        pub(crate) fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
            Ok(rustix::fs::unlinkat(self, name.as_ref(), AtFlags::empty())?)
        }

        /// Deletes an empty directory.
        pub(crate) fn remove_directory(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
            Ok(rustix::fs::unlinkat(self, name.as_ref(), AtFlags::REMOVEDIR)?)
        }

        /// Moves a file of this directory into another directory. Replaces an existing file.
        pub(crate) fn rename(&self, from: impl AsRef<OsStr>, target: &Self, to: impl AsRef<OsStr>) -> io::Result<()> {
            Ok(rustix::fs::renameat(self, from.as_ref(), target, to.as_ref())?)
        }

        /// Moves a file from a path into this directory. Replaces an existing file.
        pub(crate) fn take(&self, from: &Path, to: impl AsRef<OsStr>) -> io::Result<()> {
            Ok(rustix::fs::renameat(CWD, from, self, to.as_ref())?)
        }

        /// Creates a hard link to a file of this directory.
        pub(crate) fn link(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
            Ok(rustix::fs::linkat(self, from.as_ref(), self, to.as_ref(), AtFlags::empty())?)
        }

        /// Moves a file from a path into this directory. Fails if the name exists.
        pub(crate) fn take_new(&self, from: &Path, to: impl AsRef<OsStr>) -> io::Result<()> {
            let to = to.as_ref();
            #[cfg(target_os = "linux")]
            match rustix::fs::renameat_with(CWD, from, self, to, rustix::fs::RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => {}
                renamed => return Ok(renamed?),
            }
            rustix::fs::linkat(CWD, from, self, to, AtFlags::empty())?;
            fs::remove_file(from)
        }

        /// Syncs the names in the directory to disk.
        pub(crate) fn sync(&self) -> io::Result<()> {
            self.file.sync_all()
        }

        /// Returns whether files can be renamed between the two directories: both must be on the same file system and
        /// mount.
        pub(crate) fn is_on_mount_of(&self, other: &Self) -> io::Result<bool> {
            let (one, two) = (FileIdentity::from_file(&self.file)?, FileIdentity::from_file(&other.file)?);
            Ok(one == two || one.device == two.device && self.mount().is_some_and(|mount| other.mount() == Some(mount)))
        }

        /// Returns the ID of the mount, if the kernel reports it.
        #[cfg(target_os = "linux")]
        fn mount(&self) -> Option<u64> {
            use rustix::fs::StatxFlags;
            let mount = rustix::fs::statx(self, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
            (mount.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(mount.stx_mnt_id)
        }

        /// Returns a constant: on these systems the device is enough.
        #[cfg(not(target_os = "linux"))]
        fn mount(&self) -> Option<u64> {
            Some(0)
        }
    }
}

#[cfg(not(unix))]
impl Directory {
    /// Opens a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let opened = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match fs::metadata(opened)?.is_dir() {
            true => Ok(Self { path: path.to_owned() }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Opens a subdirectory. Links are not followed.
    pub(crate) fn open_child(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let path = self.path_of(name);
        match fs::symlink_metadata(&path)?.is_dir() {
            true => Ok(Self { path }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn descend(&self, path: &Path) -> io::Result<Self> {
        let (target, root) = (fs::canonicalize(self.path.join(path))?, fs::canonicalize(&self.path)?);
        if target.starts_with(root) { Self::open(&target) } else { Err(leads_out()) }
    }

    fn make_new(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.path_of(name))
    }

    /// Returns the metadata of a file; `None` if it does not exist. Links are not followed.
    pub(crate) fn find(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Found>> {
        found(fs::symlink_metadata(self.path_of(name)))
    }

    /// Returns the metadata of a file; `None` if it does not exist. Links are followed, even out of the directory.
    pub(crate) fn find_target(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Found>> {
        found(fs::metadata(self.path_of(name)))
    }

    /// Returns the names and types of the files in the directory.
    pub(crate) fn entries(&self) -> io::Result<Vec<(OsString, FileKind)>> {
        fs::read_dir(&self.path)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), FileKind::from(&entry.file_type()?)))
            })
            .collect()
    }

    /// Opens a file for reading.
    pub(crate) fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        super::open_regular(&self.path_of(name))
    }

    /// Creates a file for reading and appending. Fails if the name exists.
    pub(crate) fn create_to_append(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        fs::OpenOptions::new().read(true).append(true).create_new(true).open(self.path_of(name))
    }

    /// Opens a file for reading and appending.
    pub(crate) fn open_to_append(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        fs::OpenOptions::new().read(true).append(true).open(self.path_of(name))
    }

    /// Deletes a file or a link.
    pub(crate) fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        fs::remove_file(self.path_of(name))
    }

    /// Deletes an empty directory.
    pub(crate) fn remove_directory(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        fs::remove_dir(self.path_of(name))
    }

    /// Moves a file of this directory into another directory. Replaces an existing file.
    pub(crate) fn rename(&self, from: impl AsRef<OsStr>, target: &Self, to: impl AsRef<OsStr>) -> io::Result<()> {
        fs::rename(self.path_of(from), target.path_of(to))
    }

    /// Moves a file from a path into this directory. Replaces an existing file.
    pub(crate) fn take(&self, from: &Path, to: impl AsRef<OsStr>) -> io::Result<()> {
        fs::rename(from, self.path_of(to))
    }

    /// Creates a hard link to a file of this directory.
    pub(crate) fn link(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        fs::hard_link(self.path_of(from), self.path_of(to))
    }

    /// Moves a file from a path into this directory. Fails if the name exists.
    pub(crate) fn take_new(&self, from: &Path, to: impl AsRef<OsStr>) -> io::Result<()> {
        fs::hard_link(from, self.path_of(to))?;
        fs::remove_file(from)
    }

    /// Does nothing: these systems cannot sync a directory.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Returns whether files can be renamed between the two directories.
    pub(crate) fn is_on_mount_of(&self, other: &Self) -> io::Result<bool> {
        Ok(self.path == other.path)
    }
}

#[cfg(not(unix))]
fn found(metadata: io::Result<fs::Metadata>) -> io::Result<Option<Found>> {
    match metadata {
        Ok(metadata) => Found::try_from(&metadata).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_beneath_a_directory_only() {
        let (root, outside) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        fs::create_dir_all(root.path().join("a/b")).expect("created");
        fs::write(root.path().join("a/b/file"), "x").expect("written");
        let name = root.path().file_name().expect("a name").to_string_lossy().into_owned();
        let links = [
            ("relative", "a/b".to_owned()),
            ("up", "a/../a/b".to_owned()),
            ("chain", "relative".to_owned()),
            ("absolute", root.path().join("a/b").display().to_string()),
            ("out and back", format!("../{name}/a/b")),
        ];
        let opened = Directory::open(root.path()).expect("opened");
        for (link, target) in &links {
            symlink(target, root.path().join(link)).expect("linked");
            let directory = opened.open_beneath(link).unwrap_or_else(|error| panic!("{link}: {error}"));
            assert!(directory.find("file").expect("found").is_some(), "{link}");
        }
        for (link, target) in [("up", ".."), ("absolute", outside.path().to_str().expect("text"))] {
            let link = format!("out {link}");
            symlink(target, root.path().join(&link)).expect("linked");
            assert_eq!(opened.open_beneath(&link).expect_err("outside").to_string(), leads_out().to_string());
        }
        symlink("loop", root.path().join("loop")).expect("linked");
        assert!(opened.open_beneath("loop").is_err());
        assert_eq!(opened.open_beneath("none").expect_err("missing").kind(), io::ErrorKind::NotFound);
        assert_eq!(opened.open_beneath("a/b/file").expect_err("a file").kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn an_open_directory_stays_the_same_when_its_path_changes() {
        let root = tempfile::tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        for name in ["here", "victim"] {
            fs::create_dir(path(name)).expect("created");
            fs::write(path(name).join("file"), name).expect("written");
        }
        let opened = Directory::open(&path("here")).expect("opened");
        fs::rename(path("here"), path("moved")).expect("renamed");
        symlink("victim", path("here")).expect("linked");
        assert_eq!(opened.entries().expect("read"), [("file".into(), FileKind::File)]);
        opened.remove_if_there("file").expect("deleted");
        opened.remove_if_there("file").expect("gone already");
        assert!(opened.make("new").expect("made") && !opened.make("new").expect("there"));
        assert_eq!(fs::read_to_string(path("victim").join("file")).expect("there"), "victim");
        assert!(path("moved").join("new").is_dir() && !path("victim").join("new").exists());
    }
}
