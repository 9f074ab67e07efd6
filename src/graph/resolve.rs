//! Resolves references to manifests.

use std::collections::HashSet;
use std::path::Path;

use super::names::{Names, digest_in};
use super::platform::{Best, Chooser, Chosen, Platforms};
use super::walk::{Documents, Reach, walk};
use crate::error::{Candidate, Error, Result};
use crate::oci::{Descriptor, Digest, Index, Platform, Reference, is_short_digest};

/// How many digests are named where several begin alike.
pub(crate) const NAMED_CANDIDATES: usize = 5;

/// How many manifests are described where several have one name.
const DESCRIBED_CANDIDATES: usize = 16;

/// The result of resolving a reference.
pub(crate) struct Found {
    /// How the names are read among which it was found.
    pub(crate) names: Names,
    /// The entries or the manifest.
    pub(crate) meant: Meant,
}

/// The meaning of a reference: a name, or a digest.
pub(crate) enum Meant {
    /// The entries of the index that bear a name, by their places: at least one.
    Named { name: String, places: Vec<usize> },
    /// The descriptor of a manifest with a digest: an entry of the index, or of a nested one.
    Manifest(Box<Descriptor>),
}

impl Found {
    /// Returns the entries of the name, or the descriptor of the digest.
    pub(crate) fn entries<'a>(&'a self, index: &'a Index) -> Vec<&'a Descriptor> {
        match &self.meant {
            Meant::Named { places, .. } => places.iter().map(|at| &index.manifests[*at]).collect(),
            Meant::Manifest(descriptor) => vec![descriptor],
        }
    }
}

/// Resolves references among the entries of an index.
pub(crate) struct Resolver<'a> {
    /// How the ref names are read.
    pub(crate) names: Names,
    pub(crate) index: &'a Index,
    pub(crate) documents: &'a dyn Documents,
    /// The path that errors name.
    pub(crate) path: &'a Path,
}

