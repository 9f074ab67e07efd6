//! Leftovers: temporary files and directories of killed processes.
//!
//! The name of a temporary file or directory contains its identity: device, inode and creation time. A copy does not
//! match the identity in its name, and is never deleted. A file that matches its name and is not locked is a leftover.
//! Before it gets such a name, a temporary file or directory is empty, and only an empty one counts as a leftover.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{cannot_lock, open_regular, random_name};

/// The prefix of the names of temporary files and directories.
const PREFIX: &str = ".regshape-tmp-";

/// The second part of names that do not contain the identity yet.
const NEW: &str = "new-";

/// The number of random digits at the end of a name.
const RANDOM_LENGTH: usize = 16;

/// Distinguishes a file or directory from all others, copies included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// The creation time in nanoseconds since 1970, because inodes are reused; 0 if the file system does not record it.
    born: u128,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (device, inode) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let (device, inode) = (0, 0);
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { device, inode, born: born.map_or(0, |born| born.as_nanos()) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}-{:x}-{:x}", self.device, self.inode, self.born)
    }
}

/// Returns a name for a new file or directory.
pub(super) fn new_name() -> String {
    format!("{PREFIX}{NEW}{}", random_name(RANDOM_LENGTH))
}

/// Returns a name that contains an identity.
pub(super) fn proven_name(identity: Identity) -> String {
    format!("{PREFIX}{identity}-{}", random_name(RANDOM_LENGTH))
}

/// A leftover that could not be deleted, such as a file of another user.
#[derive(Debug)]
pub(crate) struct Undeleted {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

/// Returns whether a directory contains only files and directories with temporary names.
#[cfg(target_os = "linux")]
pub(crate) fn is_vacant(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if !is_called_temporary(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether a name looks like that of a temporary file or directory. This alone does not prove that the file is
/// temporary.
pub(crate) fn is_called_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Returns whether a file or directory is temporary, as proven by its name.
pub(crate) fn is_temporary(path: &Path) -> bool {
    let is_one = || -> io::Result<bool> { agrees_with_name(path, &fs::symlink_metadata(path)?) };
    path.file_name().is_some_and(is_called_temporary) && is_one().unwrap_or(false)
}

/// Deletes the leftover files in a directory. Failures are ignored.
pub(crate) fn remove_stale_files(directory: &Path) {
    let _ =
        for_each_leftover(directory, |path, metadata| if metadata.is_file() { fs::remove_file(path) } else { Ok(()) });
}

/// Calls a function with each leftover in a directory while holding its lock. Returns the leftovers for which it
/// failed; a missing file is not a failure.
pub(crate) fn for_each_leftover(
    directory: &Path,
    mut work: impl FnMut(&Path, &Metadata) -> io::Result<()>,
) -> io::Result<Vec<Undeleted>> {
    let mut undeleted = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !is_called_temporary(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        match if_leftover(&path, &mut work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => undeleted.push(Undeleted { path, error }),
            _ => {}
        }
    }
    Ok(undeleted)
}

/// Calls a function with a file or directory if it is a leftover.
fn if_leftover(path: &Path, work: impl FnOnce(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    // Windows cannot open directories, so it is unknown whether a directory is in use.
    let is_of_a_kind = metadata.is_file() || metadata.is_dir() && cfg!(unix);
    if !is_of_a_kind || !agrees_with_name(path, &metadata)? {
        return Ok(());
    }
    let file = if metadata.is_dir() { File::open(path)? } else { open_regular(path)? };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) if cannot_lock(&error) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Check again: the owner may have renamed the file before it was locked here.
    let metadata = fs::symlink_metadata(path)?;
    let is_the_locked_one = Identity::of(&metadata) == Identity::of(&file.metadata()?);
    if is_the_locked_one && agrees_with_name(path, &metadata)? { work(path, &metadata) } else { Ok(()) }
}

/// Returns whether a file or directory matches the identity in its name.
fn agrees_with_name(path: &Path, metadata: &Metadata) -> io::Result<bool> {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return Ok(false) };
    if is_new_name(name) {
        let is_empty = if metadata.is_dir() { fs::read_dir(path)?.next().is_none() } else { metadata.len() == 0 };
        return Ok(is_empty);
    }
    Ok(name.starts_with(&format!("{PREFIX}{}-", Identity::of(metadata))))
}

fn is_new_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(NEW));
    random.is_some_and(|random| random.len() == RANDOM_LENGTH && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file and renames it to a name that contains its identity.
    fn proven(directory: &Path, content: &str) -> PathBuf {
        let path = directory.join("written");
        fs::write(&path, content).expect("written");
        renamed(&path)
    }

    fn renamed(path: &Path) -> PathBuf {
        let proven = path.with_file_name(proven_name(Identity::of(&fs::symlink_metadata(path).expect("there"))));
        fs::rename(path, &proven).expect("renamed");
        proven
    }

    fn clean(directory: &Path) {
        let undeleted = for_each_leftover(directory, |path, metadata| {
            if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
        })
        .expect("listed");
        assert!(undeleted.is_empty(), "{undeleted:?}");
    }

    #[test]
    fn a_file_of_a_killed_program_goes_and_one_in_use_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let (stale, live) = (proven(directory.path(), "half"), proven(directory.path(), "half"));
        let (new, new_live) = (directory.path().join(new_name()), directory.path().join(new_name()));
        [&new, &new_live].into_iter().for_each(|path| drop(File::create(path).expect("made")));
        let locks = [&live, &new_live].map(|path| File::open(path).expect("opened"));
        locks.iter().for_each(|file| file.lock().expect("locked"));
        clean(directory.path());
        assert_eq!([&stale, &live, &new, &new_live].map(|path| path.exists()), [false, true, false, true]);
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_of_a_killed_program_goes_and_one_in_use_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let make = || {
            let path = directory.path().join("made");
            fs::create_dir(&path).expect("made");
            fs::write(path.join("file"), "half").expect("written");
            renamed(&path)
        };
        let (stale, live, new) = (make(), make(), directory.path().join(new_name()));
        fs::create_dir(&new).expect("made");
        let lock = File::open(&live).expect("opened");
        lock.lock().expect("locked");
        clean(directory.path());
        assert_eq!([&stale, &live, &new].map(|path| path.exists()), [false, true, false]);
    }

    /// Copies such as `git`, `tar`, `cp` and `rsync` make them.
    #[test]
    fn copies_of_leftovers_and_files_with_such_names_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let original = proven(directory.path(), "precious");
        fs::copy(&original, path("copy")).expect("copied");
        fs::rename(path("copy"), &original).expect("in its place");
        let new = path(&new_name());
        fs::write(&new, "no longer empty").expect("written");
        let full = path(&new_name());
        fs::create_dir(&full).expect("made");
        fs::write(full.join("file"), "precious").expect("written");
        let named = [
            ".regshape-tmp-",
            ".regshape-tmp-abc",
            ".regshape-tmp-new-",
            ".regshape-tmp-new-0",
            ".regshape-tmp-new-012345678901234x",
        ];
        for name in named {
            fs::write(path(name), "").expect("written");
            fs::create_dir(path(&format!("{name}-directory"))).expect("made");
        }
        clean(directory.path());
        remove_stale_files(directory.path());
        assert_eq!(fs::read_to_string(&original).expect("there"), "precious");
        assert!(new.exists() && full.join("file").exists());
        for name in named {
            assert!(path(name).exists() && path(&format!("{name}-directory")).exists(), "{name}");
        }
    }
}
