//! From what somebody says to the manifest that is meant.

use std::path::Path;

use super::names::{Names, digest_in};
use super::{Error, Repository, Result};
use crate::layout::walk::{Documents, Reach, walk};
use crate::oci::{Descriptor, Digest, Index, Reference};

/// How many digits of a digest must be given at least: fewer are more likely a mistyped name.
const SHORTEST_BEGINNING: usize = 4;

/// How many digests are named where several begin alike.
const NAMED_CANDIDATES: usize = 5;

/// What somebody meant.
pub(in crate::layout) struct Found {
    /// How the names are read among which it was found.
    pub(in crate::layout) names: Names,
    /// The tag, if it was meant by one.
    pub(in crate::layout) tag: Option<String>,
    /// What leads to it: the entry of `index.json`, or that of a nested index.
    pub(in crate::layout) descriptor: Descriptor,
}

/// Finds what is meant among the entries of an index.
pub(in crate::layout) struct Resolver<'a> {
    /// How the ref names are read.
    pub(in crate::layout) names: Names,
    pub(in crate::layout) index: &'a Index,
    pub(in crate::layout) documents: &'a dyn Documents,
    /// What it is called where nothing is found.
    pub(in crate::layout) path: &'a Path,
}

impl Repository {
    /// Finds what a reference means: a tag as it stands, `repository:tag`, `repository@digest`, a digest, or a beginning of
    /// one that no other manifest's digest has.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownManifest`], [`Error::AmbiguousDigest`], [`Error::UnknownRepository`];
    /// [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve(&self, reference: &str) -> Result<Descriptor> {
        self.layout.read_unlocked(|| Ok(self.find(&self.index()?, reference)?.descriptor), |_| true)
    }

    /// Returns the first entry that bears a tag, with all that it says.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`], [`Error::UnknownTag`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve_tag(&self, tag: &str) -> Result<Descriptor> {
        let index = self.index()?;
        let entries = self.entries(&index)?;
        let entry = entries.into_iter().find(|entry| self.names.is_tagged(entry, tag));
        entry.cloned().ok_or_else(|| self.unknown_tag(tag))
    }

    /// Returns what leads to the manifest of a digest: an entry of `index.json`, or, with its platform, one of a nested
    /// index.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`], [`Error::UnknownManifest`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve_manifest(&self, digest: &Digest) -> Result<Descriptor> {
        let resolve = || {
            let index = self.index()?;
            self.entries(&index)?;
            let resolver = self.resolver(&index);
            resolver.by_digest(&self.names, digest)?.ok_or_else(|| resolver.unknown(digest.as_str()))
        };
        self.layout.read_unlocked(resolve, |_| true)
    }

    pub(super) fn resolver<'a>(&'a self, index: &'a Index) -> Resolver<'a> {
        Resolver { names: self.names.clone(), index, documents: &self.layout, path: self.layout.path() }
    }

    /// Finds what a reference means in an index.
    pub(super) fn find(&self, index: &Index, reference: &str) -> Result<Found> {
        self.entries(index)?;
        self.resolver(index).find(reference)
    }

    pub(super) fn unknown(&self, reference: &str) -> Error {
        Error::UnknownManifest { path: self.layout.path().to_owned(), reference: reference.to_owned() }
    }

    pub(super) fn unknown_tag(&self, tag: &str) -> Error {
        Error::UnknownTag { path: self.layout.path().to_owned(), reference: tag.to_owned() }
    }
}

