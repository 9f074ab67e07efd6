//! The nodes of trees of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::tar::entry::Xattr;

/// The entries of a directory by name. Each node has a box of its own: maps reserve space for eleven values.
pub(crate) type Children = BTreeMap<Box<[u8]>, Box<Node>>;

/// A file or directory.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) attributes: Attributes,
    /// The position of the layer that the node comes from, from the lowest on.
    pub(crate) layer: u32,
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
        /// The machine that an ELF file is for (`e_machine`), if it may be executed.
        machine: Option<u16>,
    },
    Link {
        target: Arc<[u8]>,
    },
    /// A device or a pipe, with its type flag.
    Special(u8),
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
        Self { kind, attributes: Attributes::implied(), layer, inode: 0 }
    }

    /// Returns the entries of a directory.
    pub(crate) fn children(&self) -> Option<&Children> {
        if let NodeKind::Directory { children, .. } = &self.kind { Some(children) } else { None }
    }
}
