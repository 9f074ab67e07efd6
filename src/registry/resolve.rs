//! From a reference to the manifest in a repository.

use std::collections::HashSet;

use super::repository::Repository;
use crate::error::{Error, Result};
use crate::graph::platform::{Chosen, is_stored, not_stored};
use crate::graph::resolve::{Found, Meant, Resolver};
use crate::graph::walk::Documents;
use crate::layout::handle::Layout;
use crate::oci::{Descriptor, Digest, Index, Platform};
use crate::view::{ListingKind, View};

/// A manifest as a caller names it: by a reference, and by a platform where entries of one name differ in it.
///
/// ```
/// use regshape::registry::ManifestName;
///
/// let platform = "linux/arm64".parse().expect("a platform");
/// let name = ManifestName::from("v1").for_platform(&platform);
/// # let _ = name;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ManifestName<'a> {
    pub(crate) reference: &'a str,
    pub(crate) platform: Option<&'a Platform>,
}

impl<'a> From<&'a str> for ManifestName<'a> {
    fn from(reference: &'a str) -> Self {
        Self { reference, platform: None }
    }
}

impl<'a> From<&'a String> for ManifestName<'a> {
    fn from(reference: &'a String) -> Self {
        reference.as_str().into()
    }
}

/// A reference, and perhaps a platform.
impl<'a> From<(&'a str, Option<&'a Platform>)> for ManifestName<'a> {
    fn from((reference, platform): (&'a str, Option<&'a Platform>)) -> Self {
        Self { reference, platform }
    }
}

impl<'a> ManifestName<'a> {
    /// Takes, of the entries of the reference, that of an image for a platform.
    #[must_use]
    pub fn for_platform(self, platform: &'a Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }
}

impl Repository {
    /// Resolves a reference: a tag as it stands, an image name in any spelling that Docker takes, the tag of one, each
    /// perhaps with `@digest`; `repository:tag`, `repository@digest`; a digest, or the beginning of one that no other
    /// manifest's digest has.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownManifest`], [`Error::AmbiguousName`], [`Error::AmbiguousDigest`], [`Error::UnknownRepository`];
    /// [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve(&self, reference: &str) -> Result<Descriptor> {
        let resolve = || {
            let (layout, index) = self.contents()?;
            self.resolver(&layout, &index).one(&self.find(&layout, &index, reference)?, reference)
        };
        self.site.read_unlocked(resolve, |_| true)
    }

    /// Returns the entry that bears a tag, with all that it says: the first, if several of one manifest do.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`], [`Error::UnknownTag`], [`Error::AmbiguousName`]; [`Error::MalformedIndex`];
    /// [`Error::Io`].
    pub fn resolve_tag(&self, tag: &str) -> Result<Descriptor> {
        let (layout, index) = self.contents()?;
        self.entries(&index)?;
        let bears = |at: &usize| self.names.is_tagged(&index.manifests[*at], tag);
        let places: Vec<usize> = (0..index.manifests.len()).filter(bears).collect();
        if places.is_empty() {
            return Err(self.unknown_tag(tag));
        }
        let found = Found { names: self.names.clone(), meant: Meant::Named { name: tag.to_owned(), places } };
        self.resolver(&layout, &index).one(&found, tag)
    }

