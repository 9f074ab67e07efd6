//! Walking a tree: depth first, sorted by name.

use std::cmp::Ordering;
use std::collections::btree_map;

use super::node::{Node, Path};

/// The entries of a directory that are left, and the length of its path.
type Listing<'a> = (btree_map::Iter<'a, Box<[u8]>, Box<Node>>, usize);

/// A walk over a node and all entries below it.
pub(super) struct Walk<'a> {
    /// The path of the current node.
    pub(super) path: Vec<u8>,
    pub(super) current: Option<&'a Node>,
    /// The directories that are being listed.
    pending: Vec<Listing<'a>>,
}

impl<'a> Walk<'a> {
    /// Begins at the node at a path, if there is one.
    pub(super) fn at(root: &'a Node, path: &Path) -> Self {
        Self { path: path.join(&b'/'), current: root.find(path), pending: Vec::new() }
    }

    /// Goes to the next node.
    pub(super) fn advance(&mut self) {
        if let Some(children) = self.current.take().and_then(Node::children) {
            self.pending.push((children.iter(), self.path.len()));
        }
        while let Some((children, length)) = self.pending.last_mut() {
            self.path.truncate(*length);
            let Some((name, node)) = children.next() else {
                self.pending.pop();
                continue;
            };
            if *length > 0 {
                self.path.push(b'/');
            }
            self.path.extend(&**name);
            self.current = Some(node);
            return;
        }
    }
}

/// A path whose order is that of a walk: a directory comes before its entries, and they before its next sibling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WalkedPath(pub(super) Box<[u8]>);

impl WalkedPath {
    /// Returns whether the path is another one, or below it.
    pub(super) fn is_within(&self, path: &[u8]) -> bool {
        path.is_empty() || self.0.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// Compares the path with the one of a walk.
    pub(super) fn compare(&self, path: &[u8]) -> Ordering {
        self.0.split(|byte| *byte == b'/').cmp(path.split(|byte| *byte == b'/'))
    }
}

impl Ord for WalkedPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(&other.0)
    }
}

impl PartialOrd for WalkedPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
