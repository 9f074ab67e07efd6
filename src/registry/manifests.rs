//! Manifests and indexes: reading, storing and deleting them.

use std::collections::BTreeSet;

use super::manifest_body::ManifestBody;
use super::repository::Repository;
use super::resolve::ManifestName;
use crate::check::documents::check_document;
use crate::check::report::MissingParts;
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::platform::{Choice, Chosen, Platforms};
use crate::graph::severity::may_be_missing;
use crate::graph::walk::{Document, Documents, with_lister};
use crate::layout::commit::write_index;
use crate::layout::document_files::fingerprint;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::oci::{Algorithm, Annotations, Descriptor, Digest, ImageConfig, Index, Platform, from_json};

/// A stored manifest and its descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StoredManifest {
    /// Its entry in `index.json`, or in a nested index.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Vec<u8>,
    /// The platform that was chosen, if one was asked for.
    pub choice: Option<Choice>,
}

/// A summary of a manifest or index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ManifestInfo {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// The type of the artifact that it says it is, or that its descriptor says.
    pub artifact_type: Option<String>,
    /// The platform: as its descriptor states it, or the config of the image.
    pub platform: Option<Platform>,
    /// The platforms that the descriptors in an index say.
    pub platforms: Vec<Platform>,
    /// Its subject.
    pub subject: Option<Descriptor>,
    /// Its own annotations.
    pub annotations: Annotations,
    /// Its tags, in the order of their bytes.
    pub tags: Vec<String>,
    /// The image names of its entries, in the order of their bytes.
    pub image_names: Vec<String>,
    /// The platform that was chosen, if one was asked for.
    pub choice: Option<Choice>,
    /// The config, if this is an image whose config is stored and can be read.
    pub config: Option<ImageConfig>,
}

impl Repository {
    /// Reads the manifest of a tag.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve_tag`]; [`Error::MissingBlob`], [`Error::DigestMismatch`], [`Error::TooLarge`].
    pub fn get_tag(&self, tag: &str) -> Result<StoredManifest> {
        self.site.read_unlocked(|| self.read(self.resolve_tag(tag)?), |_| true)
    }

    /// Reads the manifest of a digest.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve_manifest`]; [`Error::MissingBlob`], [`Error::DigestMismatch`], [`Error::TooLarge`].
    pub fn get_manifest(&self, digest: &Digest) -> Result<StoredManifest> {
        self.site.read_unlocked(|| self.read(self.resolve_manifest(digest)?), |_| true)
    }

    /// Reads the manifest that a reference means, and in an index that for a platform.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve_for`]; [`Error::MissingBlob`], [`Error::DigestMismatch`], [`Error::TooLarge`].
    pub fn get<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<StoredManifest> {
        let name = name.into();
        let get = || {
            let Chosen { descriptor, choice } = self.choose_stored(name)?;
            Ok(StoredManifest { choice, ..self.read(descriptor)? })
        };
        self.site.read_unlocked(get, |_| true)
    }

    fn read(&self, descriptor: Descriptor) -> Result<StoredManifest> {
        let layout = self.layout()?;
        let content = layout.read_document_blob(&descriptor.digest, &Referrer::Index);
        let content = content.map_err(|error| match layout.read_index() {
            Ok(index) => with_lister(error, &layout, &index),
            Err(_) => error,
        })?;
        Ok(StoredManifest { descriptor, content, choice: None })
    }

