//! Reads the directories of a source tree: entries with their attributes, links not followed.
//!
//! On Unix a directory is a descriptor, so paths may be longer than the system's limit, and a directory that is swapped
//! for a link meanwhile is not entered. On other systems it is a path.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;

use super::xattr::{XattrFilter, Xattrs};
use crate::fs::FileIdentity;

/// The type of an entry of a source tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "other systems do not tell these types apart"))]
pub(crate) enum SourceKind {
    File,
    Directory,
    Link,
    CharacterDevice,
    BlockDevice,
    Pipe,
    Socket,
}

impl SourceKind {
    /// Returns the name of the type for a message.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::CharacterDevice | Self::BlockDevice => "device",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
        }
    }
}

/// The attributes of an entry of a source tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceStat {
    pub(crate) kind: SourceKind,
    /// The device and the inode.
    pub(crate) identity: FileIdentity,
    /// The device on which the entry lies.
    pub(crate) device: u64,
    /// The number of names of the inode.
    pub(crate) names: u64,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The time of the last change of the content: seconds since 1970 and nanoseconds.
    pub(crate) modified: (i64, u32),
    /// The major and minor number of a device.
    pub(crate) number: (u32, u32),
}

/// An entry of a directory: its name, and its attributes or the error of reading them.
pub(crate) type SourceEntry = (Box<[u8]>, io::Result<SourceStat>);

pub(crate) use system::SourceDirectory;

impl SourceDirectory {
    /// Opens a directory, or the target of a link to one.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, SourceStat)> {
        let directory = Self::at(path)?;
        let stat = directory.own_stat()?;
        Ok((directory, stat))
    }
}

/// Returns the attributes of a file, or of the target of a link.
pub(crate) fn stat_target(path: &Path) -> io::Result<SourceStat> {
    std::fs::metadata(path).map(|metadata| system::stat_of(&metadata))
}

/// Returns the attributes of an open file.
pub(crate) fn stat_file(file: &File) -> io::Result<SourceStat> {
    file.metadata().map(|metadata| system::stat_of(&metadata))
}

/// Opens a regular file, or the target of a link to one. Does not block on a pipe.
pub(crate) fn open_target(path: &Path) -> io::Result<File> {
    system::open_target(path)
}

/// Returns the extended attributes of an open file that pass a filter.
pub(crate) fn xattrs_of_file(file: &File, filter: &XattrFilter) -> io::Result<Xattrs> {
    system::xattrs_of_file(file, filter)
}

