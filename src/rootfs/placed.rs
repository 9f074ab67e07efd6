//! The entries of a layer with their places in the image.

use super::layer_tree::{LayerTree, OPAQUE, ReadEntry, WHITEOUT, components, is_whiteout};
use super::merge::MergedTree;
use super::node::{NodeKind, Path, split};

/// A file of a layer: the number of the layer, and the offset of the entry with the content.
pub(crate) type Carrier = (u32, u64);

/// An entry of a layer with its place in the image.
pub(super) struct PlacedEntry {
    pub(super) offset: u64,
    /// The path without links of the layer, joined. That of a whiteout is the path that it hides.
    pub(super) place: Box<[u8]>,
    pub(super) kind: PlacedKind,
    /// The path of the entry without links, if its own path leads through links.
    pub(super) moved: Option<Vec<u8>>,
    pub(super) link: Option<PlacedLink>,
}

/// The type of an entry, as far as other entries depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlacedKind {
    Directory,
    SymbolicLink,
    /// Any other entry that is not a directory.
    Other,
    Whiteout,
    /// The whiteout of all entries of a directory.
    Opaque,
}

/// The file to which a hard link leads.
pub(super) struct PlacedLink {
    /// The name that the link has as its target, without links.
    pub(super) target: Box<[u8]>,
    /// Whether the target of the entry leads through links.
    pub(super) is_through_links: bool,
    pub(super) carrier: Option<Carrier>,
}

/// Returns the place of an entry of a layer that is being read; `None` for the root.
pub(super) fn placed(tree: &LayerTree, entry: &ReadEntry<'_>) -> Option<PlacedEntry> {
    let offset = entry.header.start;
    let written = components(&entry.header.path).ok()?;
    let (name, parents) = written.split_last()?;
    if let Some(place) = entry.place {
        let (mut kind, mut link) = (PlacedKind::Other, None);
        match entry.header.flag() {
            b'1' => {
                let target = components(entry.header.target()).ok()?;
                let node = tree.root.find(place).filter(|node| !matches!(node.kind, NodeKind::HardLink { .. }));
                if node.is_some_and(|node| matches!(node.kind, NodeKind::Link { .. })) {
                    kind = PlacedKind::SymbolicLink;
                }
                let carrier = node.map(|node| (node.layer, node.offset));
                let place = tree.place_of_file(&target);
                let is_through_links = place != target;
                link = Some(PlacedLink { target: place.join(&b'/').into(), is_through_links, carrier });
            }
            b'2' => kind = PlacedKind::SymbolicLink,
            b'5' => kind = PlacedKind::Directory,
            _ => {}
        }
        let end: &[u8] = if kind == PlacedKind::Directory { b"/" } else { b"" };
        let place_of = place.join(&b'/');
        let moved = (place != written.as_slice()).then(|| [&place_of, end].concat());
        return Some(PlacedEntry { offset, place: place_of.into(), kind, moved, link });
    }
    if !is_whiteout(&entry.header.path) {
        return None;
    }
    // A whiteout goes with the path that it hides, and that of all entries of a directory with the directory.
    let mut place = parents.to_vec();
    let kind = if **name == *OPAQUE { PlacedKind::Opaque } else { PlacedKind::Whiteout };
    if kind == PlacedKind::Whiteout {
        place.push(name.strip_prefix(WHITEOUT)?.into());
    }
    Some(PlacedEntry { offset, place: place.join(&b'/').into(), kind, moved: None, link: None })
}

/// Finds the place of a whiteout: links of the layer lead to it, also those that come after it.
fn settle_whiteout(entry: &mut PlacedEntry, layer: &LayerTree) {
    let written = split(&entry.place);
    let (parents, name) = match (entry.kind, written.split_last()) {
        (PlacedKind::Whiteout, Some((name, parents))) => (parents, Some(name)),
        _ => (written.as_slice(), None),
    };
    let place = layer.place(parents);
    if *place != *parents {
        let file = name.map_or_else(|| OPAQUE.to_vec(), |name| [WHITEOUT, name].concat());
        entry.moved = Some([place.join(&b'/'), file].join(&b'/'));
        entry.place = place.iter().chain(name).cloned().collect::<Path>().join(&b'/').into();
    }
}

/// Finds the place of a whiteout, and the file of a hard link that stands before its target, or leads to a file of the layers
/// below.
pub(super) fn settle(entry: &mut PlacedEntry, layer: &LayerTree, below: &MergedTree) {
    if matches!(entry.kind, PlacedKind::Whiteout | PlacedKind::Opaque) {
        return settle_whiteout(entry, layer);
    }
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
        link.is_through_links |= place != target;
        link.target = place.join(&b'/').into();
    }
}

/// Returns whether a path is below another one.
pub(super) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}
