//! The upper layers of an image as one: what changes the files of the layers below to those of the image (images, rule E4).

use std::collections::{HashMap, HashSet, btree_map};
use std::io::{self, Write};

use super::contents::Contents;
use super::cover::Cover;
use super::image_files::{ImageFiles, shown_path};
use super::layer_tree::{OPAQUE, WHITEOUT};
use super::merge::{MergedTree, remove_markers};
use super::node::{Node, NodeKind, Path};
use super::placed::Carrier;
use super::tree_tar::{kind_of, write_entry};
use crate::error::{Error, FilesError, Result};
use crate::metrics::Progress;
use crate::tar::write::TarWriter;
use crate::tar::written_entry::{EntryKind, TarEntry};

/// The files of an image as one layer, on some of its layers or on none.
pub(crate) struct Squashed {
    tree: MergedTree,
    below: Option<Node>,
    /// The directories whose entries of the layers below are hidden as a whole.
    opaque: HashSet<Path>,
    contents: Contents,
}

impl ImageFiles {
    /// Returns whether a layer deletes entries of the layers below. It is read.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`].
    pub(crate) fn has_whiteouts(&mut self, number: usize, progress: Progress<'_>) -> Result<bool> {
        let layer = self.read_each(number, progress, |_, _| Ok(()))?;
        Ok(!layer.whiteouts.is_empty() || !layer.opaque.is_empty())
    }

    /// Reads all layers, and makes one of those above the lowest `kept`.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`]; [`FilesError::LostHardLink`]; [`Error::Io`].
    pub(crate) fn squash(&mut self, kept: usize, mut contents: Contents, progress: Progress<'_>) -> Result<Squashed> {
        let mut cover = Cover::default();
        let mut layers = Vec::new();
        for number in (0..self.layer_count()).rev() {
            let is_kept = number < kept;
            self.read_with(number, progress, |file, content| {
                if is_kept || cover.hides(file.place) { Ok(()) } else { contents.store(file, content) }
            })?;
            let layer = self.layer_tree(number)?;
            cover.add(&layer);
            layers.push(layer);
        }
        let mut tree = MergedTree::default();
        let mut opaque = HashSet::new();
        let mut below = None;
        for (number, layer) in layers.into_iter().rev().enumerate() {
            if number == kept && kept > 0 {
                below = Some(tree.root().clone());
            }
            if number >= kept {
                opaque.extend(layer.opaque.iter().cloned());
            }
            tree.apply_tree(layer);
        }
        tree.remove_markers();
        if let Some(below) = &mut below {
            remove_markers(below);
        }
        let squashed = Squashed { tree, below, opaque, contents };
        squashed.complete(self)
    }
}

/// An entry of the layer.
enum Planned<'a> {
    /// Deletes an entry of the layers below, or all of a directory.
    Whiteout,
    Entry(&'a Node),
}

impl Squashed {
    /// Reads the contents that are still missing.
    fn complete(mut self, files: &ImageFiles) -> Result<Self> {
        let mut carriers: Vec<Carrier> = Vec::new();
        for (path, planned) in Planner::of(&self.tree, self.below.as_ref(), &self.opaque).plan() {
            let Planned::Entry(node) = planned else { continue };
            match &node.kind {
                NodeKind::File { .. } => {
                    self.contents.check(&path, node)?;
                    carriers.push((node.layer, node.offset));
                }
                NodeKind::HardLink { target } => {
                    let (path, target) = (shown_path(&path), shown_path(&target.join(&b'/')));
                    return Err(FilesError::LostHardLink { path, target }.into());
                }
                _ => {}
            }
        }
        self.contents.complete(files, carriers)?;
        Ok(self)
    }

    /// Writes the layer as a tar: layout format 1.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; `failed` makes that of the writer.
    pub(crate) fn write<F: FnOnce(io::Error) -> Error>(
        &self,
        writer: &mut dyn Write,
        failed: &dyn Fn() -> F,
    ) -> Result<()> {
        let Self { tree, below, opaque, contents } = self;
        let planner = Planner::of(tree, below.as_ref(), opaque);
        let mut tar = TarWriter::new(writer);
        let mut names: HashMap<u64, Vec<u8>> = HashMap::new();
        if planner.has_root_entry() {
            write_entry(&mut tar, (b"./", EntryKind::Directory, tree.root()), contents, failed)?;
        }
        for (mut path, planned) in planner.plan() {
            let Planned::Entry(node) = planned else {
                let kind = EntryKind::File { size: 0 };
                let entry = TarEntry { path: &path, kind, mode: 0, uid: 0, gid: 0, modified: 0, xattrs: &[] };
                tar.file(&entry, b"").map_err(failed())?;
                continue;
            };
            if node.children().is_some() {
                path.push(b'/');
            }
            let kind = kind_of(node, names.get(&node.inode).map(Vec::as_slice));
            write_entry(&mut tar, (&path, kind, node), contents, failed)?;
            if !matches!(kind, EntryKind::Directory | EntryKind::HardLink { .. }) {
                names.insert(node.inode, path);
            }
        }
        tar.finish().map_err(failed())?;
        Ok(())
    }
}

