//! The files of a tree that have several names: hard links.

use std::collections::HashMap;

use super::node::{Node, Path};
use super::walk::Walk;

/// By identity, the number of names and the first name of each file that has several.
pub(super) type Names = HashMap<u64, (u64, Vec<u8>)>;

/// Returns the number of names and the first name of each file that has several.
pub(super) fn names_of(root: &Node) -> Names {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    let mut walk = Walk::at(root, &Path::new());
    while let Some(node) = walk.current {
        if node.can_be_linked() {
            *counts.entry(node.inode).or_default() += 1;
        }
        walk.advance();
    }
    counts.retain(|_, count| *count > 1);
    let mut names = HashMap::new();
    if counts.is_empty() {
        return names;
    }
    let mut walk = Walk::at(root, &Path::new());
    while let Some(node) = walk.current {
        if let Some(count) = counts.get(&node.inode).filter(|_| node.can_be_linked()) {
            names.entry(node.inode).or_insert_with(|| (*count, walk.path.clone()));
        }
        walk.advance();
    }
    names
}
