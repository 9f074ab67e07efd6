//! A view as a file system: the files of a layout, read-only.

use std::collections::BTreeSet;

use super::content::Content;
use super::index_view::View;
use super::reach::MissingBlobs;
use crate::error::Result;
use crate::graph::walk::INDEX_FILE;
use crate::layout::document_files::pretty;
use crate::layout::site::{BLOBS_DIRECTORY, MARKER_FILE, marker};
use crate::oci::Digest;

/// A view as the files of a layout: `oci-layout`, `index.json`, and the blobs reachable from the index. Unreferenced
/// blobs can be opened, but are not listed.
#[derive(Clone, Debug)]
pub struct FileSystem {
    view: View,
    index: Content,
}

/// The type and size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stat {
    /// The type of the file.
    pub file_type: FileType,
    /// The size in bytes; 0 for a directory.
    pub size: u64,
}

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// A path in a layout, parsed.
enum Meaning {
    Root,
    Marker,
    Index,
    Blobs,
    Algorithm(String),
    Blob(Digest),
}

impl Meaning {
    /// Parses a path: its parts are separated by slashes, and `.` is the root.
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        Some(match parts.as_slice() {
            ["."] => Self::Root,
            [MARKER_FILE] => Self::Marker,
            [INDEX_FILE] => Self::Index,
            [BLOBS_DIRECTORY] => Self::Blobs,
            [BLOBS_DIRECTORY, algorithm] => Self::Algorithm((*algorithm).to_owned()),
            [BLOBS_DIRECTORY, algorithm, encoded] => Self::Blob(format!("{algorithm}:{encoded}").parse().ok()?),
            _ => return None,
        })
    }
}

impl View {
    /// Returns the view as the files of a layout.
    #[must_use]
    pub fn file_system(&self) -> FileSystem {
        FileSystem { index: Content::in_memory(pretty(self.index())), view: self.clone() }
    }
}

impl FileSystem {
    /// Returns the type and size of the file at a path; `None` if there is no file.
    ///
    /// # Errors
    ///
    /// Those of [`View::content`]; for directories those of reading the documents reachable from the index.
    pub fn stat(&self, path: &str) -> Result<Option<Stat>> {
        let directory = Some(Stat { file_type: FileType::Directory, size: 0 });
        Ok(match Meaning::of(path) {
            None => None,
            Some(Meaning::Root | Meaning::Blobs) => directory,
            Some(Meaning::Algorithm(algorithm)) => {
                let is_there = self.reached()?.iter().any(|digest| digest.algorithm_name() == algorithm);
                directory.filter(|_| is_there)
            }
            Some(Meaning::Marker | Meaning::Index | Meaning::Blob(_)) => {
                self.open(path)?.map(|content| Stat { file_type: FileType::File, size: content.size() })
            }
        })
    }

    /// Opens a file; `None` if there is no file at the path.
    ///
    /// # Errors
    ///
    /// Those of [`View::content`].
    pub fn open(&self, path: &str) -> Result<Option<Content>> {
        match Meaning::of(path) {
            Some(Meaning::Marker) => Ok(Some(Content::in_memory(marker().into_bytes()))),
            Some(Meaning::Index) => Ok(Some(self.index.clone())),
            Some(Meaning::Blob(digest)) => self.view.content(&digest),
            _ => Ok(None),
        }
    }

    /// Returns the names in a directory, sorted; `None` if there is no directory. Of the blobs, only reachable ones are
    /// listed.
    ///
    /// # Errors
    ///
    /// Those of reading the documents reachable from the index.
    pub fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        let owned = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        Ok(match Meaning::of(path) {
            Some(Meaning::Root) => owned(&[BLOBS_DIRECTORY, INDEX_FILE, MARKER_FILE]),
            Some(Meaning::Blobs) => {
                let algorithms = self.reached()?.into_iter().map(|digest| digest.algorithm_name().to_owned());
                Some(algorithms.collect::<BTreeSet<_>>().into_iter().collect())
            }
            Some(Meaning::Algorithm(algorithm)) => {
                let mut names = self.reached()?;
                names.retain(|digest| digest.algorithm_name() == algorithm);
                let names: Vec<_> = names.into_iter().map(|digest| digest.encoded().to_owned()).collect();
                Some(names).filter(|names| !names.is_empty())
            }
            _ => None,
        })
    }

    /// Returns the stored blobs that are reachable from the index.
    fn reached(&self) -> Result<BTreeSet<Digest>> {
        let reached = self.view.reached(MissingBlobs::LeftOut)?;
        Ok(reached.into_iter().filter(|reached| reached.is_there).map(|reached| reached.descriptor.digest).collect())
    }
}
