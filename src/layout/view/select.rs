//! A part of a view: by reference, by annotation, by platform, with or without attestations and referrers.

use std::collections::{BTreeSet, HashSet};

use super::View;
use crate::layout::error::{Error, Result};
use crate::layout::registry::{Names, Resolver, platform_of};
use crate::layout::walk::{Document, Reach, Visit, read_entry, walk};
use crate::oci::{self, Annotations, Descriptor, Digest, Index, Platform};

/// How deep indexes may be nested in each other for a platform to be looked for in them.
const DEPTH: usize = 16;

/// Which part of a view is meant. Each step takes what the one before left, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The entries that these mean: ref names, digests, beginnings of digests, as
    /// [`Repository::resolve`](crate::layout::Repository::resolve) takes them. Without any all entries are meant.
    pub references: Vec<String>,
    /// Whether the first nested index takes the place of the index.
    pub unwrap: bool,
    /// The annotations that an entry of the index must have.
    pub annotations: Annotations,
    /// The platforms of the images that are meant; by default all. An index of which only some images are meant is replaced
    /// by one of these, or by the image if only one is left.
    pub platforms: Vec<Platform>,
    /// Whether attestations of BuildKit are left out.
    pub no_attestations: bool,
    /// Whether what refers to what is meant is meant too.
    pub referrers: bool,
}

impl View {
    /// Returns the part that is meant.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownManifest`], [`Error::AmbiguousDigest`]; [`Error::UnknownPlatform`] if nothing is for the platforms;
    /// [`Error::NothingSelected`]; what keeps a document from being read.
    pub fn select(&self, selection: &Selection) -> Result<Self> {
        let mut view = self.referenced(&selection.references)?;
        if selection.unwrap {
            view = view.unwrap_index(|_| true)?;
        }
        if !selection.annotations.is_empty() {
            let has = |entry: &Descriptor, key: &String, value: &String| {
                entry.annotations.as_ref().and_then(|annotations| annotations.get(key)) == Some(value)
            };
            view = view.filter(|entry| selection.annotations.iter().all(|(key, value)| has(entry, key, value)));
        }
        if !selection.platforms.is_empty() || selection.no_attestations {
            view = view.narrowed(selection)?;
        }
        if view.index.manifests.is_empty() && !self.index.manifests.is_empty() {
            return Err(Error::NothingSelected { path: self.path.clone() });
        }
        if selection.referrers { self.with_referrers(view) } else { Ok(view) }
    }

    /// Keeps the entries that some references mean.
    fn referenced(&self, references: &[String]) -> Result<Self> {
        if references.is_empty() {
            return Ok(self.clone());
        }
        let names = Names::AsTheyStand { default: None };
        let resolver = Resolver { names: names.clone(), index: &self.index, documents: self, path: &self.path };
        let mut manifests: Vec<Descriptor> = Vec::new();
        for reference in references {
            let found = resolver.find(reference)?;
            // Some programs give the images of one name a name each, instead of an index.
            let is_meant = |entry: &&Descriptor| match &found.tag {
                Some(tag) => found.names.is_tagged(entry, tag),
                None => false,
            };
            let meant = self.index.manifests.iter().filter(is_meant).cloned();
            let meant: Vec<_> = if found.tag.is_some() { meant.collect() } else { vec![found.descriptor] };
            for entry in meant {
                if !manifests.contains(&entry) {
                    manifests.push(entry);
                }
            }
        }
        Ok(self.with_index(Index { manifests, ..Index::clone(&self.index) }))
    }

    /// Keeps the images for some platforms, and their attestations unless these are left out.
    fn narrowed(&self, selection: &Selection) -> Result<Self> {
        let mut narrowing = Narrowing { view: self.clone(), selection, found: Vec::new() };
        let manifests = narrowing.entries(&self.index.manifests, DEPTH)?;
        // Whoever asks for several wants all of them.
        let is_there = |asked: &&Platform| narrowing.found.iter().any(|found| found.satisfies(asked));
        if let Some(missing) = selection.platforms.iter().find(|asked| !is_there(asked)) {
            let platforms: BTreeSet<String> = narrowing.found.iter().map(ToString::to_string).collect();
            let none = || vec!["no platform that it says".to_owned()];
            return Err(Error::UnknownPlatform {
                reference: self.path.display().to_string(),
                platform: Box::new(missing.clone()),
                platforms: if platforms.is_empty() { none() } else { platforms.into_iter().collect() },
            });
        }
        Ok(narrowing.view.with_index(Index { manifests, ..Index::clone(&self.index) }))
    }

