//! Output files: resolves the path given by the user and writes there.
//!
//! A path such as `/dev/stdout` or `/dev/fd/3`, or a link to such a path, names an open descriptor. Output to a
//! descriptor continues at its current position; the file is never reopened, truncated or replaced. Pipes and devices
//! are written to. Only regular files are replaced. Links are kept, and their targets are written.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{TempFile, sync_directory};
use crate::interrupt::Interrupt;

/// The most links followed, as on Linux.
const LINKS: usize = 40;

/// The destination that an output path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An open descriptor of this process.
    Descriptor(u32),
    /// A pipe, a device or a socket.
    Device(PathBuf),
    /// A regular file, to be replaced.
    File(PathBuf),
    /// A path that does not exist yet.
    New(PathBuf),
}

impl Destination {
    /// Resolves a path, link by link.
    ///
    /// # Errors
    ///
    /// Of kind `IsADirectory` for a directory and for a path that ends in a slash; `NotFound` and `NotADirectory` if
    /// the parent directory does not exist; `InvalidInput` after too many links, and for a link of `/proc` to a file;
    /// other errors of the operating system.
    pub(crate) fn resolve(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..=LINKS {
            if let Some(number) = descriptor_at(&path) {
                return Ok(Self::Descriptor(number));
            }
            let (directory, name) = split(&path)?;
            let target = directory.join(name);
            // The directory may be a link, such as /dev/fd.
            let real = fs::canonicalize(directory).map(|directory| directory.join(name)).ok();
            if let Some(number) = real.as_deref().and_then(descriptor_at) {
                return Ok(Self::Descriptor(number));
            }
            let metadata = match fs::symlink_metadata(&target) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    check_directory(directory)?;
                    return Ok(Self::New(target));
                }
                Err(error) => return Err(error),
            };
            if !metadata.is_symlink() {
                return Self::of(target, &metadata);
            }
            if cfg!(target_os = "linux") && real.is_some_and(|real| real.starts_with("/proc")) {
                // The target of such a link is not a usable path.
                return match Self::of(target.clone(), &fs::metadata(&target)?)? {
                    Self::File(_) => {
                        Err(io::Error::new(ErrorKind::InvalidInput, "a link of /proc to a file that is open"))
                    }
                    other => Ok(other),
                };
            }
            path = directory.join(fs::read_link(&target)?);
        }
        Err(io::Error::new(ErrorKind::InvalidInput, "too many levels of symbolic links"))
    }

    fn of(target: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        match metadata.file_type() {
            kind if kind.is_dir() => Err(is_directory()),
            kind if kind.is_file() => Ok(Self::File(target)),
            _ => Ok(Self::Device(target)),
        }
    }

    /// Returns whether output goes to standard output: to its descriptor, or to another descriptor of the same file,
    /// pipe or terminal.
    pub(crate) fn is_stdout(&self) -> bool {
        match self {
            Self::Descriptor(1) => true,
            Self::Descriptor(number) => shares_file(*number, 1),
            _ => false,
        }
    }

    /// Opens a log for appending. Creates the file if it does not exist.
    pub(crate) fn append(&self) -> io::Result<File> {
        match self {
            Self::Descriptor(number) => duplicate(*number),
            Self::Device(path) => open_device(path),
            Self::File(path) | Self::New(path) => OpenOptions::new().append(true).create(true).open(path),
        }
    }
}

/// Returns the system's error for a path that is a directory.
fn is_directory() -> io::Error {
    #[cfg(unix)]
    return rustix::io::Errno::ISDIR.into();
    #[cfg(not(unix))]
    return ErrorKind::IsADirectory.into();
}

/// Splits a path into a directory and a file name.
fn split(path: &Path) -> io::Result<(&Path, &Path)> {
    let text = path.as_os_str().as_encoded_bytes();
    let is_separator = |byte: &u8| std::path::is_separator(char::from(*byte));
    let names_directory = text.last().is_some_and(is_separator)
        || text.strip_suffix(b".").is_some_and(|rest| rest.last().is_none_or(is_separator));
    match (path.parent(), path.file_name()) {
        _ if text.is_empty() => Err(io::Error::new(ErrorKind::InvalidInput, "the path is empty")),
        (Some(parent), Some(name)) if !names_directory => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok((parent, Path::new(name)))
        }
        _ if path.is_dir() => Err(is_directory()),
        _ => Err(io::Error::new(ErrorKind::IsADirectory, "a path that ends in a slash names a directory")),
    }
}

/// Checks that the parent directory of a file exists.
fn check_directory(directory: &Path) -> io::Result<()> {
    if fs::metadata(directory)?.is_dir() { Ok(()) } else { Err(ErrorKind::NotADirectory.into()) }
}