    /// Returns a summary of the manifest that a reference resolves to.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::get`]; [`Error::MalformedDocument`].
    pub fn info<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<ManifestInfo> {
        let StoredManifest { descriptor, content, choice } = self.get(name)?;
        let (layout, index) = self.contents()?;
        let own = |entry: &&Descriptor| entry.digest == descriptor.digest && self.names.of(entry).is_some();
        let own: Vec<&Descriptor> = index.manifests.iter().filter(own).collect();
        let tags: BTreeSet<&str> = own.iter().filter_map(|entry| self.names.of(entry)?.tag()).collect();
        let image_names: BTreeSet<&str> = own.iter().filter_map(|entry| entry.image_name()).collect();
        let document = Document::of_entry(&descriptor, &content)?;
        let platform = descriptor.said_platform().cloned();
        let platform = platform.or_else(|| platform_of(&layout, &descriptor, document.as_ref()));
        let (artifact_type, annotations, platforms) = match &document {
            Some(Document::Manifest(manifest)) => (&manifest.artifact_type, &manifest.annotations, Vec::new()),
            Some(Document::Index(index)) => {
                // Attestations run on nothing.
                let platforms = index.manifests.iter().filter_map(|child| child.platform.as_deref().cloned());
                let platforms = platforms.filter(Platform::is_known);
                (&index.artifact_type, &index.annotations, platforms.collect())
            }
            Some(Document::Other(document)) => (&document.artifact_type, &document.annotations, Vec::new()),
            None => (&None, &None, Vec::new()),
        };
        let config = match &document {
            Some(Document::Manifest(manifest)) if manifest.is_image(&descriptor) => {
                let referrer = Referrer::Document(descriptor.digest.clone());
                let content = layout.read(&manifest.config.digest, &referrer).ok();
                content.and_then(|content| from_json(&content).ok())
            }
            _ => None,
        };
        // An artifact may state its type by its config only.
        let by_config = match &document {
            Some(Document::Manifest(manifest)) => Some(&manifest.config.media_type),
            _ => None,
        };
        let by_config = by_config.filter(|config| !config.is_image_config() && !config.is_empty());
        Ok(ManifestInfo {
            artifact_type: artifact_type
                .clone()
                .or_else(|| descriptor.artifact_type.clone())
                .or_else(|| by_config.map(ToString::to_string)),
            platform,
            platforms,
            subject: document.as_ref().and_then(|document| document.subject().cloned()),
            annotations: annotations.clone().unwrap_or_default(),
            tags: tags.into_iter().map(str::to_owned).collect(),
            image_names: image_names.into_iter().map(str::to_owned).collect(),
            descriptor,
            choice,
            config,
        })
    }

    /// Stores a manifest or index, and lists it in `index.json`: an entry for each tag, or one without.
    ///
    /// Its children, config and layers must be stored; but not its subject, no blob with `urls`, and no layer that is not
    /// distributed. A validation must find no error in it. An entry that has a tag is replaced where it stands; the manifest that
    /// it referred to stays reachable, by another entry or by one without a tag.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] or [`Error::RefName`] if a tag is none; [`Error::InvalidManifest`]; [`Error::MalformedIndex`];
    /// [`Error::Locked`]; [`Error::Io`]. After an error nothing is changed.
    pub fn push_manifest(&self, body: &ManifestBody, tags: &[&str]) -> Result<Descriptor> {
        tags.iter().try_for_each(|tag| self.names.check(tag))?;
        let (content, document) = (body.content(), body.document.as_ref());
        let mut descriptor = body.descriptor().clone();
        // A manifest that cannot be stored leaves no new layout behind.
        let found = Layout::find(&self.site)?;
        check_parts(found.as_ref(), document)?;
        if document.is_some() {
            check_document(found.as_ref(), self.path(), (&descriptor, content), MissingParts::Fine)?;
        }
        let layout = self.made_layout()?;

        let lock = take_lock(&layout)?;
        let mut index = self.index()?;
        check_parts(Some(&layout), document)?;
        let algorithm = descriptor.digest.algorithm().unwrap_or(Algorithm::Sha256);
        let blob = layout.store_document_of(&lock, "the manifest", content, algorithm)?;
        descriptor.platform = platform_of(&layout, &descriptor, document).map(Box::new);
        let before = fingerprint(&index);
        match tags {
            [] => self.edit(&layout).put_untagged(&mut index, &descriptor),
            tags => self.edit(&layout).put_tags(&mut index, &descriptor, tags),
        }
        if fingerprint(&index) == before {
            // It is listed already.
            blob.keep();
        } else {
            write_index(&layout, &lock, &index, [blob])?;
        }
        Ok(descriptor)
    }

