//! The nodes of trees of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::program::Program;
use crate::tar::written_entry::{DeviceNumber, Xattr};

/// The path of an entry: its components.
pub(crate) type Path = Vec<Box<[u8]>>;

/// Splits a path into its components.
pub(crate) fn split(path: &[u8]) -> Path {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(Box::from).collect()
}

/// The entries of a directory by name. Each node has a box of its own: maps reserve space for eleven values.
pub(crate) type Children = BTreeMap<Box<[u8]>, Box<Node>>;

/// A file or directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) attributes: Attributes,
    /// The position of the layer that the node comes from, from the lowest on.
    pub(crate) layer: u32,
    /// The offset of its entry in the tar of that layer ([`Header::start`](crate::tar::read_header::Header::start)). The
    /// names of a file that are hard links have that of the entry with its content.
    pub(crate) offset: u64,
    /// The identity of the file: names that are hard links have the same.
    pub(crate) inode: u64,
}

/// The type of a node.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Directory {
        children: Children,
        /// Whether no entry has the directory: it is only a parent of others.
        is_implied: bool,
    },
    /// A regular file. Its content is kept if it is small and names users or groups.
    File {
        content: Option<Arc<[u8]>>,
        /// The program that the file is, if it may be executed and Linux knows its format.
        program: Option<Arc<Program>>,
    },
    Link {
        target: Arc<[u8]>,
    },
    /// Another name of a file that neither the layers below nor the layer have. In the tree of a layer that is being
    /// read, the file may come later.
    HardLink {
        target: Path,
    },
    /// A device or a pipe.
    Special {
        flag: u8,
        device: DeviceNumber,
    },
}

/// The attributes of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// The modification time in seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) size: u64,
    pub(crate) xattrs: Option<Arc<[Xattr]>>,
}

impl Attributes {
    /// Returns the attributes of a directory that no layer has an entry for.
    pub(crate) fn implied() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, modified: 0, size: 0, xattrs: None }
    }
}

impl Node {
    /// Returns a directory that no entry has.
    pub(crate) fn implied_directory(layer: u32) -> Self {
        let kind = NodeKind::Directory { children: Children::new(), is_implied: true };
        Self { kind, attributes: Attributes::implied(), layer, offset: 0, inode: 0 }
    }

    /// Returns the entries of a directory.
    pub(crate) fn children(&self) -> Option<&Children> {
        if let NodeKind::Directory { children, .. } = &self.kind { Some(children) } else { None }
    }

    /// Returns the entries of a directory.
    pub(super) fn children_mut(&mut self) -> Option<&mut Children> {
        if let NodeKind::Directory { children, .. } = &mut self.kind { Some(children) } else { None }
    }

    /// Returns the node at a path. Links are not followed.
    pub(crate) fn find(&self, path: &[Box<[u8]>]) -> Option<&Self> {
        path.iter().try_fold(self, |here, name| here.children()?.get(name).map(|node| &**node))
    }

    /// Returns the node at a path. Links are not followed.
    pub(super) fn find_mut(&mut self, path: &[Box<[u8]>]) -> Option<&mut Self> {
        path.iter().try_fold(self, |here, name| here.children_mut()?.get_mut(name).map(|node| &mut **node))
    }

    /// Returns whether the node can have other names that are hard links.
    pub(super) fn can_be_linked(&self) -> bool {
        !matches!(self.kind, NodeKind::Directory { .. } | NodeKind::HardLink { .. })
    }
}

/// Is called with the path of each directory that another entry replaces, and its entries.
pub(super) type Replaced<'a> = &'a mut dyn FnMut(&[Box<[u8]>], Children);

/// Applies the entries of a layer to those below. A directory over a directory merges, and replaces the attributes if
/// the layer has an entry for it; every other entry replaces the one below with all its entries.
pub(super) fn merge(below: &mut Children, layer: Children, mut replaced: Option<Replaced<'_>>) {
    // No function calls itself for the directories of a layer: there may be thousands of them within each other.
    // Paths are made only where they are asked for.
    let mut pending = vec![(below, layer, Path::new())];
    while let Some((below, layer, path)) = pending.pop() {
        let mut merged = Children::new();
        for (name, mut node) in layer {
            let Some(old) = below.get_mut(&name) else {
                below.insert(name, node);
                continue;
            };
            let NodeKind::Directory { is_implied, .. } = node.kind else {
                let mut before = std::mem::replace(old, node);
                if let (Some(replaced), Some(children)) = (&mut replaced, before.children_mut()) {
                    replaced(&[&*path, &[name]].concat(), std::mem::take(children));
                }
                continue;
            };
            let NodeKind::Directory { is_implied: was_implied, .. } = &mut old.kind else {
                *old = node;
                continue;
            };
            if !is_implied {
                *was_implied = false;
                std::mem::swap(&mut old.attributes, &mut node.attributes);
                (old.layer, old.offset, old.inode) = (node.layer, node.offset, node.inode);
            }
            if node.children().is_some_and(|children| !children.is_empty()) {
                merged.insert(name, node);
            }
        }
        if merged.is_empty() {
            continue;
        }
        for (name, old) in below.iter_mut() {
            if let Some(mut node) = merged.remove(name)
                && let (Some(below), Some(layer)) = (old.children_mut(), node.children_mut())
            {
                let path = if replaced.is_some() { [&*path, std::slice::from_ref(name)].concat() } else { Path::new() };
                pending.push((below, std::mem::take(layer), path));
            }
        }
    }
}

/// Copies the entries of a directory one by one, for the reason that they are dropped one by one.
impl Clone for Node {
    fn clone(&self) -> Self {
        let shallow = |node: &Self| Self {
            kind: match &node.kind {
                NodeKind::Directory { is_implied, .. } => {
                    NodeKind::Directory { children: Children::new(), is_implied: *is_implied }
                }
                kind => kind.clone(),
            },
            attributes: node.attributes.clone(),
            layer: node.layer,
            offset: node.offset,
            inode: node.inode,
        };
        let none = Children::new();
        let mut pending = vec![(shallow(self), self.children().unwrap_or(&none).iter(), None)];
        loop {
            let (_, children, _) = pending.last_mut().expect("the root ends the loop");
            if let Some((name, node)) = children.next() {
                pending.push((shallow(node), node.children().unwrap_or(&none).iter(), Some(name)));
                continue;
            }
            let (copy, _, name) = pending.pop().expect("it was the last one");
            let Some((parent, ..)) = pending.last_mut() else { return copy };
            let siblings = parent.children_mut().expect("only directories have entries");
            siblings.insert(name.cloned().expect("only the root has no name"), Box::new(copy));
        }
    }
}

/// Drops the entries of a directory one by one: a layer may have thousands of directories within each other, and dropping
/// them in each other would take as many calls.
impl Drop for Node {
    fn drop(&mut self) {
        let mut pending: Vec<Box<Self>> = Vec::new();
        let take = |node: &mut Self, pending: &mut Vec<Box<Self>>| {
            if let Some(children) = node.children_mut() {
                pending.extend(std::mem::take(children).into_values());
            }
        };
        take(self, &mut pending);
        while let Some(mut node) = pending.pop() {
            take(&mut node, &mut pending);
        }
    }
}