impl Resolver<'_> {
    /// Finds what a reference means. A digest in it is what the manifest has, whatever ref names say.
    pub(in crate::layout) fn find(&self, reference: &str) -> Result<Found> {
        let digest = digest_in(reference);
        if let Some(digest) = digest.as_ref().filter(|digest| digest.as_str() == reference) {
            let descriptor = self.by_digest(&self.names, digest)?.ok_or_else(|| self.unknown(reference))?;
            return Ok(Found { names: self.names.clone(), tag: None, descriptor });
        }
        if let Some(found) = self.tagged(&self.names, reference)
            && digest.as_ref().is_none_or(|digest| *digest == found.descriptor.digest)
        {
            return Ok(found);
        }
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (reference, None),
        };
        // A tag, and what it must lead to.
        if let Some(found) = digest.as_ref().and_then(|_| self.tagged(&self.names, name)) {
            return self.with_digest(found, digest, reference);
        }
        if let Some(found) = self.in_repository(reference)? {
            return self.with_digest(found, digest, reference);
        }
        self.by_beginning(reference)
    }

    /// Finds what a reference means in the repository that it says.
    fn in_repository(&self, reference: &str) -> Result<Option<Found>> {
        let Ok(Reference { repository, tag, digest }) = reference.parse() else { return Ok(None) };
        let Some(names) = self.names.of_repository(&repository) else { return Ok(None) };
        match (tag, digest) {
            (Some(tag), _) => Ok(self.tagged(&names, tag.as_str())),
            (None, Some(digest)) => {
                let found = self.by_digest(&names, &digest)?;
                Ok(found.map(|descriptor| Found { names, tag: None, descriptor }))
            }
            (None, None) => Ok(None),
        }
    }

    fn tagged(&self, names: &Names, tag: &str) -> Option<Found> {
        let entry = self.index.manifests.iter().find(|entry| names.is_tagged(entry, tag))?;
        Some(Found { names: names.clone(), tag: Some(tag.to_owned()), descriptor: entry.clone() })
    }

    /// Checks that what was found has the digest that was said, if one was.
    fn with_digest(&self, found: Found, digest: Option<Digest>, reference: &str) -> Result<Found> {
        match digest {
            Some(digest) if digest != found.descriptor.digest => Err(self.unknown(reference)),
            _ => Ok(found),
        }
    }

    /// Finds the manifest of a digest among the entries that are read by some names, and in their nested indexes.
    ///
    /// # Errors
    ///
    /// What keeps an index from being read that may list it, if no other does.
    fn by_digest(&self, names: &Names, digest: &Digest) -> Result<Option<Descriptor>> {
        let entries = || self.index.manifests.iter().filter(|entry| names.of(entry).is_some());
        if let Some(entry) = entries().find(|entry| entry.digest == *digest) {
            return Ok(Some(entry.clone()));
        }
        let mut unreadable = None;
        for visit in walk(self.documents, entries(), Reach::Indexes) {
            if visit.entry.digest == *digest {
                return Ok(Some(visit.entry));
            }
            unreadable = unreadable.or(visit.leads_to().err());
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// Finds the one manifest whose digest begins with some text.
    fn by_beginning(&self, beginning: &str) -> Result<Found> {
        let is_meant = |digest: &Digest| match beginning.split_once(':') {
            Some((algorithm, digits)) => {
                digits.len() >= SHORTEST_BEGINNING
                    && digest.algorithm_name() == algorithm
                    && digest.encoded().starts_with(digits)
            }
            None => beginning.len() >= SHORTEST_BEGINNING && digest.encoded().starts_with(beginning),
        };
        let entries = self.index.manifests.iter().filter(|entry| self.names.of(entry).is_some());
        let mut candidates: Vec<Descriptor> = Vec::new();
        if could_begin_a_digest(beginning) {
            for visit in walk(self.documents, entries, Reach::Indexes) {
                let is_new = candidates.iter().all(|found| found.digest != visit.entry.digest);
                if is_meant(&visit.entry.digest) && is_new {
                    candidates.push(visit.entry);
                }
            }
        }
        if candidates.len() > 1 {
            let digests = candidates.into_iter().map(|entry| entry.digest).take(NAMED_CANDIDATES).collect();
            return Err(Error::AmbiguousDigest { beginning: beginning.to_owned(), digests });
        }
        let descriptor = candidates.pop().ok_or_else(|| self.unknown(beginning))?;
        Ok(Found { names: self.names.clone(), tag: None, descriptor })
    }

    pub(in crate::layout) fn unknown(&self, reference: &str) -> Error {
        Error::UnknownManifest { path: self.path.to_owned(), reference: reference.to_owned() }
    }
}

/// Tells whether documents are worth reading to find what text begins.
fn could_begin_a_digest(text: &str) -> bool {
    let digits = text.rsplit_once(':').map_or(text, |(_, digits)| digits);
    digits.len() >= SHORTEST_BEGINNING && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