    /// Removes all entries of a manifest from `index.json`, and returns their tags. Entries of nested indexes stay, and
    /// the blobs stay until [`Layout::collect_garbage`] deletes them.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`]; [`Error::UnknownManifest`]; [`Error::InsideIndex`] if no entry is of that digest; [`Error::MalformedIndex`];
    /// [`Error::Locked`]; [`Error::Io`].
    pub fn delete_manifest<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<(Digest, Vec<String>)> {
        let name = name.into();
        self.change(|layout, index| self.unlist(layout, index, name))
    }

    /// Returns the result of [`Repository::delete_manifest`], and the `index.json` that it would write. Writes nothing
    /// and takes no lock.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::delete_manifest`], except [`Error::Locked`].
    pub fn plan_delete_manifest<'a>(
        &self,
        name: impl Into<ManifestName<'a>>,
    ) -> Result<((Digest, Vec<String>), Index)> {
        let name = name.into();
        self.plan(|layout, index| self.unlist(layout, index, name))
    }

    /// Removes all entries of a manifest, and returns its tags.
    fn unlist(&self, layout: &Layout, index: &mut Index, name: ManifestName<'_>) -> Result<(Digest, Vec<String>)> {
        let (found, Descriptor { digest, .. }) = self.find_entry(layout, index, name)?;
        let mut tags = Vec::new();
        let count = index.manifests.len();
        index.manifests.retain(|entry| match found.names.of(entry) {
            Some(called) if entry.digest == digest => {
                tags.extend(called.tag().map(str::to_owned));
                false
            }
            _ => true,
        });
        if index.manifests.len() == count { Err(self.inside_index(name.reference)) } else { Ok((digest, tags)) }
    }
}

/// Returns the parts of a document, with the places of their descriptors.
fn places(document: &Document) -> Vec<(String, &Descriptor)> {
    match document {
        Document::Manifest(manifest) => {
            let layers = manifest.layers.iter().enumerate().map(|(at, layer)| (format!("layers[{at}]"), layer));
            layers.chain([("config".to_owned(), &manifest.config)]).collect()
        }
        Document::Index(index) => {
            index.manifests.iter().enumerate().map(|(at, child)| (format!("manifests[{at}]"), child)).collect()
        }
        Document::Other(_) => Vec::new(),
    }
}

/// Returns the platform that the config of an image says.
fn platform_of(documents: &dyn Documents, descriptor: &Descriptor, document: Option<&Document>) -> Option<Platform> {
    match document {
        Some(Document::Manifest(manifest)) => Platforms::new(documents).of_image(descriptor, manifest),
        _ => None,
    }
}

/// Checks that the parts of a document are stored, with the sizes in their descriptors.
fn check_parts(layout: Option<&Layout>, document: Option<&Document>) -> Result<()> {
    let Some(document) = document else { return Ok(()) };
    for (place, part) in places(document) {
        let invalid = |reason: String| Error::InvalidManifest { reason: Reason::new(reason) };
        let kind = if matches!(document, Document::Index(_)) { "manifest" } else { "blob" };
        let missing = || Error::MissingBlob { digest: part.digest.clone(), referrer: Referrer::NewDocument };
        let layout = layout.ok_or_else(missing);
        match layout.and_then(|layout| layout.expect_blob(&part.digest, part.size, &Referrer::NewDocument)) {
            Err(Error::MissingBlob { .. }) if may_be_missing(part) => Ok(()),
            Err(Error::MissingBlob { .. }) => Err(invalid(format!("{kind} for {place} not found: {}", part.digest))),
            Err(error @ Error::SizeMismatch { .. }) => Err(invalid(format!("{kind} for {place}: {error}"))),
            checked => checked,
        }?;
    }
    Ok(())
}
