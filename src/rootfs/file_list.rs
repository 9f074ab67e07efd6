//! Lists of the files of an image: all of them or some paths, those of one layer, and those that layers delete.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::slice;

use super::hard_links::{Names, names_of};
use super::image_files::ImageFiles;
use super::layer_tree::{LayerTree, OPAQUE, WHITEOUT};
use super::merge::{TreeEntry, entry_of};
use super::node::{Node, NodeKind, Path, split};
use super::walk::{Walk, WalkedPath};
use crate::error::{Error, FilesError, Result};
use crate::options::setters;

/// Which files of an image are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ListOptions {
    /// The paths that are listed, with the entries below them; without paths all are. Links to their directories are
    /// followed inside the image, and those at their ends if a slash follows.
    pub paths: Vec<Vec<u8>>,
    /// The position of a layer, from the lowest on: its entries and whiteouts are listed, and no other layer is read.
    pub layer: Option<usize>,
    /// Whether the paths of lower layers are listed, too, that upper layers delete. Has no meaning for one layer.
    pub deleted: bool,
    /// Whether the paths of the entries are enough: the numbers of their names are not right then, and for files no more layers
    /// are read than are needed to find them.
    pub paths_alone: bool,
}

impl ListOptions {
    setters! {
        paths: [Vec<Vec<u8>>],
        layer: [option usize],
        deleted: [bool],
        paths_alone: [bool],
    }
}

/// A listed entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ListedEntry {
    /// The entry. A whiteout of a layer has the flag `0`.
    pub entry: TreeEntry,
    /// Whether the entry is a whiteout of the layer: it deletes a path of the layers below.
    pub is_whiteout: bool,
    /// The number of names of the file. Directories have one.
    pub links: u64,
    /// The first name of the file, if it has several and this is another one.
    pub first_name: Option<Vec<u8>>,
    /// The position of the layer that deletes the entry.
    pub deleted_by: Option<u32>,
}

/// The list of files of an image.
pub struct FileList {
    root: Node,
    has_root_entry: bool,
    /// Whether directories are left out that no entry has.
    has_entries_only: bool,
    /// What the tree does not have.
    others: BTreeMap<WalkedPath, Other>,
    /// The paths that are listed, in order.
    starts: Vec<Path>,
    /// The number of names and the first name of each file that has several.
    names: Names,
}

/// An entry that the tree does not have.
enum Other {
    Deleted(Box<Node>, u32),
    /// A whiteout of the layer of this number.
    Whiteout(u32),
}

/// A path that is to be listed.
enum Wanted {
    Path(Path),
    /// A path without an entry in the tree; the error if nothing else has it.
    Other(Path, Error),
}

impl fmt::Debug for FileList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileList").field("starts", &self.starts).finish_non_exhaustive()
    }
}

impl ImageFiles {
    /// Lists files. All layers are read, but only one if that is asked for.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoPath`], [`FilesError::BrokenLink`] for the first path that is not there; [`FilesError::NoLayer`]; those of
    /// [`ImageFiles::entries`].
    pub fn list(&mut self, options: &ListOptions) -> Result<FileList> {
        if let Some(layer) = options.layer {
            self.expect_layer(layer)?;
        }
        let wanted = options.paths.iter().map(|path| self.wanted(path, options)).collect::<Result<Vec<_>>>()?;
        let found = if options.paths_alone && !options.deleted { self.files_alone(&wanted) } else { None };
        let mut list = match (options.layer, found) {
            (Some(layer), _) => FileList::of_layer(self.layer_tree(layer)?),
            (None, Some(root)) => FileList::new(root, false, BTreeMap::new()),
            (None, None) => {
                let mut tree = if options.deleted { self.tree_with_deleted()? } else { self.tree()? };
                let deleted = tree.take_deleted();
                let others = deleted.entries.into_iter().map(|(path, (node, by))| (path, Other::Deleted(node, by)));
                let has_root_entry = tree.root_attributes().is_some();
                FileList::new(tree.into_root(), has_root_entry, others.collect())
            }
        };
        list.starts = wanted.into_iter().map(|wanted| list.start(wanted)).collect::<Result<_>>()?;
        if options.paths.is_empty() {
            list.starts.push(Path::new());
        }
        list.starts.sort_unstable();
        // What is below another path is listed with it.
        list.starts.dedup_by(|path, before| path.starts_with(before));
        Ok(list)
    }

    /// Returns a tree of some paths that were found, if there are any, and no directory is among them: the lower layers may have
    /// entries below it.
    fn files_alone(&self, wanted: &[Wanted]) -> Option<Node> {
        let mut root = Node::implied_directory(0);
        for wanted in wanted {
            let Wanted::Path(path) = wanted else { return None };
            let node = self.node_at(path).filter(|node| node.children().is_none())?.clone();
            let (name, parents) = path.split_last()?;
            let mut here = &mut root;
            for name in parents {
                let children = here.children_mut()?;
                here = children.entry(name.clone()).or_insert_with(|| Box::new(Node::implied_directory(0)));
            }
            here.children_mut()?.insert(name.clone(), Box::new(node));
        }
        (!wanted.is_empty()).then_some(root)
    }

