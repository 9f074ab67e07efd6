//! The entries of all layers of an image that are at some paths or below them, those too that upper layers hide.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::image_files::{ImageFiles, shown_path};
use super::implied::{ImpliedDirectory, State, state_of};
use super::merge::MergedTree;
use super::node::split;
use super::placed::{Carrier, PlacedEntry, PlacedKind, is_below, placed, settle};
use super::tree_tar::entry_of;
use crate::error::{FilesError, Result};
use crate::metrics::Progress;
use crate::tar::write::TarWriter;
use crate::tar::written_entry::EntryKind;

/// The entries of one layer that are at some paths or below them.
#[derive(Debug, Default)]
pub(crate) struct EntriesAtPaths {
    /// The offsets of these entries.
    pub(crate) entries: HashSet<u64>,
    /// The other hard links of the layer to files at these paths, by the offsets of their entries.
    pub(crate) links: HashMap<u64, Carrier>,
    /// The paths of other entries that stand below symbolic links, where such a link is at these paths.
    pub(crate) moved: HashMap<u64, Vec<u8>>,
    /// The targets of other hard links that lead through symbolic links, where such a link is at these paths.
    pub(crate) retargeted: HashMap<u64, Vec<u8>>,
    /// The directories that the layer has only as parents of entries at these paths. Without them a directory is missing,
    /// or an entry of the layers below appears in its place.
    directories: Vec<ImpliedDirectory>,
}

impl EntriesAtPaths {
    /// Returns whether the layer has nothing at these paths.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.links.is_empty() && self.moved.is_empty() && self.retargeted.is_empty()
    }

    /// Writes entries for the directories that would go with their last entry.
    pub(crate) fn write_directories(&self, writer: &mut dyn Write) -> io::Result<()> {
        let mut tar = TarWriter::new(writer);
        for directory in &self.directories {
            let name = [&directory.place, &b"/"[..]].concat();
            tar.begin(&entry_of(&name, EntryKind::Directory, &directory.attributes))?;
        }
        Ok(())
    }
}

/// The entries of a layer with their places in the image.
struct PlacedLayer {
    entries: Vec<PlacedEntry>,
    implied: Vec<ImpliedDirectory>,
}

impl ImageFiles {
    /// Finds the entries at some paths or below them in all layers. Each layer is read once. Where a directory of a path is
    /// a link, the entries below the directory to which it leads are found too.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoPath`] for a path that no layer has; those of reading a layer.
    pub(crate) fn entries_at(&mut self, paths: &[Vec<u8>], progress: Progress<'_>) -> Result<Vec<EntriesAtPaths>> {
        let mut tree = MergedTree::default();
        let mut layers = Vec::new();
        for number in 0..self.layer_count() {
            let mut entries = Vec::new();
            let layer = self.read_each(number, progress, |tree, entry| {
                entries.extend(placed(tree, &entry));
                Ok(())
            })?;
            entries.iter_mut().for_each(|entry| settle(entry, &layer, &tree));
            let implied = layer.implied_directories();
            let position = layer.layer();
            tree.apply_tree(layer);
            let implied = implied.into_iter().filter_map(|path| ImpliedDirectory::of(&path, position, &tree)).collect();
            layers.push(PlacedLayer { entries, implied });
        }
        let mut wanted = WantedPaths { paths: Vec::new(), are_found: vec![false; paths.len()], has_links: false };
        for (at, path) in paths.iter().enumerate() {
            let path = split(path);
            wanted.paths.push((at, path.join(&b'/')));
            // The path as users see it may lead through links.
            if let Some((name, parents)) = path.split_last()
                && let Ok((mut place, _)) = tree.resolve(parents)
                && place != parents
            {
                place.push(name.clone());
                wanted.paths.push((at, place.join(&b'/')));
            }
        }
        let found = layers.iter().map(|layer| wanted.find(layer)).collect();
        match wanted.are_found.iter().position(|is_found| !is_found) {
            Some(at) => Err(FilesError::NoPath { path: shown_path(&paths[at]) }.into()),
            None => Ok(found),
        }
    }
}

/// Paths that are looked for.
struct WantedPaths {
    /// The paths, each with the number of the one that was asked for.
    paths: Vec<(usize, Vec<u8>)>,
    are_found: Vec<bool>,
    /// Whether a layer has a symbolic link at a path.
    has_links: bool,
}

impl WantedPaths {
    /// Returns the number of the path that a place is at or below.
    fn of(&self, place: &[u8]) -> Option<usize> {
        let covers = |path: &[u8]| place == path || is_below(place, path);
        self.paths.iter().find(|(_, path)| covers(path)).map(|(at, _)| *at)
    }

    fn find(&mut self, layer: &PlacedLayer) -> EntriesAtPaths {
        let mut found = EntriesAtPaths::default();
        let mut others = Vec::new();
        // Links of the layer itself, which lead to the places of its entries.
        let mut has_links = false;
        for entry in &layer.entries {
            if let Some(at) = self.of(&entry.place) {
                self.are_found[at] = true;
                has_links |= entry.kind == PlacedKind::SymbolicLink;
                found.entries.insert(entry.offset);
                continue;
            }
            let link = entry.link.as_ref().filter(|link| self.of(&link.target).is_some());
            match link.map(|link| link.carrier) {
                // Another entry of the layer takes the place of this link, whose target goes.
                Some(None) => drop(found.entries.insert(entry.offset)),
                Some(Some(carrier)) => drop(found.links.insert(entry.offset, carrier)),
                None => {}
            }
            others.push(entry);
        }
        others.retain(|entry| !found.entries.contains(&entry.offset));
        self.has_links |= has_links;
        for entry in others.iter().filter(|_| has_links) {
            found.moved.extend(entry.moved.clone().map(|path| (entry.offset, path)));
        }
        for entry in others.iter().filter(|entry| self.has_links && !found.links.contains_key(&entry.offset)) {
            let link = entry.link.as_ref().filter(|link| link.is_through_links && link.carrier.is_some());
            found.retargeted.extend(link.map(|link| (entry.offset, link.target.to_vec())));
        }
        found.directories = self.directories_to_keep(layer, &found, &others);
        found
    }

    /// Returns the directories that need an entry when entries below them go. The others are those that need none.
    fn directories_to_keep(
        &self,
        layer: &PlacedLayer,
        found: &EntriesAtPaths,
        others: &[&PlacedEntry],
    ) -> Vec<ImpliedDirectory> {
        let mut parents: HashSet<&[u8]> = HashSet::new();
        for entry in layer.entries.iter().filter(|entry| found.entries.contains(&entry.offset)) {
            let slashes = entry.place.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            parents.extend(slashes.map(|(slash, _)| &entry.place[..slash]));
            // A whiteout of all entries makes the directory that it is in.
            parents.extend((entry.kind == PlacedKind::Opaque).then_some(&*entry.place));
        }
        let mut kept: Vec<ImpliedDirectory> = Vec::new();
        let candidates = layer.implied.iter().filter(|directory| parents.contains(&*directory.place));
        // The lower ones first: an entry for a directory keeps its parents too.
        for directory in candidates.rev().filter(|directory| self.of(&directory.place).is_none()) {
            let is_needed = match state_of(&directory.place, others) {
                State::Directory => false,
                State::Nothing => directory.is_new,
                State::File => true,
            };
            let is_parent = kept.iter().any(|other| is_below(&other.place, &directory.place));
            if is_needed && !is_parent {
                kept.push(directory.clone());
            }
        }
        kept.reverse();
        kept
    }
}
