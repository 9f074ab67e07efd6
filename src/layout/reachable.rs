//! Blobs that are reachable from a layout's documents, and deleting those that no longer are.

use std::collections::{HashMap, HashSet};

use super::handle::{Layout, Lock};
use super::links::LinkedDirectories;
use super::staging_file::Stage;
use crate::error::{Error, Referrer, Result};
use crate::fs::FileIdentity;
use crate::graph::walk::{Document, Documents, Reach, walk};
use crate::layout::links::{identity_of, targets_of};
use crate::oci::{Descriptor, Digest, Index};

impl Documents for Layout {
    fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
        let (file, _) = self.open_blob(digest, referrer)?;
        if digest.algorithm().is_some() {
            return self.read_opened_document(digest, &file);
        }
        let content = self.read_limited(digest, &file)?;
        self.metrics().count_read(content.len());
        Ok(content)
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        match self.open_blob(digest, &Referrer::Index) {
            Ok(_) => Ok(true),
            Err(Error::MissingBlob { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A layout that is not there has no documents.
impl Documents for Option<Layout> {
    fn read(&self, digest: &Digest, referrer: &Referrer) -> Result<Vec<u8>> {
        let missing = || Error::MissingBlob { digest: digest.clone(), referrer: referrer.clone() };
        self.as_ref().ok_or_else(missing)?.read(digest, referrer)
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        self.as_ref().map_or(Ok(false), |layout| layout.has(digest))
    }
}

/// The descriptors from which everything in use is reached.
pub(crate) struct Roots<'a> {
    pub(crate) index: &'a Index,
    pub(crate) staged: Option<Descriptor>,
}

impl Roots<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.index.manifests.iter().chain(&self.index.subject).chain(&self.staged)
    }
}

/// Returns the digests of the entries of `index.json`.
pub(crate) fn listed(index: &Index) -> HashSet<Digest> {
    index.manifests.iter().map(|entry| entry.digest.clone()).collect()
}

/// Returns the roots of all reachable content: the entries of `index.json`, its subject, the staged manifest.
pub(crate) fn roots<'a>(index: &'a Index, stage: &Stage) -> Roots<'a> {
    let staged = stage.manifest.as_ref();
    let staged = staged.map(|staged| Descriptor::new(staged.media_type.clone(), staged.digest.clone(), staged.size));
    Roots { index, staged }
}

/// Deletes those of some blobs that nothing names any more.
///
/// A blob that cannot be deleted stays: it is unreferenced, not wrong, and the documents are in their new state.
pub(crate) fn remove_unreferenced(layout: &Layout, lock: &Lock, index: &Index, stage: &Stage, candidates: Vec<Digest>) {
    // References from other layouts cannot be known here.
    if layout.shares_blobs() {
        return;
    }
    for digest in unreferenced(layout, index, stage, candidates) {
        let _ = layout.remove_blob(lock, &digest);
    }
}

/// Returns those of some blobs that neither the staging file nor anything that `index.json` leads to names, and that no link
/// points to that is named.
///
/// Where in doubt a blob counts as named: a document that cannot be read keeps all of them.
pub(crate) fn unreferenced(layout: &Layout, index: &Index, stage: &Stage, candidates: Vec<Digest>) -> Vec<Digest> {
    let mut left: HashMap<Digest, Option<FileIdentity>> = HashMap::new();
    left.extend(candidates.into_iter().map(|digest| (digest.clone(), identity_of(layout, &digest))));
    let mut linked = LinkedDirectories::default();
    let mut keep = |left: &mut HashMap<Digest, Option<FileIdentity>>, named: &Digest| {
        left.remove(named);
        let targets = targets_of(layout, named, &mut linked);
        if !targets.is_empty() {
            left.retain(|_, identity| identity.is_none_or(|identity| !targets.contains(&identity)));
        }
    };
    let roots = roots(index, stage);
    for named in stage.blobs().chain(roots.iter().map(|root| &root.digest)) {
        keep(&mut left, named);
    }
    let mut walk = walk(layout, roots.iter(), Reach::Subjects);
    while !left.is_empty() {
        let Some(visit) = walk.next() else { break };
        match visit.leads_to() {
            Ok(document) => document.iter().flat_map(Document::digests).for_each(|named| keep(&mut left, named)),
            Err(_) => return Vec::new(),
        }
    }
    left.into_keys().collect()
}
