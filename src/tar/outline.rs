//! The outline of a layer: its symbolic links, and the directories that are parents of entries and have no entry.

use std::collections::HashSet;

/// The most bytes of paths that are kept of each kind. A root file system has a few hundred thousand bytes of links.
const LIMIT: usize = 8 * 1024 * 1024;

/// The symbolic links of a layer, and the directories for which it has no entry.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    links: Paths,
    implied: Paths,
}

/// Paths without slashes at their ends.
#[derive(Debug, Default)]
struct Paths {
    paths: HashSet<Box<[u8]>>,
    bytes: usize,
    is_incomplete: bool,
}

impl Paths {
    fn insert(&mut self, path: &[u8]) {
        if self.bytes + path.len() > LIMIT {
            self.is_incomplete = true;
        } else if self.paths.insert(path.into()) {
            self.bytes += path.len();
        }
    }
}

impl Outline {
    /// Adds the path of an entry, and whether it is a symbolic link.
    pub(super) fn entry(&mut self, path: &[u8], is_link: bool) {
        if self.implied.paths.remove(path) {
            self.implied.bytes -= path.len();
        }
        if is_link {
            self.links.insert(path);
        }
    }

    /// Adds the directory of an entry that has come before any entry for the directory itself.
    pub(super) fn add_implied(&mut self, path: &[u8]) {
        self.implied.insert(path);
    }

    /// Returns the directories for which the layer has no entry.
    pub(crate) fn implied(&self) -> impl Iterator<Item = &[u8]> {
        self.implied.paths.iter().map(|path| &**path)
    }

    /// Returns the paths of the symbolic links.
    pub(crate) fn links(&self) -> impl Iterator<Item = &[u8]> {
        self.links.paths.iter().map(|path| &**path)
    }

    /// Returns whether the layer has no more links than are kept.
    pub(crate) fn has_all_links(&self) -> bool {
        !self.links.is_incomplete
    }

    /// Returns whether the layer has more implied directories than are kept.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.implied.is_incomplete
    }
}
