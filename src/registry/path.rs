//! Finding a layout, and a reference within it, in one path.

use std::borrow::Cow;
use std::path::{Path, PathBuf, is_separator};

use crate::error::Result;
use crate::layout::site::has_marker;
use crate::oci::{NameError, Reference};

/// Splits a path into the directory of a layout and a reference within it: `./images/app:v1` into `./images` and
/// `app:v1`.
///
/// Of the directories on the way, the deepest counts that has a file `oci-layout` and leaves a reference; if there is none,
/// the last part of the path is the reference. The directory need not be there then.
///
/// ```
/// use regshape::registry::find_layout;
///
/// let (directory, reference) = find_layout("./no-layout/app:v1")?;
/// assert_eq!(directory.to_str(), Some("./no-layout"));
/// assert_eq!(reference.to_string(), "app:v1");
/// # Ok::<(), regshape::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Name`](crate::Error::Name) if the last part of the path is no reference.
#[expect(clippy::missing_panics_doc, reason = "every path can be split")]
pub fn find_layout(path: impl AsRef<Path>) -> Result<(PathBuf, Reference)> {
    let splits = splits(path.as_ref());
    let found = splits.iter().rev().find_map(|(directory, rest)| {
        let reference = parse(rest).ok()?;
        has_marker(directory).then(|| (directory.clone(), reference))
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let (directory, rest) = splits.last().expect("a path can be split in one way at least");
    Ok((directory.clone(), parse(rest)?))
}

/// Splits a path at a byte, which is left out: into a directory of any name, and a text. `None` if the rest is not
/// UTF-8: it is no reference.
#[cfg(unix)]
pub fn split_path(path: &Path, at: usize) -> Option<(&Path, Cow<'_, str>)> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let (directory, rest) = path.as_os_str().as_bytes().split_at_checked(at)?;
    Some((Path::new(OsStr::from_bytes(directory)), std::str::from_utf8(rest.get(1..)?).ok()?.into()))
}

/// Splits a path at a byte, which is left out: into a directory and a text. `None` if the path is not Unicode.
#[cfg(not(unix))]
pub fn split_path(path: &Path, at: usize) -> Option<(&Path, Cow<'_, str>)> {
    let (directory, rest) = path.to_str()?.split_at_checked(at)?;
    Some((Path::new(directory), rest.get(1..)?.into()))
}

/// References have slashes on every system.
fn parse(rest: &str) -> Result<Reference, NameError> {
    if cfg!(windows) { rest.replace('\\', "/").parse() } else { rest.parse() }
}

/// Returns the ways to split a path into a directory and a rest, the shallowest first: at every separator but one at the end,
/// and before all of a relative path.
fn splits(path: &Path) -> Vec<(PathBuf, Cow<'_, str>)> {
    let mut splits = Vec::new();
    if !path.is_absolute() {
        splits.push((".".into(), path.to_string_lossy()));
    }
    let bytes = path.as_os_str().as_encoded_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if !is_separator(char::from(*byte)) || at + 1 == bytes.len() {
            continue;
        }
        let Some((directory, rest)) = split_path(path, at) else { continue };
        let mut directory = directory.as_os_str().to_owned();
        if ["", ".", ".."].iter().any(|short| directory == *short) {
            directory.push(char::from(*byte).to_string());
        }
        splits.push((directory.into(), rest));
    }
    if splits.is_empty() {
        splits.push((".".into(), path.to_string_lossy()));
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_where_a_layout_is_or_before_its_last_part() {
        let digest = crate::oci::Digest::sha256_of(b"");
        let with_digest = format!("./l/r:t@{digest}");
        for (path, directory, reference) in [
            ("./foo/bar:baz", "./foo", "bar:baz"),
            ("./foo:bar", "./", "foo:bar"),
            ("foo:bar", ".", "foo:bar"),
            ("foo", ".", "foo"),
            ("../foo:bar", "../", "foo:bar"),
            ("a//b:c", "a/", "b:c"),
            ("a/b/c:tag", "a/b", "c:tag"),
            (&with_digest, "./l", &format!("r:t@{digest}")),
            #[cfg(unix)]
            ("/foo:bar", "/", "foo:bar"),
        ] {
            let (found, rest) = find_layout(path).expect(path);
            assert_eq!((found.to_str(), rest.to_string().as_str()), (Some(directory), reference), "{path}");
        }
        for bad in ["", "foo/", ".", "/", ":x", "foo@", "l/r:a:b", "./foo/Bad:tag", "foo:"] {
            assert!(find_layout(bad).is_err(), "{bad}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_need_not_be_utf_8_and_is_not_taken_for_another() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().expect("a directory");
        let taken_for = directory.path().join("x\u{fffd}");
        std::fs::create_dir(&taken_for).expect("made");
        std::fs::write(taken_for.join("oci-layout"), "{}").expect("written");
        let own = directory.path().join(OsStr::from_bytes(b"x\xff"));
        let (found, reference) = find_layout(own.join("app:v1")).expect("a reference");
        assert_eq!((found, reference.to_string().as_str()), (own.clone(), "app:v1"));
        assert!(find_layout(own.join(OsStr::from_bytes(b"a\xffp:v1"))).is_err());
    }

    #[test]
    fn the_deepest_layout_counts_that_leaves_a_reference() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = directory.path().join("one");
        std::fs::create_dir_all(one.join("two")).expect("made");
        for layout in [&one, &one.join("two")] {
            std::fs::write(layout.join("oci-layout"), "{}").expect("written");
        }
        let find = |rest: &str| {
            let (found, reference) = find_layout(directory.path().join(rest)).expect(rest);
            (found, reference.to_string())
        };
        assert_eq!(find("one/two/three/four:tag"), (one.join("two"), "three/four:tag".to_owned()));
        assert_eq!(find("one/two:tag"), (one, "two:tag".to_owned()));
    }
}