    /// Returns the descriptor of the manifest with a digest: an entry of `index.json`, or, with its platform, one of a
    /// nested index.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`], [`Error::UnknownManifest`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn resolve_manifest(&self, digest: &Digest) -> Result<Descriptor> {
        let resolve = || {
            let (layout, index) = self.contents()?;
            self.entries(&index)?;
            let resolver = self.resolver(&layout, &index);
            resolver.by_digest(&self.names, digest)?.ok_or_else(|| resolver.unknown(digest.as_str()))
        };
        self.site.read_unlocked(resolve, |_| true)
    }

    /// Returns the digest of the image, or of the index, if the entries refer to one only. Artifacts count if there is no image.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::MalformedIndex`]; [`Error::Io`].
    pub fn only_image(&self) -> Result<Option<Digest>> {
        let index = self.index()?;
        let entries: HashSet<&Digest> = self.entries(&index)?.into_iter().map(|entry| &entry.digest).collect();
        if entries.len() < 2 {
            return Ok(entries.into_iter().next().cloned());
        }
        let listings = View::of(self.layout()?)?.listings()?;
        let images = listings.into_iter().filter(|listing| listing.kind != ListingKind::Artifact);
        let mut images = images.map(|listing| listing.entry.digest).filter(|digest| entries.contains(digest));
        let first = images.next();
        let is_only = images.all(|digest| first.as_ref() == Some(&digest));
        Ok(first.filter(|_| is_only))
    }

    pub(crate) fn resolver<'a>(&'a self, documents: &'a dyn Documents, index: &'a Index) -> Resolver<'a> {
        Resolver { names: self.names.clone(), index, documents, path: self.path() }
    }

    /// Resolves a reference in an index.
    pub(crate) fn find(&self, documents: &dyn Documents, index: &Index, reference: &str) -> Result<Found> {
        self.entries(index)?;
        self.resolver(documents, index).find(reference)
    }

    /// Finds the entries that are to be changed, all of one manifest.
    pub(crate) fn find_entry(
        &self,
        layout: &Layout,
        index: &Index,
        name: ManifestName<'_>,
    ) -> Result<(Found, Descriptor)> {
        let mut found = self.find(layout, index, name.reference)?;
        let descriptor = self.resolver(layout, index).one_entry(&mut found, name.reference, name.platform)?;
        Ok((found, descriptor))
    }

    /// Returns the error for a manifest that is stored, of which `index.json` has no entry.
    pub(crate) fn inside_index(&self, reference: &str) -> Error {
        Error::InsideIndex { path: self.path().to_owned(), reference: reference.to_owned() }
    }

    pub(crate) fn unknown_tag(&self, tag: &str) -> Error {
        Error::UnknownTag { path: self.path().to_owned(), reference: tag.to_owned() }
    }
}

impl Repository {
    /// Resolves a reference as [`Repository::resolve`] does, and in an index chooses the manifest for a platform.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::choose`].
    pub fn resolve_for<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<Descriptor> {
        Ok(self.choose(name)?.descriptor)
    }

    /// Resolves a reference, and in an index chooses the manifest that fits a platform best: that of the wanted
    /// variant, or of the nearest lower one. It need not be stored.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve`]; [`Error::UnknownPlatform`].
    pub fn choose<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<Chosen> {
        let ManifestName { reference, platform } = name.into();
        let choose = || {
            let (layout, index) = self.contents()?;
            let (found, resolver) = (self.find(&layout, &index, reference)?, self.resolver(&layout, &index));
            match platform {
                None => Ok(Chosen { descriptor: resolver.one(&found, reference)?, choice: None }),
                Some(platform) => resolver.for_platform(&found, reference, platform),
            }
        };
        self.site.read_unlocked(choose, |_| true)
    }

    /// Resolves as [`Repository::choose`] does, for a caller that reads the manifest next.
    pub(crate) fn choose_stored(&self, name: ManifestName<'_>) -> Result<Chosen> {
        let ManifestName { reference, platform } = name;
        let (layout, index) = self.contents()?;
        let found = self.find(&layout, &index, reference)?;
        let resolver = self.resolver(&layout, &index);
        let Some(platform) = platform else {
            return Ok(Chosen { descriptor: resolver.one(&found, reference)?, choice: None });
        };
        let chosen = resolver.for_platform(&found, reference, platform)?;
        match &chosen.choice {
            Some(choice) if !is_stored(&layout, &chosen.descriptor) => {
                Err(not_stored(&layout, self.path(), &found.entries(&index), &choice.taken))
            }
            _ => Ok(chosen),
        }
    }
}