/// Finds the entries of the layer.
struct Planner<'a> {
    tree: &'a MergedTree,
    below: Option<&'a Node>,
    opaque: &'a HashSet<Path>,
    /// The files of the layers below that get a new name: all their names are in the layer, so that they stay one file
    /// (images, rule C6).
    again: HashSet<u64>,
}

/// A directory whose entries are looked at.
struct Open<'a> {
    path: Path,
    children: btree_map::Iter<'a, Box<[u8]>, Box<Node>>,
    /// The directory in the layers below, unless it is hidden.
    below: Option<&'a Node>,
    /// The number of entries before that of the directory.
    begin: usize,
    /// Whether the directory is in the layer if nothing in it is.
    is_kept: bool,
}

impl<'a> Planner<'a> {
    fn of(tree: &'a MergedTree, below: Option<&'a Node>, opaque: &'a HashSet<Path>) -> Self {
        let mut planner = Self { tree, below, opaque, again: HashSet::new() };
        planner.again = planner.plan().into_iter().filter_map(|(_, planned)| planned.linked_inode()).collect();
        planner
    }

    /// Returns whether one of the layers has an entry for the root directory.
    fn has_root_entry(&self) -> bool {
        let root = self.tree.root();
        match self.below {
            None => self.tree.root_attributes().is_some(),
            Some(below) => {
                (root.layer, root.offset, &root.attributes) != (below.layer, below.offset, &below.attributes)
            }
        }
    }

    /// Returns the entries of the layer in their order: depth first, sorted by name, whiteouts before others (images,
    /// rules A4, C2, C3).
    fn plan(&self) -> Vec<(Vec<u8>, Planned<'a>)> {
        let mut planned: Vec<(Vec<u8>, Planned<'a>)> = Vec::new();
        let mut open: Vec<Open<'a>> = Vec::new();
        open.extend(self.open(&mut planned, Path::new(), self.tree.root(), self.below, (0, true)));
        while let Some(Open { path, children, below, begin, is_kept }) = open.last_mut() {
            let Some((name, node)) = children.next() else {
                // A directory in which nothing changes is not in the layer.
                if !*is_kept && planned.len() == *begin + 1 {
                    planned.truncate(*begin);
                }
                open.pop();
                continue;
            };
            let old = below.and_then(Node::children).and_then(|children| children.get(name)).map(|node| &**node);
            let is_changed = old.is_none_or(|old| is_other(old, node)) || self.again.contains(&node.inode);
            let path: Path = path.iter().chain([name]).cloned().collect();
            let is_directory = node.children().is_some();
            if is_directory || is_changed {
                planned.push((path.join(&b'/'), Planned::Entry(node)));
            }
            if is_directory {
                let begin = planned.len() - 1;
                let old = old.filter(|old| old.children().is_some());
                open.extend(self.open(&mut planned, path, node, old, (begin, is_changed)));
            }
        }
        planned
    }

    /// Begins a directory with its whiteouts.
    fn open(
        &self,
        planned: &mut Vec<(Vec<u8>, Planned<'a>)>,
        path: Path,
        node: &'a Node,
        below: Option<&'a Node>,
        (begin, is_kept): (usize, bool),
    ) -> Option<Open<'a>> {
        let children = node.children()?;
        let old = below.and_then(Node::children).filter(|old| !old.is_empty());
        let whiteout = |name: &[u8]| {
            let mut path = path.clone();
            path.push(name.into());
            (path.join(&b'/'), Planned::Whiteout)
        };
        let is_opaque = old.is_some() && self.opaque.contains(&path);
        match old {
            Some(_) if is_opaque => planned.push(whiteout(OPAQUE)),
            Some(old) => {
                let gone = old.keys().filter(|name| !children.contains_key(*name));
                planned.extend(gone.map(|name| whiteout(&[WHITEOUT, name].concat())));
            }
            None => {}
        }
        let below = below.filter(|_| !is_opaque);
        Some(Open { path, children: children.iter(), below, begin, is_kept })
    }
}

impl Planned<'_> {
    /// Returns the identity of a file that may have other names.
    fn linked_inode(&self) -> Option<u64> {
        match self {
            Self::Entry(node) if node.children().is_none() => Some(node.inode),
            _ => None,
        }
    }
}

/// Returns whether an entry is not the one of the layers below.
fn is_other(old: &Node, new: &Node) -> bool {
    let is_directory = |node: &Node| node.children().is_some();
    (old.layer, old.offset) != (new.layer, new.offset)
        || is_directory(old) != is_directory(new)
        || !is_directory(new) && old.inode != new.inode
}
