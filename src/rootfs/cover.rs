//! The paths that upper layers cover, so that content of lower layers need not be kept.
//!
//! It is a first answer, given before the lower layers are read to their ends: the merged tree has the last word.

use std::collections::{HashMap, HashSet};

use super::layer_tree::LayerTree;
use super::node::Node;

/// The paths of upper layers.
#[derive(Default)]
pub(super) struct Cover {
    paths: HashMap<Box<[u8]>, Covers>,
    /// The files of lower layers to which upper layers have hard links: they are needed, even if their names are covered.
    linked: HashSet<Box<[u8]>>,
}

/// Which part of the lower layers a path covers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Covers {
    /// A directory: files of its name.
    Name,
    /// An opaque directory: all below, too.
    Content,
    /// Another entry, or a whiteout: its name and all below.
    All,
}

impl Cover {
    /// Adds a layer.
    pub(super) fn add(&mut self, tree: &LayerTree) {
        self.linked.extend(tree.targets_below().map(|path| path.join(&b'/').into()));
        for path in &tree.opaque {
            self.put(path.join(&b'/'), Covers::Content);
        }
        for path in &tree.whiteouts {
            self.put(path.join(&b'/'), Covers::All);
        }
        let mut pending: Vec<(Vec<u8>, &Node)> = vec![(Vec::new(), &tree.root)];
        while let Some((path, node)) = pending.pop() {
            for (name, child) in node.children().into_iter().flatten() {
                let path = if path.is_empty() { name.to_vec() } else { [&path, &b"/"[..], name].concat() };
                if child.children().is_some() {
                    pending.push((path.clone(), child));
                    self.put(path, Covers::Name);
                } else {
                    self.put(path, Covers::All);
                }
            }
        }
    }

    fn put(&mut self, path: Vec<u8>, covers: Covers) {
        let entry = self.paths.entry(path.into()).or_insert(covers);
        // A directory may be opaque in one layer, and plain in another.
        if *entry == Covers::Name {
            *entry = covers;
        }
    }

    /// Returns whether no file of a lower layer at a path can be seen.
    pub(super) fn hides(&self, place: &[Box<[u8]>]) -> bool {
        if self.paths.is_empty() || !self.linked.is_empty() && self.linked.contains(place.join(&b'/').as_slice()) {
            return false;
        }
        if self.paths.get(&b""[..]) == Some(&Covers::Content) {
            return true;
        }
        let mut path = Vec::new();
        for (at, name) in place.iter().enumerate() {
            if at > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let is_last = at + 1 == place.len();
            match self.paths.get(path.as_slice()) {
                Some(Covers::All) => return true,
                Some(Covers::Content) if !is_last => return true,
                Some(_) if is_last => return true,
                // The layers have nothing below.
                None => return false,
                Some(_) => {}
            }
        }
        false
    }
}