/// Returns the bytes of a path or name as a path.
#[cfg(unix)]
pub(crate) fn as_path(bytes: &[u8]) -> Cow<'_, Path> {
    use std::os::unix::ffi::OsStrExt;
    Cow::Borrowed(Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

/// Returns the bytes of a path or name as a path.
#[cfg(not(unix))]
pub(crate) fn as_path(bytes: &[u8]) -> Cow<'_, Path> {
    Cow::Owned(std::path::PathBuf::from(String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
    use std::path::Path;

    use rustix::fs::{Access, AtFlags, CWD, Dir, Mode, OFlags, accessat};
    use rustix::io::Errno;

    use super::{SourceEntry, SourceKind, SourceStat, XattrFilter, Xattrs};
    use crate::fs::FileIdentity;

    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// A directory of a source tree.
    #[derive(Debug)]
    pub(crate) struct SourceDirectory(File);

    impl SourceDirectory {
        pub(super) fn at(path: &Path) -> io::Result<Self> {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let file: OwnedFd = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?;
            Ok(Self(file.into()))
        }

        pub(super) fn own_stat(&self) -> io::Result<SourceStat> {
            self.0.metadata().map(|metadata| stat_of(&metadata))
        }

        /// Opens a subdirectory.
        pub(crate) fn child(&self, name: &[u8]) -> io::Result<Self> {
            let name = OsStr::from_bytes(name);
            let file = rustix::fs::openat(&self.0, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
            Ok(Self(file.into()))
        }

        /// Opens a file. Does not block on a pipe.
        pub(crate) fn open_file(&self, name: &[u8]) -> io::Result<File> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.0, OsStr::from_bytes(name), flags, Mode::empty())?;
            Ok(file.into())
        }

        /// Returns the entries, sorted by name.
        pub(crate) fn entries(&self) -> io::Result<Vec<SourceEntry>> {
            let mut entries: Vec<SourceEntry> = Vec::new();
            for entry in Dir::read_from(&self.0)? {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let stat = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => Ok(stat_from(&stat)),
                    // The entry was deleted meanwhile.
                    Err(Errno::NOENT) => continue,
                    Err(error) => Err(error.into()),
                };
                entries.push((name.to_bytes().into(), stat));
            }
            entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            Ok(entries)
        }

        /// Returns the target of a link.
        pub(crate) fn read_link(&self, name: &[u8]) -> io::Result<Box<[u8]>> {
            let target = rustix::fs::readlinkat(&self.0, OsStr::from_bytes(name), Vec::new())?;
            Ok(target.into_bytes().into())
        }

        /// Checks that this process may read a file.
        pub(crate) fn check_readable(&self, name: &[u8]) -> io::Result<()> {
            // Root reads everything; a call for each file would take time for nothing.
            if rustix::process::geteuid().is_root() {
                return Ok(());
            }
            Ok(accessat(&self.0, OsStr::from_bytes(name), Access::READ_OK, AtFlags::EACCESS)?)
        }

        /// Returns the extended attributes of the directory itself that pass a filter.
        pub(crate) fn own_xattrs(&self, filter: &XattrFilter) -> io::Result<Xattrs> {
            xattrs_of_file(&self.0, filter)
        }

        /// Returns whether overlayfs would hide what the layers below have in this directory.
        pub(crate) fn is_opaque(&self) -> io::Result<bool> {
            super::super::xattr::is_opaque(&self.0)
        }

        /// Returns the extended attributes of an entry that pass a filter. The entry is neither opened nor followed.
        pub(crate) fn xattrs_of(&self, name: &[u8], filter: &XattrFilter) -> io::Result<Xattrs> {
            use std::os::fd::AsRawFd;
            let path = [format!("/proc/self/fd/{}/", self.0.as_raw_fd()).as_bytes(), name].concat();
            let path = OsStr::from_bytes(&path);
            filter.read(
                |buffer| rustix::fs::llistxattr(path, buffer),
                |name, buffer| rustix::fs::lgetxattr(path, name, buffer),
            )
        }
    }

    pub(super) fn open_target(path: &Path) -> io::Result<File> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    }

    pub(super) fn xattrs_of_file(file: &File, filter: &XattrFilter) -> io::Result<Xattrs> {
        let file = file.as_fd();
        filter.read(
            |buffer| rustix::fs::flistxattr(file, buffer),
            |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
        )
    }

    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between systems")]
    fn stat_from(stat: &rustix::fs::Stat) -> SourceStat {
        use rustix::fs::FileType;
        let device = stat.st_dev as u64;
        SourceStat {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => SourceKind::Directory,
                FileType::Symlink => SourceKind::Link,
                FileType::CharacterDevice => SourceKind::CharacterDevice,
                FileType::BlockDevice => SourceKind::BlockDevice,
                FileType::Fifo => SourceKind::Pipe,
                FileType::Socket => SourceKind::Socket,
                _ => SourceKind::File,
            },
            identity: FileIdentity::new(device, stat.st_ino as u64),
            device,
            names: stat.st_nlink as u64,
            size: stat.st_size as u64,
            mode: u32::from(stat.st_mode) & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            number: (rustix::fs::major(stat.st_rdev as _), rustix::fs::minor(stat.st_rdev as _)),
        }
    }

    pub(super) fn stat_of(metadata: &Metadata) -> SourceStat {
        let kind = metadata.file_type();
        SourceStat {
            kind: match kind {
                _ if kind.is_dir() => SourceKind::Directory,
                _ if kind.is_symlink() => SourceKind::Link,
                _ if kind.is_char_device() => SourceKind::CharacterDevice,
                _ if kind.is_block_device() => SourceKind::BlockDevice,
                _ if kind.is_fifo() => SourceKind::Pipe,
                _ if kind.is_socket() => SourceKind::Socket,
                _ => SourceKind::File,
            },
            identity: FileIdentity::from(metadata),
            device: metadata.dev(),
            names: metadata.nlink(),
            size: metadata.len(),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or(0)),
            number: (rustix::fs::major(metadata.rdev() as _), rustix::fs::minor(metadata.rdev() as _)),
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::path::{Path, PathBuf};
    use std::time::UNIX_EPOCH;

    use super::{SourceEntry, SourceKind, SourceStat, XattrFilter, Xattrs};
    use crate::fs::FileIdentity;

    /// The mode of all entries: the system has no execute permission.
    const MODE: u32 = 0o755;

    /// A directory of a source tree.
    #[derive(Debug)]
    pub(crate) struct SourceDirectory(PathBuf);

    impl SourceDirectory {
        pub(super) fn at(path: &Path) -> io::Result<Self> {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            fs::read_dir(path).map(|_| Self(path.to_owned()))
        }

        pub(super) fn own_stat(&self) -> io::Result<SourceStat> {
            fs::metadata(&self.0).map(|metadata| stat_of(&metadata))
        }

        /// Opens a subdirectory.
        pub(crate) fn child(&self, name: &[u8]) -> io::Result<Self> {
            let path = self.path_of(name)?;
            if !fs::symlink_metadata(&path)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self(path))
        }

        /// Opens a file.
        pub(crate) fn open_file(&self, name: &[u8]) -> io::Result<File> {
            File::open(self.path_of(name)?)
        }

        /// Returns the entries, sorted by name.
        pub(crate) fn entries(&self) -> io::Result<Vec<SourceEntry>> {
            let mut entries: Vec<SourceEntry> = Vec::new();
            for entry in fs::read_dir(&self.0)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_str().ok_or_else(|| io::Error::other("the name is not Unicode"))?;
                entries.push((name.as_bytes().into(), entry.metadata().map(|metadata| stat_of(&metadata))));
            }
            entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            Ok(entries)
        }

        /// Returns the target of a link, with slashes.
        pub(crate) fn read_link(&self, name: &[u8]) -> io::Result<Box<[u8]>> {
            let target = fs::read_link(self.path_of(name)?)?;
            let target = target.to_str().ok_or_else(|| io::Error::other("the target is not Unicode"))?;
            Ok(target.replace('\\', "/").into_bytes().into())
        }

        /// Checks that this process may read a file: found out when it is read.
        pub(crate) fn check_readable(&self, _name: &[u8]) -> io::Result<()> {
            Ok(())
        }

        /// Returns no extended attributes: the system has none that images could hold.
        pub(crate) fn own_xattrs(&self, _filter: &XattrFilter) -> io::Result<Xattrs> {
            Ok(Xattrs::new())
        }

        /// Returns `false`: the system has no overlayfs.
        pub(crate) fn is_opaque(&self) -> io::Result<bool> {
            Ok(false)
        }

        /// Returns no extended attributes: the system has none that images could hold.
        pub(crate) fn xattrs_of(&self, _name: &[u8], _filter: &XattrFilter) -> io::Result<Xattrs> {
            Ok(Xattrs::new())
        }

        fn path_of(&self, name: &[u8]) -> io::Result<PathBuf> {
            let name = std::str::from_utf8(name).map_err(io::Error::other)?;
            Ok(self.0.join(name))
        }
    }

    pub(super) fn open_target(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) fn xattrs_of_file(_file: &File, _filter: &XattrFilter) -> io::Result<Xattrs> {
        Ok(Xattrs::new())
    }

    pub(super) fn stat_of(metadata: &Metadata) -> SourceStat {
        let kind = metadata.file_type();
        let modified =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        SourceStat {
            kind: match kind {
                _ if kind.is_dir() => SourceKind::Directory,
                _ if kind.is_symlink() => SourceKind::Link,
                _ => SourceKind::File,
            },
            identity: FileIdentity::from(metadata),
            device: 0,
            names: 1,
            size: metadata.len(),
            mode: MODE,
            uid: 0,
            gid: 0,
            modified: (i64::try_from(modified.as_secs()).unwrap_or(i64::MAX), modified.subsec_nanos()),
            number: (0, 0),
        }
    }
}
