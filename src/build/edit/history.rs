//! The entries of a history, and the layers that they belong to.

use crate::oci::UnknownFields;

/// Returns whether an entry belongs to a layer.
pub(crate) fn has_layer(entry: &UnknownFields) -> bool {
    entry.get::<bool>("empty_layer").ok().flatten() != Some(true)
}

/// Returns the place of a layer's entry in a history.
pub(super) fn place_of(history: &[UnknownFields], layer: usize) -> Option<usize> {
    let mut layers = history.iter().enumerate().filter(|(_, entry)| has_layer(entry));
    layers.nth(layer).map(|(at, _)| at)
}

/// Moves the entry of a layer. Entries without a layer stay in their places.
pub(super) fn move_entry(history: &mut [UnknownFields], from: usize, to: usize) {
    let places: Vec<usize> =
        history.iter().enumerate().filter(|(_, entry)| has_layer(entry)).map(|(at, _)| at).collect();
    if from.max(to) >= places.len() {
        return;
    }
    let mut entries: Vec<UnknownFields> = places.iter().map(|at| history[*at].clone()).collect();
    let entry = entries.remove(from);
    entries.insert(to, entry);
    for (at, entry) in places.into_iter().zip(entries) {
        history[at] = entry;
    }
}

/// Returns the number of entries that belong to the lowest layers: those of the layers, and those without a layer that follow
/// them.
pub(crate) fn entries_of_lowest(history: &[UnknownFields], layers: usize) -> usize {
    if layers == 0 {
        return 0;
    }
    place_of(history, layers).unwrap_or(history.len())
}