/// Returns the number of the descriptor of this process that a path names.
#[cfg(unix)]
fn descriptor_at(path: &Path) -> Option<u32> {
    let path = path.to_str().filter(|path| path.starts_with('/'))?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let is_own = |process: &str| {
        // In a PID namespace, a /proc of another namespace has another number for this process.
        process == std::process::id().to_string()
            || fs::read_link("/proc/self").is_ok_and(|own| own == Path::new(process))
    };
    let number = match parts.as_slice() {
        ["dev", "stdin"] => "0",
        ["dev", "stdout"] => "1",
        ["dev", "stderr"] => "2",
        ["dev", "fd", number] | ["proc", "self" | "thread-self", "fd", number] => number,
        ["proc", process, "fd", number] | ["proc", process, "task", _, "fd", number] if is_own(process) => number,
        _ => return None,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number)
}

/// Other systems have no paths for descriptors.
#[cfg(not(unix))]
fn descriptor_at(_: &Path) -> Option<u32> {
    None
}

/// Duplicates an open descriptor. Both share the file position.
#[cfg(unix)]
fn duplicate(number: u32) -> io::Result<File> {
    use std::os::fd::AsFd;

    match number {
        0 => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        1 => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        2 => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        number => duplicate_other(number),
    }
}

#[cfg(not(unix))]
fn duplicate(_: u32) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn duplicate_other(number: u32) -> io::Result<File> {
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let is_not_open = || io::Error::new(ErrorKind::NotFound, format!("descriptor {number} is not open"));
    let target = i32::try_from(number).map_err(|_| is_not_open())?;
    // Descriptors that this process opened itself are close-on-exec. The user cannot name them.
    let flags = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = flags.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    if flags.is_none_or(|flags| flags & rustix::fs::OFlags::CLOEXEC.bits() != 0) {
        return Err(is_not_open());
    }
    pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|process| pidfd_getfd(process, target, PidfdGetfdFlags::empty()))
        .map(File::from)
        .map_err(|errno| match errno {
            Errno::BADF => is_not_open(),
            Errno::NOSYS | Errno::PERM | Errno::INVAL => io::Error::new(
                ErrorKind::Unsupported,
                format!("this system does not let descriptor {number} be duplicated: {}", io::Error::from(errno)),
            ),
            errno => errno.into(),
        })
}

/// On other systems, opening the path duplicates the descriptor.
#[cfg(all(unix, not(target_os = "linux")))]
fn duplicate_other(number: u32) -> io::Result<File> {
    OpenOptions::new().write(true).open(format!("/dev/fd/{number}"))
}

/// Returns whether two descriptors refer to the same file, pipe or terminal. Other character devices, such as
/// `/dev/null`, do not count.
#[cfg(unix)]
fn shares_file(one: u32, other: u32) -> bool {
    use std::io::IsTerminal;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let identity = |number| {
        let file = duplicate(number).ok()?;
        let metadata = file.metadata().ok()?;
        let meets = !metadata.file_type().is_char_device() || file.is_terminal();
        meets.then(|| (metadata.dev(), metadata.ino()))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(not(unix))]
fn shares_file(one: u32, other: u32) -> bool {
    one == other
}

/// Opens a pipe or a device for writing.
fn open_device(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).open(path)?;
    // Another process may have put a file there meanwhile, which would be overwritten in part.
    if file.metadata()?.is_file() { Err(changed()) } else { Ok(file) }
}

fn changed() -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, "something else was put there meanwhile")
}

/// An output in progress. A file gets its name once it is complete.
#[derive(Debug)]
pub(crate) enum Output {
    New(TempFile, PathBuf, Interrupt),
    There(File),
}

impl Output {
    /// Opens the output at a path.
    ///
    /// # Errors
    ///
    /// Those of [`Destination::resolve`]; other errors of the operating system.
    pub(crate) fn create(path: &Path, interrupt: &Interrupt) -> io::Result<Self> {
        let target = match Destination::resolve(path)? {
            Destination::Descriptor(number) => return duplicate(number).map(Self::There),
            Destination::Device(path) => return open_device(&path).map(Self::There),
            Destination::File(target) | Destination::New(target) => target,
        };
        let directory = directory_of(&target);
        Ok(Self::New(TempFile::create_in(directory, interrupt)?, target, interrupt.clone()))
    }

    /// Returns the directory in which a new file is created.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::New(_, target, _) => Some(directory_of(target)),
            Self::There(_) => None,
        }
    }

    /// Returns the temporary file, if a new file is written.
    pub(crate) fn file(&self) -> Option<&TempFile> {
        match self {
            Self::New(file, ..) => Some(file),
            Self::There(_) => None,
        }
    }

    /// Syncs the content, renames the file to its path, and syncs the directory.
    pub(crate) fn finish_synced(self) -> io::Result<()> {
        match self {
            Self::New(file, target, interrupt) => {
                file.sync()?;
                name(file, &target, &interrupt)?;
                match sync_directory(directory_of(&target)) {
                    // A directory without read permission cannot be synced.
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
                    synced => synced,
                }
            }
            Self::There(mut file) => {
                file.flush()?;
                if is_on_disk(&file.metadata()?) { file.sync_data() } else { Ok(()) }
            }
        }
    }

    /// Renames the file to its path.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::New(file, target, interrupt) => name(file, &target, &interrupt),
            Self::There(mut file) => file.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::New(file, ..) => file.write(bytes),
            Self::There(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::New(file, ..) => file.flush(),
            Self::There(file) => file.flush(),
        }
    }
}

