//! Changes of an image index: the images that it lists, and annotations.

use std::collections::HashSet;

use super::change::annotate;
use super::place::{Picked, Target};
use crate::error::{EditError, Error, Result};
use crate::graph::index_members::{MAX_DEPTH, Member, PlatformContradiction, add_members};
use crate::graph::platform::{Chooser, Platforms};
use crate::graph::resolve::begins_with;
use crate::graph::walk::{Document, Reach, read_entry, walk};
use crate::layout::handle::Layout;
use crate::oci::{self, AnnotationChange, Descriptor, Digest, Index};

/// An index that is changed, before anything is written.
pub(super) struct IndexWork<'a> {
    layout: &'a Layout,
    /// The index, as it was named.
    name: &'a str,
    /// The new documents.
    pub(super) documents: Vec<Vec<u8>>,
    /// The documents that the index no longer refers to.
    pub(super) old: HashSet<Digest>,
    /// Those of them that were to be removed.
    pub(super) removed: HashSet<Digest>,
    pub(super) converted: bool,
    /// The added images whose descriptors had other platforms than their configs.
    pub(super) contradictions: Vec<PlatformContradiction>,
}

/// The future of an entry of an index.
enum Fate {
    Stays,
    Goes,
    Changes(Box<Descriptor>),
}

impl<'a> IndexWork<'a> {
    pub(super) fn new(layout: &'a Layout, name: &'a str) -> Self {
        let (old, removed) = (HashSet::new(), HashSet::new());
        Self { layout, name, documents: Vec::new(), old, removed, converted: false, contradictions: Vec::new() }
    }

    /// Reads the index of an entry.
    fn read(&self, entry: &Descriptor) -> Result<Index> {
        let image = || self.name.to_owned();
        match read_entry(self.layout, entry, None)? {
            Some(Document::Index(index)) => Ok(*index),
            Some(Document::Manifest(_)) => Err(EditError::NoIndex { image: image() }.into()),
            _ => Err(EditError::NoImage { image: image() }.into()),
        }
    }

    /// Adds images.
    pub(super) fn add(&mut self, entry: &Descriptor, added: Vec<Member>) -> Result<Option<Descriptor>> {
        let before = self.read(entry)?;
        let mut index = before.clone();
        self.contradictions = add_members(self.layout, &mut index, self.name, added)?;
        Ok(self.replace(entry, &before, index))
    }

    /// Changes the annotations of the index itself.
    pub(super) fn annotate(&mut self, entry: &Descriptor, change: &AnnotationChange) -> Result<Option<Descriptor>> {
        let before = self.read(entry)?;
        let mut index = before.clone();
        annotate(&mut index.annotations, change);
        Ok(self.replace(entry, &before, index))
    }

    /// Changes the annotations of the descriptors of images.
    pub(super) fn annotate_descriptors(
        &mut self,
        entry: &Descriptor,
        picked: &Picked,
        change: &AnnotationChange,
    ) -> Result<Option<Descriptor>> {
        let index = self.read(entry)?;
        let mut platforms = Platforms::new(self.layout);
        let fate = |child: &Descriptor| {
            if child.is_attestation() || !picked.has(&platforms.of(child)) {
                return Fate::Stays;
            }
            let mut changed = child.clone();
            annotate(&mut changed.annotations, change);
            Fate::Changes(Box::new(changed))
        };
        self.rewrite(entry, index, &mut { fate }, 0)
    }

    /// Removes the images that a target picks and manifests by their digests, with their attestations.
    pub(super) fn remove(&mut self, target: &Target, digests: &[String]) -> Result<Option<Descriptor>> {
        let Target { entry, picked, choices, .. } = target;
        let index = self.read(entry)?;
        if let Some(choice) = choices.iter().find(|choice| choice.is_lower_variant) {
            // A lower variant would do to run, and is not the one to remove.
            return Err(Chooser::new(self.layout, &[]).not_there(&[entry], self.name, &choice.asked));
        }
        let removed = self.to_remove(&index, picked, digests)?;
        let fate = |child: &Descriptor| {
            if removed.contains(&child.digest) || child.attests(&removed) { Fate::Goes } else { Fate::Stays }
        };
        let changed = self.rewrite(entry, index, &mut { fate }, 0)?;
        if let Some(changed) = &changed {
            let content = self.documents.last().expect("an index that changes has a document");
            let Document::Index(left) = Document::parse(changed, content)? else { return Ok(None) };
            if left.manifests.iter().all(Descriptor::is_attestation) {
                return Err(EditError::LastImage { image: self.name.to_owned() }.into());
            }
        }
        Ok(changed)
    }

