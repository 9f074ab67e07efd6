//! The images of builds: a new build takes its tags from the images of earlier ones.

use std::collections::HashSet;

use crate::error::Result;
use crate::graph::left_behind::left_behind;
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::commit::write_index_and_stage;
use crate::layout::handle::{Layout, Lock};
use crate::layout::staging_file::Stage;
use crate::layout::unreferenced::remove_unreferenced;
use crate::oci::{Descriptor, Digest, Index};

/// Gives the entries of a build the places of those that an earlier build made with the same tags. Returns the entries
/// that were replaced.
pub(super) fn take_places(index: &mut Index, entries: &[Descriptor], stage: &Stage) -> Vec<Descriptor> {
    let built = stage.built.as_deref().unwrap_or_default();
    let mut replaced = Vec::new();
    for entry in entries.iter().filter(|entry| entry.ref_name().is_some()) {
        let is_earlier = |other: &&mut Descriptor| {
            other.ref_name() == entry.ref_name() && other.digest != entry.digest && built.contains(&other.digest)
        };
        if let Some(other) = index.manifests.iter_mut().find(is_earlier) {
            replaced.push(std::mem::replace(other, entry.clone()));
        }
    }
    replaced
}

/// Returns the names of the referrers of images that lose a tag to a build. `made` are the documents of the build.
pub(super) fn left_behind_by(layout: &Layout, before: &Index, after: &Index, made: &HashSet<&Digest>) -> Vec<String> {
    let loses_tag = |entry: &&Descriptor| {
        let is_same = |new: &Descriptor| new.digest == entry.digest && new.ref_name() == entry.ref_name();
        entry.ref_name().is_some() && !after.manifests.iter().any(is_same)
    };
    let losers: Vec<&Descriptor> = before.manifests.iter().filter(loses_tag).collect();
    if losers.is_empty() {
        return Vec::new();
    }
    let of_losers: HashSet<Digest> =
        walk(layout, losers, Reach::Manifests).map(|visit| visit.entry.digest.clone()).collect();
    let old = of_losers.iter().filter(|digest| !made.contains(digest)).cloned().collect();
    left_behind(layout, before, &old, &of_losers)
}

/// Returns the staging file of a layout that a build makes. It records the entries of the build.
pub(super) fn first_stage(index: &Index) -> Stage {
    let mut stage = Stage::empty();
    stage.add_built(index.manifests.iter().map(|entry| &entry.digest), index);
    stage
}

/// Writes the index of a layout, and the staging file, which records the entries of a build. Deletes the documents of
/// replaced entries that nothing refers to; layers are left to garbage collection.
pub(super) fn write(
    layout: &Layout,
    lock: &Lock,
    index: &Index,
    entries: &[Descriptor],
    replaced: &[Descriptor],
) -> Result<()> {
    let before = layout.find_stage()?.unwrap_or_else(Stage::empty);
    let mut stage = before.clone();
    stage.add_built(entries.iter().map(|entry| &entry.digest), index);
    write_index_and_stage(layout, lock, index, &stage, [])?;
    let mut documents: Vec<Digest> = Vec::new();
    for visit in walk(layout, replaced, Reach::Manifests) {
        documents.push(visit.entry.digest.clone());
        if let Ok(Some(Document::Manifest(manifest))) = visit.leads_to() {
            documents.push(manifest.config.digest);
        }
    }
    remove_unreferenced(layout, lock, index, &stage, documents);
    Ok(())
}
