//! The images of a repository that are to be pulled, as a view of documents.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{RemoteError, Result};
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::handle::Layout;
use crate::oci::entry_name::IMAGE_NAME;
use crate::oci::{Descriptor, Digest, Index, REF_NAME, RepositoryName, Tag};
use crate::remote::client::{Client, ManifestReference};
use crate::remote::first_fault::FirstFault;
use crate::remote::source::RemoteDocuments;
use crate::transfer::dir_image::to_oci;
use crate::transfer::fallback_tag::fallback_index;
use crate::view::index_view::View;

/// The number of manifests that are asked for at once.
const AT_ONCE: usize = 16;

/// Which images of a repository are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteReferences {
    /// One image, by its tag or its digest; by both, the tag must be that digest.
    One {
        /// The tag.
        tag: Option<Tag>,
        /// The digest.
        digest: Option<Digest>,
    },
    /// All tags of the repository.
    AllTags,
}

impl RemoteReferences {
    /// Means one image, by its tag or its digest; without either, the tag `latest`.
    pub fn one(tag: Option<Tag>, digest: Option<Digest>) -> Self {
        Self::One { tag, digest }
    }
}

/// The images of a repository. Documents are fetched when they are read, layers not at all.
#[derive(Debug)]
pub struct RemoteImages {
    pub(super) documents: RemoteDocuments,
    view: View,
}

impl RemoteImages {
    /// Finds images in a repository of a registry. Documents that the layout `beside` has are not fetched.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`]; [`RemoteError::OtherDigest`] if a tag is not the digest that was given with it; the errors
    /// of fetching.
    pub fn find(
        client: Arc<Client>,
        repository: &RepositoryName,
        references: &RemoteReferences,
        beside: Option<Layout>,
    ) -> Result<Self> {
        let documents = RemoteDocuments::new(client, repository.clone(), beside);
        let entries = match references {
            RemoteReferences::One { tag, digest } => {
                vec![find_one(&documents, tag.as_ref(), digest.as_ref())?]
            }
            RemoteReferences::AllTags => {
                let tags = documents.client().tags(repository, documents.scope())?;
                let tags = tags.filter(|tags| !tags.is_empty()).ok_or_else(|| {
                    let reference = format!("{}/{repository}", documents.client().host());
                    documents.client().absent(RemoteError::NotFound { reference })
                })?;
                let first = FirstFault::of(documents.client());
                let documents = documents.by(first.client());
                first.map(tags, AT_ONCE, |tag| find_one(&documents, Some(&tag), None))?
            }
        };
        let path = PathBuf::from(format!("{}/{repository}", documents.client().host()));
        let view = View::new(Index { manifests: entries, ..Index::empty() }, documents.clone(), path);
        Ok(Self { documents, view })
    }

    /// Returns the images as a view.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns the images of a view in the terms of the image-spec: manifests and indexes of Docker's are rewritten, and get
    /// new digests; layers and configs stay.
    ///
    /// # Errors
    ///
    /// The errors of fetching.
    pub fn in_oci(&self, view: &View) -> Result<View> {
        self.fetch_documents(view)?;
        to_oci(view)
    }

    /// Adds the referrers (signatures, SBOMs) of all manifests of a view, and theirs.
    ///
    /// # Errors
    ///
    /// The errors of fetching.
    pub fn with_referrers(&self, view: &View) -> Result<View> {
        self.fetch_documents(view)?;
        let mut index = view.index().clone();
        let mut listed: HashSet<Digest> = index.manifests.iter().map(|entry| entry.digest.clone()).collect();
        let mut asked: HashSet<Digest> = HashSet::new();
        let mut subjects: Vec<Digest> =
            walk(view, &index.manifests, Reach::Manifests).map(|visit| visit.entry.digest.clone()).collect();
        while !subjects.is_empty() {
            subjects.retain(|subject| asked.insert(subject.clone()));
            let first = FirstFault::of(self.documents.client());
            let documents = self.documents.by(first.client());
            let subjects_now = std::mem::take(&mut subjects);
            let found = first.map(subjects_now, AT_ONCE, |subject| referrers_of(&documents, &subject))?;
            for referrer in found.into_iter().flatten() {
                if listed.insert(referrer.digest.clone()) {
                    self.documents.note_manifest(&referrer);
                    subjects.push(referrer.digest.clone());
                    index.manifests.push(Descriptor::new(referrer.media_type, referrer.digest, referrer.size));
                }
            }
        }
        Ok(view.with_index(index))
    }

