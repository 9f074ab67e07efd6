//! Paths with a reference: `DIR`, `DIR:TAG`, `DIR@DIGEST`, `DIR:TAG@DIGEST`.

use std::fs;
use std::path::{Path, PathBuf, is_separator};

use regshape::layout::Layout;
use regshape::oci::{Digest, Reference, RepositoryName, is_short_digest};
use regshape::registry::{find_layout, split_path};

/// The parts of a path.
pub(crate) struct PathReference {
    pub(crate) directory: PathBuf,
    pub(crate) repository: Option<RepositoryName>,
    pub(crate) reference: Option<String>,
}

impl PathReference {
    /// Returns the reference within the directory, with its repository if there is one.
    pub(crate) fn full_reference(&self) -> Option<String> {
        match (&self.repository, &self.reference) {
            (Some(repository), Some(reference)) if reference.contains("@") || !reference.contains(':') => {
                Some(format!("{repository}:{reference}"))
            }
            (Some(repository), Some(digest)) => Some(format!("{repository}@{digest}")),
            (_, reference) => reference.clone(),
        }
    }

    /// Splits a path into the directory and the reference within it.
    ///
    /// A path that is there is a directory. Otherwise it may lead into a layout (or the directory of the layouts), and
    /// then say a repository; or it is that of a layout with a ref name after it, as skopeo and umoci have it.
    pub(crate) fn find(path: &Path, per_repo: bool) -> Self {
        let whole = || Self { directory: path.to_owned(), repository: None, reference: None };
        if fs::symlink_metadata(path).is_ok() {
            return whole();
        }
        let bytes = path.as_os_str().as_encoded_bytes();
        // A digest, or its beginning, comes after an at sign.
        let split = |at: usize| {
            let (directory, rest) = split_path(path, at)?;
            (bytes[at] == b':' || rest.parse::<Digest>().is_ok() || is_short_digest(&rest))
                .then_some((at, directory, rest))
        };
        let splits = || (1..bytes.len()).filter(|at| matches!(bytes[*at], b':' | b'@')).filter_map(split);
        // A layout before a mark comes first, also within the directory of another layout.
        let found = splits().rfind(|(_, directory, _)| Layout::is_at(directory));
        if (found.is_none() || per_repo)
            && let Ok((directory, Reference { repository, tag, digest })) = find_layout(path)
            && (Layout::is_at(&directory) || per_repo && directory.is_dir() && (tag.is_some() || digest.is_some()))
        {
            let reference = match (tag, digest) {
                (None, None) => None,
                (Some(tag), None) => Some(tag.to_string()),
                (None, Some(digest)) => Some(digest.to_string()),
                (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
            };
            return Self { directory, repository: Some(repository), reference };
        }
        // The path of a layout that does not exist yet ends before the first mark of its last part. If its parent
        // directory does not exist, the slashes belong to the ref name, as in new:docker.io/library/x:1.
        let last = bytes.iter().rposition(|byte| is_separator(char::from(*byte)));
        let begin = last.filter(|last| split_path(path, *last).is_some_and(|(directory, _)| is_directory(directory)));
        let begin = begin.map_or(0, |last| last + 1);
        let found = found.or_else(|| splits().find(|(at, ..)| *at > begin));
        match found {
            Some((_, directory, reference)) if !reference.is_empty() => {
                Self { directory: directory.to_owned(), repository: None, reference: Some(reference.into_owned()) }
            }
            _ => whole(),
        }
    }
}

/// Returns whether the text before a separator is a directory; that before the separator of the root is empty.
fn is_directory(before: &Path) -> bool {
    before.as_os_str().is_empty() || before.is_dir()
}