fn name(file: TempFile, target: &Path, interrupt: &Interrupt) -> io::Result<()> {
    let _section = interrupt.begin_section();
    file.persist_in_place_of_file(target)
}

fn directory_of(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_on_disk(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type()) {
        return true;
    }
    metadata.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn message(path: impl AsRef<Path>) -> String {
        Destination::resolve(path.as_ref()).expect_err("no output").to_string()
    }

    #[test]
    fn a_path_means_a_descriptor_a_device_a_file_or_a_free_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let link = |target: &str, name: &str| {
            symlink(target, path(name)).expect("linked");
            path(name)
        };
        fs::write(path("file"), "before").expect("written");
        fs::create_dir(path("directory")).expect("made");
        link("/dev", "dev");
        for (path, expected) in [
            (PathBuf::from("/dev/stdout"), Destination::Descriptor(1)),
            (PathBuf::from("/dev//./stderr"), Destination::Descriptor(2)),
            (PathBuf::from("/dev/fd/7"), Destination::Descriptor(7)),
            (PathBuf::from(format!("/proc/{}/fd/1", std::process::id())), Destination::Descriptor(1)),
            (path("dev/stdout"), Destination::Descriptor(1)),
            (path("directory/../dev/fd/1"), Destination::Descriptor(1)),
            (link("/dev/stdout", "stdout"), Destination::Descriptor(1)),
            (link("stdout", "link-to-stdout"), Destination::Descriptor(1)),
            (link("/proc/self/fd/5", "five"), Destination::Descriptor(5)),
            (PathBuf::from("/dev/null"), Destination::Device("/dev/null".into())),
            (link("/dev/null", "null"), Destination::Device("/dev/null".into())),
            (path("file"), Destination::File(path("file"))),
            (link("file", "link-to-file"), Destination::File(path("file"))),
            (link("directory/new", "link-to-new"), Destination::New(path("directory/new"))),
            (path("new"), Destination::New(path("new"))),
            (PathBuf::from("new-here"), Destination::New("./new-here".into())),
        ] {
            assert_eq!(Destination::resolve(&path).expect("resolved"), expected, "{}", path.display());
        }
    }

    #[test]
    fn an_unwritable_output_is_reported_and_not_made() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "before").expect("written");
        symlink("circle-b", path("circle-a")).expect("linked");
        symlink("circle-a", path("circle-b")).expect("linked");
        symlink("missing/new", path("dangling")).expect("linked");
        for (path, expected) in [
            (PathBuf::new(), "the path is empty".to_owned()),
            (PathBuf::from("/"), "Is a directory (os error 21)".to_owned()),
            (PathBuf::from(".."), "Is a directory (os error 21)".to_owned()),
            (directory.path().to_owned(), "Is a directory (os error 21)".to_owned()),
            (path("new/"), "a path that ends in a slash names a directory".to_owned()),
            (path("new/."), "a path that ends in a slash names a directory".to_owned()),
            (path("file/"), "a path that ends in a slash names a directory".to_owned()),
            (path("missing/new"), "No such file or directory (os error 2)".to_owned()),
            (path("dangling"), "No such file or directory (os error 2)".to_owned()),
            (path("circle-a"), "too many levels of symbolic links".to_owned()),
        ] {
            assert_eq!(message(&path), expected, "{}", path.display());
        }
        assert_eq!(Destination::resolve(&path("file/x")).expect_err("no directory").kind(), ErrorKind::NotADirectory);
        #[cfg(target_os = "linux")]
        assert_eq!(message("/proc/self/exe"), "a link of /proc to a file that is open");
        let left: Vec<_> = fs::read_dir(directory.path()).expect("readable").collect();
        assert_eq!(left.len(), 4);
    }

    #[test]
    fn only_a_regular_file_is_replaced_and_a_name_that_was_taken_meanwhile_is_not_when_it_is_something_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("output");
        for meanwhile in ["nothing", "a file", "a directory"] {
            let mut output = Output::create(&path, &Interrupt::default()).expect("begun");
            output.write_all(b"after").expect("written");
            match meanwhile {
                "a file" => fs::write(&path, "between").expect("written"),
                "a directory" => fs::create_dir(&path).expect("made"),
                _ => {}
            }
            let finished = output.finish_synced();
            if meanwhile == "a directory" {
                assert_eq!(finished.expect_err("it is taken").to_string(), "something else was put there meanwhile");
                assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
            } else {
                finished.expect("named");
                assert_eq!(fs::read_to_string(&path).expect("readable"), "after", "{meanwhile}");
                fs::remove_file(&path).expect("deleted");
            }
        }
    }
}