    /// Adds what refers to what a part of this view has, and what refers to that.
    fn with_referrers(&self, part: Self) -> Result<Self> {
        let mut kept: HashSet<Digest> = HashSet::new();
        for visit in walk(&part, &part.index.manifests, Reach::Indexes) {
            kept.insert(visit.entry.digest);
        }
        let mut candidates = Vec::new();
        for Visit { entry, document } in walk(self, &self.index.manifests, Reach::Manifests) {
            // What cannot be read refers to nothing that is known.
            let Ok(Some(document)) = document else { continue };
            if let Some(subject) = document.subject() {
                candidates.push((subject.digest.clone(), entry));
            }
        }
        let mut manifests = part.index.manifests.clone();
        loop {
            let before = kept.len();
            for (subject, entry) in &candidates {
                if kept.contains(subject) && kept.insert(entry.digest.clone()) {
                    manifests.push(entry.clone());
                }
            }
            if kept.len() == before {
                break;
            }
        }
        Ok(part.with_index(Index { manifests, ..Index::clone(&part.index) }))
    }
}

/// The work of keeping images for some platforms. Indexes of which not all is kept are made anew.
struct Narrowing<'a> {
    /// The view, with the new indexes.
    view: View,
    selection: &'a Selection,
    /// The platforms of all images.
    found: Vec<Platform>,
}

impl Narrowing<'_> {
    /// Returns what is kept of the entries of an index.
    fn entries(&mut self, entries: &[Descriptor], depth: usize) -> Result<Vec<Descriptor>> {
        let mut kept = Vec::new();
        for entry in entries {
            if entry.is_attestation() {
                kept.push(Some(entry.clone()));
            } else if entry.is_index() && depth > 0 {
                kept.push(self.index(entry, depth - 1)?);
            } else {
                kept.push(self.is_meant(entry).then(|| entry.clone()));
            }
        }
        // An attestation goes with its image.
        let images: HashSet<Digest> =
            kept.iter().flatten().filter(|entry| !entry.is_attestation()).map(|entry| entry.digest.clone()).collect();
        let stays = |entry: &Descriptor| {
            !entry.is_attestation()
                || !self.selection.no_attestations && (self.selection.platforms.is_empty() || entry.attests(&images))
        };
        Ok(kept.into_iter().flatten().filter(stays).collect())
    }

    /// Tells whether a manifest is for one of the platforms.
    fn is_meant(&mut self, entry: &Descriptor) -> bool {
        if self.selection.platforms.is_empty() {
            return true;
        }
        let Some(platform) = platform_of(&self.view, entry) else { return false };
        let is_meant = self.selection.platforms.iter().any(|asked| platform.satisfies(asked));
        self.found.push(platform);
        is_meant
    }

    /// Returns what is kept of a nested index: itself, a smaller one, the one image that is left, or nothing.
    fn index(&mut self, entry: &Descriptor, depth: usize) -> Result<Option<Descriptor>> {
        let Some(Document::Index(index)) = read_entry(&self.view, entry, None)? else { return Ok(None) };
        let manifests = self.entries(&index.manifests, depth)?;
        if manifests == index.manifests {
            return Ok(Some(entry.clone()));
        }
        match manifests.as_slice() {
            [] => Ok(None),
            [image] if !image.is_index() || !self.selection.platforms.is_empty() => {
                let mut image = image.clone();
                let mut annotations = image.annotations.unwrap_or_default();
                annotations.extend(entry.annotations.clone().unwrap_or_default());
                image.annotations = (!annotations.is_empty()).then_some(annotations);
                Ok(Some(image))
            }
            _ => {
                let content = oci::to_blob(&Index { manifests, ..*index });
                let (view, made) = self.view.with_document(entry.media_type.clone(), content);
                self.view = view;
                Ok(Some(Descriptor { digest: made.digest, size: made.size, data: None, ..entry.clone() }))
            }
        }
    }
}
