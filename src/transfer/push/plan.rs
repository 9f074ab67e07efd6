//! What a push sends: found, read and checked before the first request.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::options::PushOptions;
use crate::error::{Error, PushError, Referrer, Result};
use crate::graph::walk::{Document, Role, read_entry};
use crate::oci::{Descriptor, Digest, Manifest, Tag};
use crate::tally::Tally;
use crate::view::index_view::View;
use crate::view::reach::MissingBlobs;

/// The most indexes within each other.
const DEPTH_LIMIT: usize = 64;

/// A push before anything is sent.
#[derive(Clone, Debug)]
pub struct PushPlan {
    pub(super) view: Arc<View>,
    pub(super) images: Vec<PlannedPush>,
    /// All documents, each after those that it refers to.
    pub(super) documents: Vec<PlannedDocument>,
    /// All blobs, the largest first.
    pub(super) blobs: Vec<Descriptor>,
    /// The missing blobs that are left out.
    pub(super) left_out: Vec<Descriptor>,
}

/// An image to push: an entry of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedPush {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// The tags that it gets; none if it is pushed by its digest.
    pub tags: Vec<Tag>,
    /// The blobs that it needs, in the order of its manifests.
    pub blobs: Vec<Descriptor>,
    /// Whether it refers to another image of the push, such as a signature: it gets no tag, and comes after its subject.
    pub is_referrer: bool,
}

/// A manifest or index to send.
#[derive(Clone, Debug)]
pub(super) struct PlannedDocument {
    pub(super) descriptor: Descriptor,
    /// The documents that it refers to.
    pub(super) children: Vec<Digest>,
    /// The blobs that it refers to.
    pub(super) blobs: Vec<Descriptor>,
    pub(super) subject: Option<Descriptor>,
    /// What a list of referrers says of it.
    pub(super) as_referrer: Descriptor,
}

impl PlannedDocument {
    /// Returns the documents that go before this one: those that it lists, and its subject.
    pub(super) fn referred_to(&self) -> impl Iterator<Item = &Digest> {
        self.children.iter().chain(self.subject.iter().map(|subject| &subject.digest))
    }
}

impl View {
    /// Plans a push of all images of this view: reads every document, and finds every blob.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the document that refers to it; [`Error::SizeMismatch`]; [`PushError`]; the errors of
    /// reading a document.
    pub fn plan_push(&self, options: &PushOptions) -> Result<PushPlan> {
        let missing = if options.allow_missing { MissingBlobs::LeftOut } else { MissingBlobs::Error };
        let mut planner = Planner {
            view: self,
            missing,
            documents: Vec::new(),
            done: HashMap::new(),
            blobs: BTreeMap::new(),
            left_out: BTreeMap::new(),
            open: HashSet::new(),
        };
        let entries = &self.index().manifests;
        if entries.is_empty() {
            return Err(PushError::NoImages { path: self.path().to_owned() }.into());
        }
        let images = entries.iter().map(|entry| planner.image(entry)).collect::<Result<Vec<_>>>()?;
        let mut images = images;
        planner.mark_referrers(&mut images);
        let images = with_tags(images, options)?;
        let mut blobs: Vec<Descriptor> = planner.blobs.into_values().collect();
        blobs.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.digest.cmp(&other.digest)));
        let left_out = planner.left_out.into_values().collect();
        Ok(PushPlan { images, documents: planner.documents, blobs, left_out, view: Arc::new(self.clone()) })
    }
}

impl PushPlan {
    /// Returns the images.
    pub fn images(&self) -> &[PlannedPush] {
        &self.images
    }

    /// Returns the blobs and documents that an empty registry would get.
    pub fn totals(&self) -> Tally {
        let mut tally = Tally::default();
        self.blobs.iter().for_each(|blob| tally.add(blob.size));
        tally
    }

    /// Returns the missing blobs that are left out.
    pub fn left_out(&self) -> &[Descriptor] {
        &self.left_out
    }
}

