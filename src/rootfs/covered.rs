//! The entries of all layers of an image that are at some paths or below them, those too that upper layers hide.

use std::collections::{HashMap, HashSet};

use super::image_files::{ImageFiles, shown_path};
use super::layer_tree::{LayerTree, OPAQUE, ReadEntry, WHITEOUT, components, is_whiteout};
use super::merge::MergedTree;
use super::node::{NodeKind, Path, split};
use crate::error::{FilesError, Result};
use crate::metrics::Progress;

/// A file of a layer: the number of the layer, and the offset of the entry with the content.
pub(crate) type Carrier = (u32, u64);

/// The entries of one layer that are at some paths or below them.
#[derive(Debug, Default)]
pub(crate) struct CoveredEntries {
    /// The offsets of these entries.
    pub(crate) entries: HashSet<u64>,
    /// The other hard links of the layer to files at these paths, by the offsets of their entries.
    pub(crate) links: HashMap<u64, Carrier>,
}

impl CoveredEntries {
    /// Returns whether the layer has nothing at these paths.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.links.is_empty()
    }
}

/// An entry of a layer with its place in the image.
struct PlacedEntry {
    offset: u64,
    /// The path without links of the layer, joined.
    place: Box<[u8]>,
    link: Option<PlacedLink>,
}

/// The file to which a hard link leads.
struct PlacedLink {
    /// The name that the link has as its target.
    target: Box<[u8]>,
    carrier: Option<Carrier>,
}

impl ImageFiles {
    /// Finds the entries at some paths or below them in all layers. Each layer is read once. Where a directory of a path is
    /// a link, the entries below the directory to which it leads are found too.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoPath`] for a path that no layer has; those of reading a layer.
    pub(crate) fn covered(&mut self, paths: &[Vec<u8>], progress: Option<Progress<'_>>) -> Result<Vec<CoveredEntries>> {
        let mut tree = MergedTree::default();
        let mut layers = Vec::new();
        for number in 0..self.layer_count() {
            let mut entries = Vec::new();
            let layer = self.read_each(number, progress, |tree, entry| {
                entries.extend(placed(tree, &entry));
                Ok(())
            })?;
            entries.iter_mut().for_each(|entry| settle(entry, &layer, &tree));
            tree.apply_tree(layer);
            layers.push(entries);
        }
        let mut covers = Covers { paths: Vec::new(), are_found: vec![false; paths.len()] };
        for (at, path) in paths.iter().enumerate() {
            let path = split(path);
            covers.paths.push((at, path.join(&b'/')));
            // The path as users see it may lead through links.
            if let Some((name, parents)) = path.split_last()
                && let Ok((mut place, _)) = tree.resolve(parents)
                && place != parents
            {
                place.push(name.clone());
                covers.paths.push((at, place.join(&b'/')));
            }
        }
        let covered = layers.iter().map(|layer| covers.find(layer)).collect();
        match covers.are_found.iter().position(|is_found| !is_found) {
            Some(at) => Err(FilesError::NoPath { path: shown_path(&paths[at]) }.into()),
            None => Ok(covered),
        }
    }
}

/// Paths that are looked for.
struct Covers {
    /// The paths, each with the number of the one that was asked for.
    paths: Vec<(usize, Vec<u8>)>,
    are_found: Vec<bool>,
}

impl Covers {
    /// Returns the number of the path that a place is at or below.
    fn of(&self, place: &[u8]) -> Option<usize> {
        let covers =
            |path: &[u8]| place.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
        self.paths.iter().find(|(_, path)| covers(path)).map(|(at, _)| *at)
    }

    fn find(&mut self, layer: &[PlacedEntry]) -> CoveredEntries {
        let mut covered = CoveredEntries::default();
        for entry in layer {
            if let Some(at) = self.of(&entry.place) {
                self.are_found[at] = true;
                covered.entries.insert(entry.offset);
                continue;
            }
            let Some(link) = entry.link.as_ref().filter(|link| self.of(&link.target).is_some()) else { continue };
            match link.carrier {
                Some(carrier) => drop(covered.links.insert(entry.offset, carrier)),
                // Another entry of the layer takes the place of this link, whose target goes.
                None => drop(covered.entries.insert(entry.offset)),
            }
        }
        covered
    }
}

/// Returns the place of an entry of a layer that is being read; `None` for the root.
fn placed(tree: &LayerTree, entry: &ReadEntry<'_>) -> Option<PlacedEntry> {
    let offset = entry.header.start;
    if let Some(place) = entry.place {
        let mut link = None;
        if entry.header.flag() == b'1' {
            let target = components(entry.header.target()).ok()?;
            let node = tree.root.find(place).filter(|node| !matches!(node.kind, NodeKind::HardLink { .. }));
            let carrier = node.map(|node| (node.layer, node.offset));
            link = Some(PlacedLink { target: tree.place_of_file(&target).join(&b'/').into(), carrier });
        }
        return Some(PlacedEntry { offset, place: place.join(&b'/').into(), link });
    }
    if !is_whiteout(&entry.header.path) {
        return None;
    }
    // A whiteout goes with the path that it hides, and that of all entries of a directory with the directory.
    let mut path: Path = components(&entry.header.path).ok()?;
    let name = path.pop()?;
    let mut place = tree.place(&path).into_owned();
    if *name != *OPAQUE {
        place.push(name.strip_prefix(WHITEOUT)?.into());
    }
    Some(PlacedEntry { offset, place: place.join(&b'/').into(), link: None })
}

/// Finds the file of a hard link that stands before its target, or leads to a file of the layers below.
fn settle(entry: &mut PlacedEntry, layer: &LayerTree, below: &MergedTree) {
    let Some(link) = entry.link.as_mut().filter(|link| link.carrier.is_none()) else { return };
    let Some(node) = layer.root.find(&split(&entry.place)) else { return };
    if !matches!(node.kind, NodeKind::HardLink { .. }) {
        link.carrier = Some((node.layer, node.offset)).filter(|_| node.can_be_linked());
        return;
    }
    let target = split(&link.target);
    let is_in_layer = layer.root.find(&target).is_some();
    let found = layer.link_below(node.inode).and_then(|path| below.place_of_linked(path));
    link.carrier = found.as_ref().map(|(_, node)| (node.layer, node.offset));
    if let Some((place, _)) = found.filter(|_| !is_in_layer) {
        link.target = place.join(&b'/').into();
    }
}
