//! Directories that no entry of a layer has: they are only parents of its entries.

use super::layer_tree::LayerTree;
use super::merge::MergedTree;
use super::node::{Attributes, NodeKind, Path, split};
use super::placed::{PlacedEntry, PlacedKind, is_below};
use super::walk::Walk;

/// A directory that a layer has only as a parent of its entries.
#[derive(Clone, Debug)]
pub(super) struct ImpliedDirectory {
    pub(super) place: Box<[u8]>,
    /// The attributes that the directory has in the image up to the layer.
    pub(super) attributes: Attributes,
    /// Whether the layers below have no such directory.
    pub(super) is_new: bool,
}

impl ImpliedDirectory {
    /// Returns the directory at a path of a tree to which a layer was just applied.
    pub(super) fn of(path: &Path, layer: u32, tree: &MergedTree) -> Option<Self> {
        let node = tree.find(path).filter(|node| node.children().is_some())?;
        let (place, attributes) = (path.join(&b'/').into(), node.attributes.clone());
        Some(Self { place, attributes, is_new: node.layer == layer })
    }
}

impl LayerTree {
    /// Returns the directories that no entry of the layer has, each before those in it.
    pub(super) fn implied_directories(&self) -> Vec<Path> {
        let mut implied = Vec::new();
        let mut walk = Walk::at(&self.root, &Path::new());
        walk.advance();
        while let Some(node) = walk.current {
            if matches!(node.kind, NodeKind::Directory { is_implied: true, .. }) {
                implied.push(split(&walk.path));
            }
            walk.advance();
        }
        implied
    }
}

/// The state of a path in one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Nothing,
    Directory,
    /// It is no directory, or one of its parents is none.
    File,
}

/// Returns the state of a path after some entries of a layer.
pub(super) fn state_of(path: &[u8], entries: &[&PlacedEntry]) -> State {
    let mut state = State::Nothing;
    let mut has_whiteouts = false;
    for PlacedEntry { place, kind, .. } in entries {
        let (is_it, is_below_it) = (**place == *path, is_below(place, path));
        match kind {
            PlacedKind::Whiteout => has_whiteouts |= is_below_it,
            PlacedKind::Opaque => has_whiteouts |= is_below_it || is_it,
            _ if is_below_it => state = State::Directory,
            PlacedKind::Directory if is_it => state = State::Directory,
            PlacedKind::SymbolicLink | PlacedKind::Other if is_it || is_below(path, place) => state = State::File,
            _ => {}
        }
    }
    // The directory of a whiteout is one, unless a file is there.
    if state == State::Nothing && has_whiteouts { State::Directory } else { state }
}