    /// Fetches the documents of a view that are not there yet, those of one level at once.
    ///
    /// # Errors
    ///
    /// The errors of fetching.
    pub fn fetch_documents(&self, view: &View) -> Result<()> {
        let mut level: Vec<Descriptor> = view.index().manifests.clone();
        let mut seen: HashSet<Digest> = HashSet::new();
        while !level.is_empty() {
            level.retain(|entry| seen.insert(entry.digest.clone()));
            self.documents.fetch_all(level.iter().map(|entry| entry.digest.clone()).collect())?;
            let below = level.iter().filter_map(|entry| {
                let mut bytes = Vec::new();
                let content = view.content(&entry.digest).ok().flatten()?;
                std::io::Read::read_to_end(&mut content.reader(), &mut bytes).ok()?;
                // What cannot be read is reported when it is planned.
                Document::of_entry(entry, &bytes).ok().flatten()
            });
            level = below
                .flat_map(|document| match document {
                    Document::Index(index) => index.manifests,
                    Document::Manifest(manifest) => vec![manifest.config],
                    Document::Other(_) => Vec::new(),
                })
                .collect();
        }
        Ok(())
    }
}

/// Lists the referrers of a manifest: those of the registry's list, or else of the fallback tag.
fn referrers_of(documents: &RemoteDocuments, subject: &Digest) -> Result<Vec<Descriptor>> {
    let (client, repository, scope) = (documents.client(), documents.repository(), documents.scope());
    let index = match client.referrers(repository, subject, scope)? {
        Some(index) => Some(index),
        None => fallback_index(client, repository, scope, subject)?,
    };
    Ok(index.map(|index| index.manifests).unwrap_or_default())
}

/// Fetches one manifest, and gives its descriptor its names.
fn find_one(documents: &RemoteDocuments, tag: Option<&Tag>, digest: Option<&Digest>) -> Result<Descriptor> {
    let (client, repository, scope) = (documents.client(), documents.repository(), documents.scope());
    let reference = match (tag, digest) {
        (Some(tag), _) => ManifestReference::Tag(tag.clone()),
        (None, Some(digest)) => ManifestReference::Digest(digest.clone()),
        (None, None) => ManifestReference::Tag("latest".parse().expect("it is a tag")),
    };
    let name = |reference: &ManifestReference| match reference {
        ManifestReference::Tag(tag) => format!("{}/{repository}:{tag}", client.host()),
        ManifestReference::Digest(digest) => format!("{}/{repository}@{digest}", client.host()),
    };
    let fetched = client
        .get_manifest(repository, &reference, scope)?
        .ok_or_else(|| client.absent(RemoteError::NotFound { reference: name(&reference) }))?;
    if let Some(expected) = digest.filter(|expected| **expected != fetched.digest) {
        if expected.algorithm() == fetched.digest.algorithm() {
            let (reference, expected, actual) = (name(&reference), expected.clone(), fetched.digest);
            return Err(RemoteError::OtherDigest { reference, expected, actual }.into());
        }
        // The same bytes may have digests of several algorithms.
        crate::graph::verify::verify_bytes(expected, &fetched.bytes)?;
    }
    let mut entry = documents.add(fetched);
    if let ManifestReference::Tag(tag) = &reference {
        entry.set_name(REF_NAME, Some(tag.to_string()));
        entry.set_name(IMAGE_NAME, Some(name(&reference)));
    }
    Ok(entry)
}
