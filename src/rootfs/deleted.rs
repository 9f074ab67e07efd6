//! The entries of lower layers that upper layers delete.

use std::collections::BTreeMap;

use super::node::{Children, Node, Path, split};
use super::walk::WalkedPath;

/// Entries that a layer deletes: with a whiteout, with an opaque directory, or with another entry in the place of their
/// directory.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    /// The last entry of each path without those below it, and the position of the layer that deletes it.
    pub(super) entries: BTreeMap<WalkedPath, (Box<Node>, u32)>,
}

impl Deleted {
    /// Adds an entry with all entries below it.
    pub(super) fn add(&mut self, path: &[Box<[u8]>], node: Box<Node>, by: u32) {
        let mut pending = vec![(path.join(&b'/'), node)];
        while let Some((path, mut node)) = pending.pop() {
            for (name, child) in node.children_mut().map(std::mem::take).unwrap_or_default() {
                pending.push((below(&path, &name), child));
            }
            self.entries.insert(WalkedPath(path.into()), (node, by));
        }
    }

    /// Adds all entries of a directory.
    pub(super) fn add_entries(&mut self, path: &[Box<[u8]>], children: Children, by: u32) {
        for (name, node) in children {
            self.add(&[path, &[name]].concat(), node, by);
        }
    }

    /// Removes the paths that a tree has.
    pub(super) fn leave_out(&mut self, root: &Node) {
        self.entries.retain(|path, _| {
            let path: Path = split(&path.0);
            root.find(&path).is_none()
        });
    }
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