impl Resolver<'_> {
    /// Resolves a reference. A digest in it selects the manifest with that digest, regardless of ref names.
    pub(crate) fn find(&self, reference: &str) -> Result<Found> {
        let digest = digest_in(reference);
        if let Some(digest) = digest.as_ref().filter(|digest| digest.as_str() == reference) {
            let descriptor = self.by_digest(&self.names, digest)?.ok_or_else(|| self.unknown(reference))?;
            return Ok(self.manifest(&self.names, descriptor));
        }
        // A name may have a digest in it, and one may follow a name.
        if let Some(found) = self.named(&self.names, reference, digest.as_ref()) {
            return Ok(found);
        }
        if let Some((name, said)) = reference.rsplit_once('@') {
            let digest = said.parse::<Digest>()?;
            if let Some(found) = self.named(&self.names, name, Some(&digest)) {
                return Ok(found);
            }
            if let Some(found) = self.inside(&self.names, name, &digest)? {
                return Ok(found);
            }
        }
        if let Some(found) = self.in_repository(reference)? {
            return Ok(found);
        }
        self.by_beginning(reference)
    }

    /// Resolves a reference in the repository that it names.
    fn in_repository(&self, reference: &str) -> Result<Option<Found>> {
        let Ok(Reference { repository, tag, digest }) = reference.parse() else { return Ok(None) };
        let Some(names) = self.names.of_repository(&repository) else { return Ok(None) };
        match (tag, digest) {
            (Some(tag), digest) => match (self.named(&names, tag.as_str(), digest.as_ref()), digest) {
                (None, Some(digest)) => self.inside(&names, tag.as_str(), &digest),
                (found, _) => Ok(found),
            },
            (None, Some(digest)) => {
                let found = self.by_digest(&names, &digest)?;
                Ok(found.map(|descriptor| self.manifest(&names, descriptor)))
            }
            (None, None) => Ok(None),
        }
    }

    /// Finds the entries that bear a name, of those with a digest if one is said.
    fn named(&self, names: &Names, name: &str, digest: Option<&Digest>) -> Option<Found> {
        let mut places = names.bearers(&self.index.manifests, name);
        places.retain(|at| digest.is_none_or(|digest| self.index.manifests[*at].digest == *digest));
        let meant = Meant::Named { name: name.to_owned(), places };
        (!matches!(&meant, Meant::Named { places, .. } if places.is_empty()))
            .then(|| Found { names: names.clone(), meant })
    }

    /// Finds the manifest of a digest in the indexes that bear a name.
    fn inside(&self, names: &Names, name: &str, digest: &Digest) -> Result<Option<Found>> {
        let places = names.bearers(&self.index.manifests, name);
        let entries = places.iter().map(|at| &self.index.manifests[*at]);
        let found = self.listed_by(entries, digest)?;
        Ok(found.map(|descriptor| self.manifest(names, descriptor)))
    }

    fn manifest(&self, names: &Names, descriptor: Descriptor) -> Found {
        Found { names: names.clone(), meant: Meant::Manifest(Box::new(descriptor)) }
    }

    /// Returns the one manifest that is meant: the first of the entries, if all are of that.
    ///
    /// # Errors
    ///
    /// [`Error::AmbiguousName`].
    pub(crate) fn one(&self, found: &Found, reference: &str) -> Result<Descriptor> {
        let entries = found.entries(self.index);
        if entries.iter().any(|entry| entry.digest != entries[0].digest) {
            return Err(by_platform(self.ambiguous(reference, &entries)));
        }
        Ok(entries[0].clone())
    }

    /// Returns the error for a name of several manifests.
    pub(crate) fn ambiguous(&self, reference: &str, entries: &[&Descriptor]) -> Error {
        let mut seen = HashSet::new();
        let mut entries = entries.to_vec();
        entries.retain(|entry| seen.insert(&entry.digest));
        let count = entries.len();
        entries.truncate(DESCRIBED_CANDIDATES);
        let candidates = entries.into_iter().map(|entry| Candidate {
            digest: entry.digest.clone(),
            image_name: entry.image_name().map(str::to_owned),
            platforms: self.platforms(entry),
        });
        Error::AmbiguousName {
            path: self.path.to_owned(),
            reference: reference.to_owned(),
            candidates: candidates.collect(),
            count,
            by_platform: false,
        }
    }

    /// Returns the platforms of an entry: that of an image, or those of the images that an index lists.
    fn platforms(&self, entry: &Descriptor) -> Vec<String> {
        let mut platforms = Vec::new();
        let mut read = Platforms::new(self.documents);
        for visit in walk(self.documents, [entry], Reach::Indexes) {
            if visit.entry.media_type.is_index() || visit.entry.is_attestation() {
                continue;
            }
            let platform = read.of(&visit.entry).map(|platform| platform.to_string());
            platforms.extend(platform.filter(|platform| !platforms.contains(platform)));
        }
        platforms
    }

    /// Finds the manifest of a digest among the entries that are read by some names, and in their nested indexes.
    ///
    /// # Errors
    ///
    /// The error of reading an index that may list the digest, if no other index lists it.
    pub(crate) fn by_digest(&self, names: &Names, digest: &Digest) -> Result<Option<Descriptor>> {
        let entries = || self.index.manifests.iter().filter(|entry| names.of(entry).is_some());
        if let Some(entry) = entries().find(|entry| entry.digest == *digest) {
            return Ok(Some(entry.clone()));
        }
        self.listed_by(entries(), digest)
    }

    /// Finds the manifest of a digest among some entries and the entries of their indexes.
    ///
    /// # Errors
    ///
    /// The error of an index that cannot be read and may list it, if no other does.
    fn listed_by<'e>(
        &self,
        entries: impl IntoIterator<Item = &'e Descriptor>,
        digest: &Digest,
    ) -> Result<Option<Descriptor>> {
        let mut unreadable = None;
        for visit in walk(self.documents, entries, Reach::Indexes) {
            if visit.entry.digest == *digest {
                return Ok(Some(visit.entry.into_owned()));
            }
            unreadable = unreadable.or(visit.leads_to().err());
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// Finds the one manifest whose digest begins with some text.
    fn by_beginning(&self, beginning: &str) -> Result<Found> {
        let entries = self.index.manifests.iter().filter(|entry| self.names.of(entry).is_some());
        let mut candidates: Vec<Descriptor> = Vec::new();
        if is_short_digest(beginning) {
            for visit in walk(self.documents, entries, Reach::Indexes) {
                let is_new = candidates.iter().all(|found| found.digest != visit.entry.digest);
                if begins_with(&visit.entry.digest, beginning) && is_new {
                    candidates.push(visit.entry.into_owned());
                }
                // No more are named.
                if candidates.len() == NAMED_CANDIDATES {
                    break;
                }
            }
        }
        if candidates.len() > 1 {
            let digests = candidates.into_iter().map(|entry| entry.digest).take(NAMED_CANDIDATES).collect();
            return Err(Error::AmbiguousDigest { beginning: beginning.to_owned(), digests });
        }
        let descriptor = candidates.pop().ok_or_else(|| self.unknown(beginning))?;
        Ok(self.manifest(&self.names, descriptor))
    }

    pub(crate) fn unknown(&self, reference: &str) -> Error {
        Error::UnknownManifest { path: self.path.to_owned(), reference: reference.to_owned() }
    }
}

/// Returns whether a digest begins with a text, which has the algorithm or only digits.
pub(crate) fn begins_with(digest: &Digest, text: &str) -> bool {
    let digits = match text.split_once(':') {
        Some((algorithm, _)) if algorithm != digest.algorithm_name() => return false,
        Some((_, digits)) => digits,
        None => text,
    };
    digest.encoded().starts_with(digits)
}

impl Resolver<'_> {
    /// Narrows the entries of a name to those of one manifest: that which a platform names, if one is given.
    ///
    /// # Errors
    ///
    /// [`Error::AmbiguousName`]; [`Error::UnknownPlatform`]; [`Error::InsideIndex`] if the platform is that of one of several
    /// images in an index.
    pub(crate) fn one_entry(
        &self,
        found: &mut Found,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<Descriptor> {
        let Some(platform) = platform else { return self.one(found, reference) };
        let entries = found.entries(self.index);
        let best = self.best(&entries, reference, platform)?;
        let entry = entries[best.at].clone();
        if entry.digest != best.leaf.entry.digest && self.platforms(&entry).len() > 1 {
            return Err(Error::InsideIndex {
                path: self.path.to_owned(),
                reference: format!("{reference} for {platform}"),
            });
        }
        if let Meant::Named { places, .. } = &mut found.meant {
            places.retain(|at| self.index.manifests[*at].digest == entry.digest);
        }
        Ok(entry)
    }

    /// Returns the manifest for a platform among the entries that were found, and in their indexes.
    pub(crate) fn for_platform(&self, found: &Found, reference: &str, platform: &Platform) -> Result<Chosen> {
        let best = self.best(&found.entries(self.index), reference, platform)?;
        Ok(Chosen { descriptor: best.leaf.entry.clone(), choice: Some(best.choice_for(platform)) })
    }

    /// Returns the image that fits a platform best among some entries and in their indexes.
    ///
    /// # Errors
    ///
    /// [`Error::AmbiguousName`] if another one fits as well; [`Error::UnknownPlatform`].
    fn best(&self, entries: &[&Descriptor], reference: &str, platform: &Platform) -> Result<Best> {
        let mut chooser = Chooser::new(self.documents, std::slice::from_ref(platform));
        let Some(best) = chooser.choose(entries).into_iter().next().flatten() else {
            return Err(chooser.not_there(entries, reference, platform));
        };
        let rivals = chooser.rivals(entries, &best);
        if rivals.len() > 1 { Err(self.ambiguous(reference, &rivals)) } else { Ok(best) }
    }
}

/// Notes in an ambiguity error whether a platform distinguishes the manifests.
fn by_platform(error: Error) -> Error {
    match error {
        Error::AmbiguousName { path, reference, candidates, count, .. } => {
            let by_platform = candidates.iter().any(|one| one.platforms != candidates[0].platforms);
            Error::AmbiguousName { path, reference, candidates, count, by_platform }
        }
        error => error,
    }
}
