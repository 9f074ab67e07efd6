//! The annotations that name the base of an image: they go when the layers of the base are no longer the lowest.

use super::change::ImageDocuments;
use super::history::has_layer;
use crate::build::manifest::{BASE_DIGEST, BASE_NAME};
use crate::graph::names::Names;
use crate::graph::resolve::Resolver;
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::handle::Layout;
use crate::oci::{self, Digest, ImageConfig, Manifest, UnknownFields};

/// Removes the annotations of the base from a changed image, unless the layers of the base are still the lowest (images,
/// "Base annotations"). Returns whether it had them.
///
/// Where the base is not stored, the history tells its layers: those below the layers that this program added. Without
/// a history the annotations stay as long as the lowest layer does.
pub(super) fn leave_base(layout: &Layout, before: &ImageDocuments, after: &mut ImageDocuments) -> bool {
    let (old, new) = (before.diff_ids(), after.diff_ids());
    let kept = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    if kept == old.len() {
        return false;
    }
    let of_base = |image: &ImageDocuments| image.manifest.annotations.as_ref()?.get(BASE_DIGEST).cloned();
    // A change that names another base has put its layers there.
    if of_base(before) != of_base(after) {
        return false;
    }
    let Some(annotations) = &mut after.manifest.annotations else { return false };
    let Some(digest) = annotations.get(BASE_DIGEST).and_then(|digest| digest.parse::<Digest>().ok()) else {
        return false;
    };
    let is_kept = match layers_of_base(layout, &digest, &old) {
        Some(count) => count <= kept,
        None => kept > 0 && layers_below_ours(before, old.len()) <= kept,
    };
    if is_kept {
        return false;
    }
    annotations.remove(BASE_DIGEST);
    annotations.remove(BASE_NAME);
    if annotations.is_empty() {
        after.manifest.annotations = None;
    }
    true
}

/// Returns the number of layers of the base, if it is stored and the image begins with them.
fn layers_of_base(layout: &Layout, digest: &Digest, diff_ids: &[Digest]) -> Option<usize> {
    let index = layout.read_index().ok()?;
    let names = Names::AsTheyStand { default: None };
    let base = Resolver { names, index: &index, documents: layout, path: layout.path() }.find(digest.as_str()).ok()?;
    let mut found = None;
    for visit in walk(layout, base.entries(&index), Reach::Manifests) {
        let Ok(Some(Document::Manifest(manifest))) = visit.leads_to() else { continue };
        let of_base = base_diff_ids(layout, &manifest);
        if !of_base.is_empty() && diff_ids.starts_with(&of_base) {
            found = found.max(Some(of_base.len()));
        }
    }
    found
}

fn base_diff_ids(layout: &Layout, manifest: &Manifest) -> Vec<Digest> {
    let content = layout.read_document_blob(&manifest.config.digest, &layout.caller());
    let config = content.ok().and_then(|content| oci::from_json::<ImageConfig>(&content).ok());
    config.map_or_else(Vec::new, |config| config.rootfs.diff_ids)
}

/// Returns the number of layers below those that the history says this program added.
fn layers_below_ours(image: &ImageDocuments, layers: usize) -> usize {
    let history = image.config.as_ref().and_then(|config| config.get::<Vec<UnknownFields>>("history").ok().flatten());
    let history = history.unwrap_or_default();
    if history.is_empty() {
        return 1;
    }
    let steps = history.iter().rev().filter(|entry| has_layer(entry));
    let is_ours = |entry: &&UnknownFields| {
        let step = entry.get::<String>("created_by").ok().flatten();
        step.is_some_and(|step| step.starts_with("regshape add layer"))
    };
    layers.saturating_sub(steps.take_while(is_ours).count())
}
