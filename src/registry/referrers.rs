//! The referrers of a manifest: signatures, SBOMs, attestations (distribution-spec, "Listing Referrers").

use std::collections::{BTreeMap, HashSet};

use super::repository::Repository;
use crate::error::Result;
use crate::graph::walk::{Document, Reach, Visit, walk};
use crate::oci::{Descriptor, Digest};

/// The referrers of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Referrers {
    /// A descriptor of each, with its artifact type and its own annotations, in the order of their digests.
    pub manifests: Vec<Descriptor>,
    /// The image names of those that `index.json` lists with one.
    pub image_names: BTreeMap<Digest, Vec<String>>,
    /// The documents that could not be read, and might be referrers.
    pub warnings: Vec<String>,
}

impl Repository {
    /// Finds the manifests and indexes whose subject has a digest, of all that can be reached here; those of an artifact type,
    /// if one is given. Programs older than subjects list them in an index that is tagged by the digest; that is read too.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRepository`](crate::Error::UnknownRepository);
    /// [`Error::MalformedIndex`](crate::Error::MalformedIndex); [`Error::Io`](crate::Error::Io). Other unreadable
    /// documents are warnings.
    pub fn referrers(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Referrers> {
        let find = || {
            let (layout, index) = self.contents()?;
            let entries = self.entries(&index)?;
            let fallback = self.fallback_of(&entries, digest);
            let mut found = BTreeMap::new();
            let mut warnings = Vec::new();
            for Visit { entry, document, .. } in walk(&layout, entries, Reach::Manifests) {
                match document {
                    Ok(Some(Document::Index(index))) if fallback.as_ref() == Some(&entry.digest) => {
                        for listed in index.manifests {
                            found.entry(listed.digest.clone()).or_insert(listed);
                        }
                    }
                    Ok(Some(document)) if document.subject().is_some_and(|subject| subject.digest == *digest) => {
                        found.insert(entry.digest.clone(), describe(&entry, &document));
                    }
                    Ok(_) => {}
                    Err(error) => warnings.push(error.report()),
                }
            }
            let mut manifests: Vec<Descriptor> = found.into_values().collect();
            manifests.retain(|found| artifact_type.is_none() || found.artifact_type.as_deref() == artifact_type);
            let listed: HashSet<&Digest> = manifests.iter().map(|found| &found.digest).collect();
            let mut image_names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
            for entry in self.entries(&index)?.into_iter().filter(|entry| listed.contains(&entry.digest)) {
                let Some(name) = entry.image_name() else { continue };
                let names = image_names.entry(entry.digest.clone()).or_default();
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
            Ok(Referrers { manifests, image_names, warnings })
        };
        self.site.read_unlocked(find, |found| found.warnings.is_empty())
    }

    /// Returns the digest of the index that older programs list the referrers of a manifest in (distribution-spec, "Referrers
    /// Tag Schema").
    fn fallback_of(&self, entries: &[&Descriptor], digest: &Digest) -> Option<Digest> {
        let tag = format!("{}-{}", digest.algorithm_name(), digest.encoded());
        let is_it = |entry: &&&Descriptor| {
            let called = self.names.of(entry).and_then(|called| called.tag());
            called.is_some_and(|name| name.rsplit_once(':').map_or(name, |(_, name)| name) == tag)
        };
        entries.iter().find(is_it).map(|entry| entry.digest.clone())
    }
}

/// Describes a referrer as registries do.
fn describe(entry: &Descriptor, document: &Document) -> Descriptor {
    let (artifact_type, annotations) = match document {
        Document::Manifest(manifest) => {
            let said = manifest.artifact_type.clone().filter(|artifact_type| !artifact_type.is_empty());
            (said.or_else(|| Some(manifest.config.media_type.to_string())), manifest.annotations.clone())
        }
        Document::Index(index) => (index.artifact_type.clone(), index.annotations.clone()),
        Document::Other(document) => (document.artifact_type.clone(), document.annotations.clone()),
    };
    Descriptor {
        artifact_type,
        annotations,
        ..Descriptor::new(entry.media_type.clone(), entry.digest.clone(), entry.size)
    }
}