/// Gives each image its tags.
fn with_tags(mut images: Vec<PlannedPush>, options: &PushOptions) -> Result<Vec<PlannedPush>> {
    if !options.tags.is_empty() || options.digest.is_some() {
        let named: Vec<&PlannedPush> = images.iter().filter(|image| !image.is_referrer).collect();
        let count = named.len();
        // Several names of one manifest are several entries.
        let Some(first) = named.first().map(|image| image.descriptor.digest.clone()) else {
            return Err(PushError::SeveralImages { count: images.len() }.into());
        };
        if named.iter().any(|image| image.descriptor.digest != first) {
            return Err(PushError::SeveralImages { count }.into());
        }
        if let Some(expected) = options.digest.as_ref().filter(|expected| **expected != first) {
            return Err(PushError::OtherDigest { expected: expected.clone(), actual: first }.into());
        }
        let mut is_first = true;
        images.retain(|image| image.is_referrer || std::mem::take(&mut is_first));
        images.iter_mut().filter(|image| !image.is_referrer).for_each(|image| image.tags.clone_from(&options.tags));
        return Ok(images);
    }
    let mut by_tag: HashMap<Tag, Digest> = HashMap::new();
    let mut with_own: Vec<PlannedPush> = Vec::new();
    for mut image in images {
        let digest = image.descriptor.digest.clone();
        // The image name is a name only where there is no ref name.
        let own = image.descriptor.ref_name().or_else(|| image.descriptor.image_name()).map(str::to_owned);
        if let Some(name) = own {
            let tag = tag_of(&name).ok_or_else(|| PushError::NoTag { name: name.clone(), digest: digest.clone() })?;
            match by_tag.insert(tag.clone(), digest.clone()) {
                Some(other) if other != digest => {
                    return Err(PushError::SameTag { tag: tag.to_string(), one: other, other: digest }.into());
                }
                Some(_) => {}
                None => image.tags.push(tag),
            }
        }
        match with_own.iter_mut().find(|known| known.descriptor.digest == digest) {
            Some(known) => known.tags.extend(image.tags),
            None => with_own.push(image),
        }
    }
    Ok(with_own)
}

/// Returns the tag that a ref name means: itself, or what follows the last colon of a whole name.
fn tag_of(name: &str) -> Option<Tag> {
    let name = name.split_once('@').map_or(name, |(before, _)| before);
    match name.rsplit_once(':') {
        Some((_, tag)) => tag.parse().ok(),
        None => name.parse().ok(),
    }
}

struct Planner<'a> {
    view: &'a View,
    missing: MissingBlobs,
    documents: Vec<PlannedDocument>,
    /// The documents that were planned, and the blobs below each.
    done: HashMap<Digest, Arc<Vec<Descriptor>>>,
    blobs: BTreeMap<Digest, Descriptor>,
    left_out: BTreeMap<Digest, Descriptor>,
    /// The documents that are being planned.
    open: HashSet<Digest>,
}

