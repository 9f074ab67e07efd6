//! Opening directories beneath a root, where another process may swap names for links at any time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory, and the directories beneath it. No link is followed.
#[derive(Debug)]
pub(crate) struct Beneath {
    root: OwnedFd,
    /// Whether the kernel resolves paths (`openat2`). Old kernels and some sandboxes do not; then each component is opened by
    /// itself.
    has_openat2: AtomicBool,
}

impl Beneath {
    /// Takes an open root.
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root, has_openat2: AtomicBool::new(true) }
    }

    /// Opens each component by itself, as without `openat2`.
    #[cfg(test)]
    pub(crate) fn without_openat2(self) -> Self {
        self.has_openat2.store(false, Ordering::Relaxed);
        self
    }

    /// Returns the root.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a directory by its path beneath the root, which has no `..`. The empty path is the root itself.
    ///
    /// # Errors
    ///
    /// That of the system: of kind `FilesystemLoop` or `NotADirectory` if a component is a link.
    pub(crate) fn open_directory(&self, path: &[u8]) -> io::Result<File> {
        if path.is_empty() {
            return Ok(rustix::fs::openat(&self.root, ".", DIRECTORY, Mode::empty())?.into());
        }
        if self.has_openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.root, path, DIRECTORY, Mode::empty(), resolve) {
                Ok(opened) => return Ok(opened.into()),
                Err(Errno::NOSYS | Errno::PERM) => self.has_openat2.store(false, Ordering::Relaxed),
                // Another process renamed a directory meanwhile: the walk below needs no such race to be absent.
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.walk(path)
    }

    fn walk(&self, path: &[u8]) -> io::Result<File> {
        let mut here: Option<OwnedFd> = None;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let parent = here.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let name = std::ffi::OsStr::from_bytes(name);
            here = Some(rustix::fs::openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?);
        }
        here.map(File::from).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn j1_no_link_is_followed_with_openat2_and_without() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("root/a/b")).expect("made");
        std::fs::create_dir_all(path("outside/b")).expect("made");
        symlink(path("outside"), path("root/out")).expect("linked");
        symlink("a", path("root/in")).expect("linked");
        std::fs::write(path("root/file"), "").expect("written");
        let open = || Beneath::new(File::open(path("root")).expect("opened").into());
        for beneath in [open(), open().without_openat2()] {
            let identity = |path: &str| {
                let file = beneath.open_directory(path.as_bytes()).ok()?;
                Some(crate::fs::FileIdentity::from_file(&file).expect("read"))
            };
            let real = |name: &str| crate::fs::FileIdentity::from(&std::fs::metadata(path(name)).expect("read"));
            assert_eq!(identity(""), Some(real("root")));
            assert_eq!(identity("a/b"), Some(real("root/a/b")));
            for refused in ["out", "out/b", "in", "in/b", "file", "nothing"] {
                assert_eq!(identity(refused), None, "{refused}");
            }
        }
    }
}
