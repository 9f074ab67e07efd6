//! Making files, directories, links and devices with all their attributes, relative to open directories.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// The attributes of a file that is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeAttributes<'a> {
    /// The permissions, and the setuid, setgid and sticky bits.
    pub(crate) mode: u32,
    /// The user and the group, if they are to be changed.
    pub(crate) owner: Option<(u32, u32)>,
    /// The modification time in seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) xattrs: &'a [(&'a [u8], &'a [u8])],
}

/// Attributes that the file system or the system did not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Extended attributes that the file system does not support.
    pub(crate) unsupported_xattrs: u64,
    /// Extended attributes that this user may not set, or that files of this type cannot have.
    pub(crate) forbidden_xattrs: u64,
}

/// The kind of a special file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Pipe,
}

/// The attributes that files get by themselves when they are created in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    owner: (u32, u32),
    /// The permissions that the umask leaves, or the directory's default list of them.
    mode: u32,
}

/// The permissions of a file that gets others later.
pub(crate) const PRIVATE: u32 = 0o600;

/// Creates an empty regular file. It is an error if the name is taken.
pub(crate) fn create_file(directory: BorrowedFd<'_>, name: impl rustix::path::Arg, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode))?.into())
}

impl Given {
    /// Finds the attributes of new files in a directory, and in those that are made in it.
    pub(crate) fn of(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = rustix::fs::fstat(create_file(directory, PROBE, 0o777)?)?;
        rustix::fs::unlinkat(directory, PROBE, AtFlags::empty())?;
        Ok(Self { owner: (stat.st_uid, stat.st_gid), mode: stat.st_mode & 0o777 })
    }

    /// Returns the permissions with which a file is created, and the attributes that it lacks then.
    pub(crate) fn split<'a>(&self, attributes: &MadeAttributes<'a>) -> (u32, MissingAttributes<'a>) {
        let owner = attributes.owner.filter(|owner| *owner != self.owner);
        // A file that its owner cannot write takes no extended attributes.
        let has_mode = attributes.mode & !self.mode == 0 && attributes.xattrs.is_empty();
        let missing = MissingAttributes { all: MadeAttributes { owner, ..*attributes }, has_mode };
        (if has_mode { attributes.mode } else { PRIVATE }, missing)
    }
}

/// The attributes that a new file lacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MissingAttributes<'a> {
    all: MadeAttributes<'a>,
    has_mode: bool,
}

impl MissingAttributes<'_> {
    /// Sets them, in the order of [`set_attributes`].
    pub(crate) fn set(&self, file: &File, refused: &mut Refused) -> io::Result<()> {
        set(file.as_fd(), &self.all, self.has_mode, refused)
    }
}

/// The name of a file that is made to look at it.
const PROBE: &str = "regshape-probe";

/// Creates a directory that its owner alone can use.
pub(crate) fn make_directory(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700))?)
}

/// Creates a symbolic link.
pub(crate) fn make_link(directory: BorrowedFd<'_>, name: &[u8], target: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, directory, name)?)
}

/// Creates a device or a pipe. Returns whether this user may.
pub(crate) fn make_special(directory: BorrowedFd<'_>, name: &[u8], special: Special) -> io::Result<bool> {
    let (kind, device) = match special {
        Special::CharacterDevice(major, minor) => (FileType::CharacterDevice, rustix::fs::makedev(major, minor)),
        Special::BlockDevice(major, minor) => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
        Special::Pipe => (FileType::Fifo, 0),
    };
    match rustix::fs::mknodat(directory, name, kind, Mode::from_raw_mode(0o600), device) {
        Ok(()) => Ok(true),
        // In a user namespace even root may make no devices.
        Err(Errno::PERM) if special != Special::Pipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Lets the owner alone use an open directory.
pub(crate) fn make_private(directory: BorrowedFd<'_>) -> io::Result<()> {
    set_mode(directory, 0o700)
}

/// Sets the permissions of an open directory.
pub(crate) fn set_mode(directory: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(directory, Mode::from_raw_mode(mode))?)
}

/// Renames a file from one directory to another. It is an error if the name is taken.
pub(crate) fn rename(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    match rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // The file system cannot do that in one step.
        Err(Errno::INVAL | Errno::NOSYS) if rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW).is_err() => {
            Ok(rustix::fs::renameat(from, name, to, new)?)
        }
        renamed => Ok(renamed?),
    }
}

/// Renames a file or directory as [`rename`] does, also a directory that its owner cannot write: moving it changes its `..`.
pub(crate) fn move_new(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    while_writable(from, name, || rename(from, name, to, new))
}

/// Renames a directory to the name of an empty one.
pub(crate) fn replace_empty(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    while_writable(from, name, || Ok(rustix::fs::renameat(from, name, to, new)?))
}