impl Planner<'_> {
    fn image(&mut self, entry: &Descriptor) -> Result<PlannedPush> {
        let blobs = match self.document(entry, None)? {
            Some(blobs) => blobs.to_vec(),
            None => return Err(self.view.missing(&entry.digest, &Referrer::Index)),
        };
        Ok(PlannedPush { descriptor: entry.clone(), tags: Vec::new(), blobs, is_referrer: false })
    }

    /// Marks the images without a name whose subject is pushed, too.
    fn mark_referrers(&self, images: &mut [PlannedPush]) {
        let subjects: HashMap<&Digest, &Digest> = self
            .documents
            .iter()
            .filter_map(|document| Some((&document.descriptor.digest, &document.subject.as_ref()?.digest)))
            .collect();
        for image in images.iter_mut().filter(|image| !image.descriptor.is_named()) {
            let subject = subjects.get(&image.descriptor.digest);
            image.is_referrer = subject.is_some_and(|subject| self.done.contains_key(*subject));
        }
    }

    /// Plans a document and what is below it. Returns the blobs below it; `None` if it is missing and may be.
    fn document(&mut self, entry: &Descriptor, referrer: Option<&Digest>) -> Result<Option<Arc<Vec<Descriptor>>>> {
        let digest = &entry.digest;
        if let Some(blobs) = self.done.get(digest) {
            return Ok(Some(Arc::clone(blobs)));
        }
        let from = Referrer::of_entry(referrer);
        let missing = self.missing.of_listed(&from);
        let Some(content) = self.view.reach(entry, &from, missing).map_err(|error| self.by_platform(error))? else {
            self.left_out.insert(digest.clone(), entry.clone());
            return Ok(None);
        };
        if self.open.len() >= DEPTH_LIMIT {
            return Err(PushError::TooDeep { limit: DEPTH_LIMIT }.into());
        }
        if !self.open.insert(digest.clone()) {
            return Err(PushError::Cycle { digest: digest.clone() }.into());
        }
        let document = read_entry(self.view, entry, referrer)?;
        let Some(document) = document else {
            return Err(PushError::NotADocument { digest: digest.clone(), media_type: entry.media_type.clone() }.into());
        };
        let as_referrer = as_referrer(entry, &document, content.size());
        let subject = document.subject().cloned();
        let are_entries = matches!(document, Document::Index(_));
        let (mut children, mut own, mut below) = (Vec::new(), Vec::new(), Vec::new());
        for part in document.into_parts() {
            if Role::of_part(&part, are_entries) == Role::Blob {
                if self.blob(&part, digest)? {
                    own.push(part.clone());
                }
                below.push(part);
            } else if let Some(blobs) = self.document(&part, Some(digest))? {
                children.push(part.digest);
                below.extend(blobs.iter().cloned());
            }
        }
        let mut seen = HashSet::new();
        below.retain(|blob| seen.insert(blob.digest.clone()));
        self.open.remove(digest);
        let below = Arc::new(below);
        self.done.insert(digest.clone(), Arc::clone(&below));
        let descriptor = Descriptor { size: content.size(), ..entry.clone() };
        self.documents.push(PlannedDocument { descriptor, children, blobs: own, subject, as_referrer });
        Ok(Some(below))
    }

    /// Plans a blob. Returns whether it is there.
    fn blob(&mut self, blob: &Descriptor, referrer: &Digest) -> Result<bool> {
        let found = self.view.reach(blob, &Referrer::Document(referrer.clone()), self.missing)?;
        let map = if found.is_some() { &mut self.blobs } else { &mut self.left_out };
        map.entry(blob.digest.clone()).or_insert_with(|| blob.clone());
        Ok(found.is_some())
    }

    fn by_platform(&self, error: Error) -> Error {
        match &error {
            Error::MissingBlob { .. } => self.view.by_platform(error),
            _ => error,
        }
    }
}

/// Returns what a list of referrers says of a document: its type, size and annotations (distribution-spec, "Pushing Manifests
/// with Subject").
fn as_referrer(entry: &Descriptor, document: &Document, size: u64) -> Descriptor {
    let (artifact_type, annotations) = match document {
        Document::Manifest(manifest) => (artifact_type(manifest), manifest.annotations.clone()),
        Document::Index(index) => (index.artifact_type.clone(), index.annotations.clone()),
        Document::Other(_) => (None, None),
    };
    let mut descriptor = Descriptor::new(entry.media_type.clone(), entry.digest.clone(), size);
    descriptor.artifact_type = artifact_type;
    descriptor.annotations = annotations;
    descriptor
}

fn artifact_type(manifest: &Manifest) -> Option<String> {
    manifest.artifact_type.clone().or_else(|| Some(manifest.config.media_type.to_string()))
}
