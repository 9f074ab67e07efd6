//! Deleting trees by descriptors: no path is resolved, so that another process cannot lead the deletion elsewhere.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// More passes than a tree has directories within each other.
const PASSES: usize = 10_000;

/// Deletes everything in a directory, the file `last` after all else.
///
/// Directories within each other are moved up before they are deleted, so that few are open at once, however deep the tree is.
///
/// # Errors
///
/// That of the system.
pub(crate) fn remove_content(directory: BorrowedFd<'_>, last: &str) -> io::Result<()> {
    let mut number = 0_u64;
    for _ in 0..PASSES {
        let mut entries = entries_of(directory)?;
        entries.retain(|(name, _)| name.to_bytes() != last.as_bytes());
        if entries.is_empty() {
            return Ok(gone(rustix::fs::unlinkat(directory, last, AtFlags::empty()))?);
        }
        for (name, is_directory) in entries {
            if !is_directory {
                gone(rustix::fs::unlinkat(directory, &name, AtFlags::empty()))?;
            } else if !remove_if_empty(directory, &name)? {
                make_accessible(directory, &name)?;
                let inner = rustix::fs::openat(directory, &name, DIRECTORY, Mode::empty())?;
                for (below, is_directory) in entries_of(inner.as_fd())? {
                    if !is_directory {
                        gone(rustix::fs::unlinkat(&inner, &below, AtFlags::empty()))?;
                    } else if !remove_if_empty(inner.as_fd(), &below)? {
                        make_accessible(inner.as_fd(), &below)?;
                        move_up(inner.as_fd(), &below, directory, &mut number)?;
                    }
                }
                remove_if_empty(directory, &name)?;
            }
        }
    }
    Err(io::Error::other("another process goes on filling it"))
}

/// Opens a directory, which may not be a link, and deletes everything in it, the file `last` after all else, and the directory
/// itself.
///
/// # Errors
///
/// That of the system.
pub(crate) fn remove_tree(path: &Path, last: &str) -> io::Result<()> {
    let directory = File::from(rustix::fs::openat(rustix::fs::CWD, path, DIRECTORY, Mode::empty())?);
    remove_content(directory.as_fd(), last)?;
    std::fs::remove_dir(path)
}

type Entries = Vec<(std::ffi::CString, bool)>;

fn entries_of(directory: BorrowedFd<'_>) -> io::Result<Entries> {
    let mut entries = Entries::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            let is_directory = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                kind => kind == FileType::Directory,
            };
            entries.push((name.to_owned(), is_directory));
        }
    }
    Ok(entries)
}

/// Deletes a directory if it is empty. Returns whether it is gone.
fn remove_if_empty(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Lets the owner of a directory list, change and move it.
fn make_accessible(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    if rustix::fs::fstat(&opened)?.st_mode & 0o700 != 0o700 {
        rustix::fs::chmod(format!("/proc/self/fd/{}", opened.as_raw_fd()), Mode::from_raw_mode(0o700))?;
    }
    Ok(())
}

/// Moves a directory up under a name that is free.
fn move_up(from: BorrowedFd<'_>, name: &std::ffi::CStr, to: BorrowedFd<'_>, number: &mut u64) -> io::Result<()> {
    loop {
        *number += 1;
        match rustix::fs::renameat_with(from, name, to, format!("moved-{number}"), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            moved => return Ok(gone(moved)?),
        }
    }
}

fn gone(result: Result<(), Errno>) -> Result<(), Errno> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn deep_trees_are_deleted_and_links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("other/kept")).expect("made");
        let mut deep = path("tree");
        for number in 0..300 {
            deep.push(format!("d{}", number % 3));
        }
        fs::create_dir_all(&deep).expect("made");
        fs::write(deep.join("file"), "x").expect("written");
        fs::create_dir_all(path("tree/moved-1/x")).expect("made");
        fs::write(path("tree/last"), "").expect("written");
        symlink(path("other"), path("tree/link")).expect("linked");
        symlink(path("other"), path("tree/d0/link")).expect("linked");
        fs::set_permissions(path("tree/d0/d1"), fs::Permissions::from_mode(0o000)).expect("changed");
        symlink(path("other"), path("link")).expect("linked");
        assert!(remove_tree(&path("link"), "last").is_err());
        remove_tree(&path("tree"), "last").expect("deleted");
        assert!(!path("tree").exists() && path("other/kept").exists());
    }
}