/// Calls a function while the owner of a directory can write it.
fn while_writable(parent: BorrowedFd<'_>, name: &[u8], work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if is_root() {
        return work();
    }
    let opened = rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&opened)?;
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory || mode & 0o200 != 0 {
        return work();
    }
    rustix::fs::chmod(path_of(&opened), Mode::from_raw_mode(mode | 0o200))?;
    let done = work();
    rustix::fs::chmod(path_of(&opened), Mode::from_raw_mode(mode))?;
    done
}

/// Returns the names in an open directory.
pub(crate) fn names_in(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(&*name, b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

/// Syncs the file system of an open directory.
pub(crate) fn sync_all(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::syncfs(directory)?)
}

/// Deletes a file.
pub(crate) fn remove_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// Gives a file another name. It itself may be a link.
pub(crate) fn link(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::linkat(from, name, to, new, AtFlags::empty())?)
}

/// Sets the attributes of an open file or directory: the owner first, since changing it clears bits and capabilities; then
/// extended attributes, the mode, and the time (images, rule J4).
pub(crate) fn set_attributes(
    file: impl AsFd,
    attributes: &MadeAttributes<'_>,
    refused: &mut Refused,
) -> io::Result<()> {
    set(file.as_fd(), attributes, false, refused)
}

fn set(file: BorrowedFd<'_>, attributes: &MadeAttributes<'_>, has_mode: bool, refused: &mut Refused) -> io::Result<()> {
    if let Some((user, group)) = attributes.owner {
        rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    }
    for (name, value) in attributes.xattrs {
        refused.count(rustix::fs::fsetxattr(file, *name, value, XattrFlags::empty()))?;
    }
    if !has_mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode))?;
    }
    Ok(rustix::fs::futimens(file, &times(attributes.modified))?)
}

/// Sets the attributes of a link, a device or a pipe, which is not opened.
pub(crate) fn set_attributes_at(
    directory: BorrowedFd<'_>,
    name: &[u8],
    attributes: &MadeAttributes<'_>,
    is_link: bool,
    refused: &mut Refused,
) -> io::Result<()> {
    let name = OsStr::from_bytes(name);
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if let Some((user, group)) = attributes.owner {
        rustix::fs::chownat(directory, name, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), flags)?;
    }
    let opened =
        || rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    if !attributes.xattrs.is_empty() {
        let path = match is_link {
            // The path of the descriptor of a link is the link's target.
            true => format!("/proc/self/fd/{}/", directory.as_raw_fd()),
            false => String::new(),
        };
        let file = opened()?;
        let path = if is_link { [path.as_bytes(), name.as_bytes()].concat() } else { path_of(&file).into_bytes() };
        for (name, value) in attributes.xattrs {
            let set = match is_link {
                true => rustix::fs::lsetxattr(path.as_slice(), *name, value, XattrFlags::empty()),
                false => rustix::fs::setxattr(path.as_slice(), *name, value, XattrFlags::empty()),
            };
            refused.count(set)?;
        }
    }
    if !is_link {
        // The path of the descriptor leads to the file itself, even if its name is another's by now.
        rustix::fs::chmod(path_of(&opened()?), Mode::from_raw_mode(attributes.mode))?;
    }
    Ok(rustix::fs::utimensat(directory, name, &times(attributes.modified), flags)?)
}

fn path_of(file: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Returns whether names that differ in case alone are one name in a directory.
pub(crate) fn folds_case(directory: BorrowedFd<'_>) -> io::Result<bool> {
    drop(create_file(directory, PROBE, PRIVATE)?);
    let found = rustix::fs::statat(directory, "REGSHAPE-PROBE", AtFlags::SYMLINK_NOFOLLOW).is_ok();
    rustix::fs::unlinkat(directory, PROBE, AtFlags::empty())?;
    Ok(found)
}

/// Returns whether this process is root, which may change owners.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Numbers of users or groups.
pub(crate) type Ids = std::ops::RangeInclusive<u64>;

/// Returns the users or groups that the user namespace of this process has, by a file such as `/proc/self/uid_map`; `None` if they
/// are not known.
pub(crate) fn ids_of_namespace(map: &str) -> Option<Vec<Ids>> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        let (first, _, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(first..=first + count.checked_sub(1)?)
    };
    std::fs::read_to_string(map).ok()?.lines().map(range).collect()
}

/// Returns the user and the group of the files that this process makes.
pub(crate) fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

impl Refused {
    /// Adds the counts of another thread.
    pub(crate) fn add(&mut self, other: Self) {
        self.unsupported_xattrs += other.unsupported_xattrs;
        self.forbidden_xattrs += other.forbidden_xattrs;
    }

    fn count(&mut self, result: Result<(), Errno>) -> io::Result<()> {
        match result {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP) => self.unsupported_xattrs += 1,
            Err(Errno::PERM | Errno::ACCESS) => self.forbidden_xattrs += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The seconds beyond which file systems and programs count wrongly: some 35,000 years.
const LATEST: i64 = 1 << 40;

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds.clamp(-LATEST, LATEST), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