    /// Finds a path that is to be listed.
    fn wanted(&mut self, path: &[u8], options: &ListOptions) -> Result<Wanted> {
        let mut find = |path: &[u8], follow| match options.layer {
            Some(layer) => self.find_in_layer(layer, path, follow),
            None => self.find(path, follow),
        };
        let error = match find(path, false) {
            Ok(found) => return Ok(Wanted::Path(split(&found.entry.path))),
            Err(error) => error,
        };
        let is_missing = matches!(error, Error::Files(FilesError::NoPath { .. } | FilesError::BrokenLink { .. }));
        if !is_missing || !(options.deleted || options.layer.is_some()) {
            return Err(error);
        }
        // A deleted path or a whiteout may be below a link to a directory.
        let components: Path = split(path).into_iter().filter(|name| **name != *b".").collect();
        for count in (0..components.len()).rev() {
            if let Ok(found) = find(&components[..count].join(&b'/'), true) {
                let mut place = split(&found.entry.path);
                place.extend_from_slice(&components[count..]);
                return Ok(Wanted::Other(place, error));
            }
        }
        Err(error)
    }
}

impl FileList {
    fn new(root: Node, has_root_entry: bool, others: BTreeMap<WalkedPath, Other>) -> Self {
        let names = names_of(&root);
        Self { root, has_root_entry, has_entries_only: false, others, starts: Vec::new(), names }
    }

    fn of_layer(mut tree: LayerTree) -> Self {
        let layer = tree.layer();
        let mut others = BTreeMap::new();
        for mut path in std::mem::take(&mut tree.whiteouts) {
            if let Some(name) = path.pop() {
                path.push([WHITEOUT, &*name].concat().into());
                others.insert(WalkedPath(path.join(&b'/').into()), Other::Whiteout(layer));
            }
        }
        for mut path in std::mem::take(&mut tree.opaque) {
            path.push(OPAQUE.into());
            others.insert(WalkedPath(path.join(&b'/').into()), Other::Whiteout(layer));
        }
        let has_root_entry = tree.settle_root();
        Self { has_entries_only: true, ..Self::new(tree.root, has_root_entry, others) }
    }

    /// Returns the path at which a listing starts, if anything is there.
    fn start(&self, wanted: Wanted) -> Result<Path> {
        match wanted {
            Wanted::Path(path) => Ok(path),
            Wanted::Other(path, error) => {
                let start = WalkedPath(path.join(&b'/').into());
                let next = self.others.range(start.clone()..).next();
                if next.is_some_and(|(path, _)| path.is_within(&start.0)) { Ok(path) } else { Err(error) }
            }
        }
    }

    /// Returns the entries, depth first, sorted by name. The root is one of them if a layer has an entry for it.
    pub fn entries(&self) -> impl Iterator<Item = ListedEntry> + '_ {
        Entries { list: self, starts: self.starts.iter(), walk: None, others: None }
    }

    /// Returns an entry of the tree, unless it is to be left out.
    fn in_tree(&self, path: &[u8], node: &Node) -> Option<ListedEntry> {
        let is_left_out = match node.kind {
            NodeKind::Directory { .. } if path.is_empty() => !self.has_root_entry,
            NodeKind::Directory { is_implied, .. } => is_implied && self.has_entries_only,
            _ => false,
        };
        if is_left_out {
            return None;
        }
        let names = if node.children().is_some() { None } else { self.names.get(&node.inode) };
        Some(ListedEntry {
            entry: entry_of(path, node),
            is_whiteout: false,
            links: names.map_or(1, |(count, _)| *count),
            first_name: names.map(|(_, first)| first).filter(|first| *first != path).cloned(),
            deleted_by: None,
        })
    }

    fn other(&self, path: &WalkedPath, other: &Other) -> ListedEntry {
        let (entry, is_whiteout, deleted_by) = match other {
            Other::Deleted(node, by) => (entry_of(&path.0, node), false, Some(*by)),
            Other::Whiteout(layer) => (whiteout(&path.0, *layer), true, None),
        };
        ListedEntry { entry, is_whiteout, links: 1, first_name: None, deleted_by }
    }
}

fn whiteout(path: &[u8], layer: u32) -> TreeEntry {
    TreeEntry {
        path: path.to_vec(),
        flag: b'0',
        mode: 0,
        uid: 0,
        gid: 0,
        modified: 0,
        size: 0,
        target: Vec::new(),
        device: None,
        xattrs: Vec::new(),
        inode: 0,
        layer,
        offset: 0,
    }
}

type Others<'a> = Box<dyn Iterator<Item = (&'a WalkedPath, &'a Other)> + 'a>;

/// The entries of a list. Those of the tree and the others are merged.
struct Entries<'a> {
    list: &'a FileList,
    starts: slice::Iter<'a, Path>,
    walk: Option<Walk<'a>>,
    others: Option<Peekable<Others<'a>>>,
}

impl<'a> Entries<'a> {
    /// Begins the next path.
    fn begin(&mut self) -> Option<()> {
        let list = self.list;
        let path = self.starts.next()?;
        self.walk = Some(Walk::at(&list.root, path));
        let start = WalkedPath(path.join(&b'/').into());
        let others = list.others.range(start.clone()..).take_while(move |(path, _)| path.is_within(&start.0));
        self.others = Some((Box::new(others) as Others<'a>).peekable());
        Some(())
    }
}

impl Iterator for Entries<'_> {
    type Item = ListedEntry;

    fn next(&mut self) -> Option<ListedEntry> {
        loop {
            let (Some(walk), Some(others)) = (&mut self.walk, &mut self.others) else {
                self.begin()?;
                continue;
            };
            let is_first = |path: &WalkedPath| walk.current.is_none() || path.compare(&walk.path).is_lt();
            if let Some((path, other)) = others.next_if(|(path, _)| is_first(path)) {
                return Some(self.list.other(path, other));
            }
            let Some(node) = walk.current else {
                self.begin()?;
                continue;
            };
            let entry = self.list.in_tree(&walk.path, node);
            walk.advance();
            if entry.is_some() {
                return entry;
            }
        }
    }
}
