//! Paths at which the upper layers of an image and another base do not fit (images, rule E3).

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::content_digests::ContentDigests;
use super::image_files::{ImageFiles, shown_path};
use super::merge::MergedTree;
use super::node::{Node, NodeKind, Path};
use crate::error::Result;
use crate::metrics::Progress;

/// A path at which the layers of an image and its new base do not fit. The image can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Conflict {
    /// A layer deletes a path that the new base does not have.
    Whiteout {
        /// The path.
        path: Vec<u8>,
    },
    /// A layer hides all entries that its base has in a directory, and the new base has others than the old one.
    Opaque {
        /// The path of the directory.
        path: Vec<u8>,
    },
    /// A layer has a file that the new base has too, changed since the old base.
    BothChanged {
        /// The path.
        path: Vec<u8>,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whiteout { path } => {
                write!(formatter, "a layer deletes '{}', which the new base does not have", shown_path(path))
            }
            Self::Opaque { path } => {
                write!(formatter, "a layer hides entries that the new base adds to '{}'", shown_path(path))
            }
            Self::BothChanged { path } => {
                write!(formatter, "the image and the new base have both changed '{}'", shown_path(path))
            }
        }
    }
}

/// A file of one image, and of another.
type Pair = ((u32, u64), (u32, u64));

impl ImageFiles {
    /// Finds the paths at which the layers above a base do not fit another base. The layers of both are read.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`].
    pub(crate) fn conflicts(&mut self, base: usize, new: &mut Self, progress: Progress<'_>) -> Result<Vec<Conflict>> {
        let mut old = MergedTree::default();
        for number in 0..base {
            self.read_with(number, progress, |_, _| Ok(()))?;
            old.apply_tree(self.layer_tree(number)?);
        }
        let new_tree = new.tree_with(progress, |_, _| Ok(()))?;
        let mut found = BTreeSet::new();
        let mut pairs: HashMap<Vec<u8>, Pair> = HashMap::new();
        for number in base..self.layer_count() {
            self.read_with(number, progress, |_, _| Ok(()))?;
            let layer = self.layer_tree(number)?;
            for path in &layer.whiteouts {
                if old.find(path).is_some() && new_tree.find(path).is_none() {
                    found.insert(Conflict::Whiteout { path: path.join(&b'/') });
                }
            }
            for path in &layer.opaque {
                if adds_entries(old.find(path), new_tree.find(path)) {
                    found.insert(Conflict::Opaque { path: path.join(&b'/') });
                }
            }
            let mut pending: Vec<(Path, &Node)> = vec![(Path::new(), &layer.root)];
            while let Some((path, node)) = pending.pop() {
                let place = || path.join(&b'/');
                let (before, after) = (old.find(&path), new_tree.find(&path));
                if let Some(children) = node.children().filter(|_| after.is_none_or(|after| after.children().is_some()))
                {
                    pending.extend(
                        children.iter().map(|(name, node)| ([&*path, std::slice::from_ref(name)].concat(), &**node)),
                    );
                    continue;
                }
                match compare(before, after) {
                    Compared::Same => {}
                    Compared::Different => drop(found.insert(Conflict::BothChanged { path: place() })),
                    Compared::SameSize(pair) => drop(pairs.insert(place(), pair)),
                }
            }
        }
        let (mut of_old, mut of_new) = (ContentDigests::default(), ContentDigests::default());
        of_old.add_missing(self, &pairs.values().map(|(old, _)| *old).collect())?;
        of_new.add_missing(new, &pairs.values().map(|(_, new)| *new).collect())?;
        let differ = |(old, new): &Pair| of_old.get(*old) != of_new.get(*new);
        let differing = pairs.into_iter().filter(|(_, pair)| differ(pair));
        found.extend(differing.map(|(path, _)| Conflict::BothChanged { path }));
        Ok(found.into_iter().collect())
    }
}

/// Returns whether a directory has entries that it did not have before.
fn adds_entries(before: Option<&Node>, after: Option<&Node>) -> bool {
    let mut pending = vec![(before, after)];
    while let Some((before, after)) = pending.pop() {
        for (name, node) in after.and_then(Node::children).into_iter().flatten() {
            let old = before.and_then(Node::children).and_then(|children| children.get(name));
            if old.is_none() {
                return true;
            }
            pending.push((old.map(|old| &**old), Some(&**node)));
        }
    }
    false
}

/// How the entries of two bases at one path compare.
enum Compared {
    Same,
    Different,
    /// The contents must be compared.
    SameSize(Pair),
}

/// Compares the entries of two bases. An entry that the new one lacks is no conflict. Times mean nothing: bases are
/// built again and again.
fn compare(old: Option<&Node>, new: Option<&Node>) -> Compared {
    let Some(new) = new else { return Compared::Same };
    let Some(old) = old else { return Compared::Different };
    let attributes = |node: &Node| {
        let attributes = &node.attributes;
        (attributes.mode, attributes.uid, attributes.gid, attributes.xattrs.clone())
    };
    let is_same = attributes(old) == attributes(new);
    match (&old.kind, &new.kind) {
        (NodeKind::Directory { .. }, NodeKind::Directory { .. }) => Compared::Same,
        (NodeKind::File { .. }, NodeKind::File { .. }) if is_same && old.attributes.size == new.attributes.size => {
            Compared::SameSize(((old.layer, old.offset), (new.layer, new.offset)))
        }
        (NodeKind::Link { target: old }, NodeKind::Link { target: new }) if old == new => Compared::Same,
        (NodeKind::Special { flag: old, device: of_old }, NodeKind::Special { flag: new, device: of_new })
            if is_same && (old, of_old) == (new, of_new) =>
        {
            Compared::Same
        }
        _ => Compared::Different,
    }
}