    /// Returns the digests of the manifests to remove.
    fn to_remove(&self, index: &Index, picked: &Picked, digests: &[String]) -> Result<HashSet<Digest>> {
        let mut removed = HashSet::new();
        let mut found: Vec<Vec<Digest>> = vec![Vec::new(); digests.len()];
        let mut platforms = Platforms::new(self.layout);
        for visit in walk(self.layout, &index.manifests, Reach::Indexes) {
            let entry = &visit.entry;
            if let Picked::Platforms(_) = picked
                && !entry.is_attestation()
                && picked.has(&platforms.of(entry))
            {
                removed.insert(entry.digest.clone());
            }
            for (word, found) in digests.iter().zip(&mut found) {
                if begins_with(&entry.digest, word) && !found.contains(&entry.digest) {
                    found.push(entry.digest.clone());
                }
            }
        }
        for (word, found) in digests.iter().zip(found) {
            match found.len() {
                0 => return Err(EditError::NotListed { image: self.name.to_owned(), digest: word.clone() }.into()),
                1 => removed.extend(found),
                _ => return Err(Error::AmbiguousDigest { beginning: word.clone(), digests: found }),
            }
        }
        Ok(removed)
    }

    /// Rewrites an index and the indexes that are nested in it; `None` if nothing changes. A nested index without entries
    /// is left out.
    fn rewrite(
        &mut self,
        entry: &Descriptor,
        before: Index,
        fate: &mut dyn FnMut(&Descriptor) -> Fate,
        depth: usize,
    ) -> Result<Option<Descriptor>> {
        if depth > MAX_DEPTH {
            return Err(EditError::TooDeep { image: self.name.to_owned(), limit: MAX_DEPTH }.into());
        }
        let mut manifests = Vec::new();
        for child in &before.manifests {
            let nested = match child.is_index() {
                true => match read_entry(self.layout, child, Some(&entry.digest)) {
                    Ok(Some(Document::Index(nested))) => Some(*nested),
                    // An index that is listed need not be stored.
                    Ok(_) | Err(Error::MissingBlob { .. }) => None,
                    Err(error) => return Err(error),
                },
                false => None,
            };
            let fate_of_child = match (&nested, child.is_index()) {
                (_, false) => fate(child),
                (None, true) => Fate::Stays,
                (Some(_), true) => match fate(child) {
                    Fate::Goes => Fate::Goes,
                    _ => Fate::Stays,
                },
            };
            match (fate_of_child, nested) {
                (Fate::Goes, _) => self.forget(child),
                (Fate::Changes(changed), _) => manifests.push(*changed),
                (Fate::Stays, None) => manifests.push(child.clone()),
                (Fate::Stays, Some(nested)) => {
                    let was_empty = nested.manifests.is_empty();
                    match self.rewrite(child, nested, fate, depth + 1)? {
                        Some(changed) => {
                            let is_empty = self.is_empty(&changed);
                            if is_empty && !was_empty {
                                self.documents.pop();
                            } else {
                                manifests.push(changed);
                            }
                        }
                        None => manifests.push(child.clone()),
                    }
                }
            }
        }
        let index = Index { manifests, ..before.clone() };
        Ok(self.replace(entry, &before, index))
    }

    /// Returns whether the last document, that of a changed index, has no entries.
    fn is_empty(&self, changed: &Descriptor) -> bool {
        let document = self.documents.last().and_then(|content| Document::parse(changed, content).ok());
        matches!(document, Some(Document::Index(index)) if index.manifests.is_empty())
    }

    /// Notes that the index no longer lists an entry.
    fn forget(&mut self, entry: &Descriptor) {
        for visit in walk(self.layout, [entry], Reach::Manifests) {
            self.removed.insert(visit.entry.digest.clone());
            self.old.insert(visit.entry.digest.clone());
            if let Ok(Some(Document::Manifest(manifest))) = visit.leads_to() {
                self.old.insert(manifest.config.digest);
            }
        }
    }

    /// Keeps the new document of an index, and returns the entry for it; `None` if it is the same. An index of Docker's
    /// becomes one of the image-spec.
    fn replace(&mut self, entry: &Descriptor, before: &Index, mut index: Index) -> Option<Descriptor> {
        if index == *before {
            return None;
        }
        index.media_type = index.media_type.map(|media_type| media_type.to_oci());
        let mut new = entry.clone();
        new.media_type = new.media_type.to_oci();
        self.converted |= new.media_type != entry.media_type;
        let content = oci::to_blob(&index);
        new.describe(Digest::sha256_of(&content), &content);
        self.documents.push(content);
        self.old.insert(entry.digest.clone());
        Some(new)
    }
}
