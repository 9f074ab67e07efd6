//! Finding a layout, and what is meant in it, in one path.

use std::path::{Path, PathBuf, is_separator};

use super::Result;
use crate::oci::{NameError, Reference};

/// Splits a path into the directory of a layout and what is meant in it: `./images/app:v1` into `./images` and `app:v1`.
///
/// Of the directories on the way, the deepest counts that has a file `oci-layout` and leaves a reference; if there is none,
/// the last part of the path is the reference. The directory need not be there then.
///
/// ```
/// use regshape::layout::find_layout;
///
/// let (directory, reference) = find_layout("./no-layout/app:v1")?;
/// assert_eq!(directory.to_str(), Some("./no-layout"));
/// assert_eq!(reference.to_string(), "app:v1");
/// # Ok::<(), regshape::layout::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Name`](super::Error::Name) if the last part of the path is no reference.
pub fn find_layout(path: impl AsRef<Path>) -> Result<(PathBuf, Reference)> {
    let path = path.as_ref().to_string_lossy();
    let splits = splits(&path);
    let found = splits.iter().rev().find_map(|(directory, rest)| {
        let reference = parse(rest).ok()?;
        Path::new(directory).join("oci-layout").is_file().then(|| ((*directory).into(), reference))
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let (directory, rest) = splits.last().expect("a path can be split in one way at least");
    Ok(((*directory).into(), parse(rest)?))
}

/// References have slashes, whatever the system's paths have.
fn parse(rest: &str) -> Result<Reference, NameError> {
    if cfg!(windows) { rest.replace('\\', "/").parse() } else { rest.parse() }
}

/// Returns the ways to split a path into a directory and a rest, the shallowest first: at every separator but one at the end,
/// and before all of a relative path.
fn splits(path: &str) -> Vec<(&str, &str)> {
    let mut splits = Vec::new();
    if !Path::new(path).is_absolute() {
        splits.push((".", path));
    }
    for (at, _) in path.char_indices().filter(|&(at, character)| is_separator(character) && at + 1 < path.len()) {
        let directory = match &path[..at] {
            "" | "." | ".." => &path[..=at],
            directory => directory,
        };
        splits.push((directory, &path[at + 1..]));
    }
    if splits.is_empty() {
        splits.push((".", path));
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
