//! Rewriting the documents of a view, and the indexes that refer to them.

use std::collections::HashMap;

use super::index_view::{MadeDocuments, View};
use super::reach::MissingBlobs;
use crate::error::{Referrer, Result};
use crate::graph::walk::{Document, Role, read_entry};
use crate::oci::{self, Descriptor, Digest, Index, Manifest, MediaType};

/// A way to rewrite documents.
pub(crate) trait Rewrite {
    /// Returns the new media type for entries of a media type.
    fn media_type(&self, media_type: &MediaType) -> MediaType;

    /// Returns the new content of a manifest, or `None` if it is unchanged.
    fn manifest(&mut self, entry: &Descriptor, manifest: Manifest) -> Result<Option<Vec<u8>>>;

    /// Returns whether missing documents are skipped.
    fn allows_missing(&self) -> bool;
}

/// A step of the work.
enum Step {
    /// Rewrites the document of an entry, unless that was done before.
    Entry { entry: Descriptor, lister: Option<Digest> },
    /// Rewrites an index after the documents in its entries.
    Index { entry: Descriptor, index: Box<Index> },
}

/// The key of a document: content that is referred to in two roles is rewritten in both.
type Key = (Digest, Role);

fn key(entry: &Descriptor) -> Key {
    (entry.digest.clone(), Role::of_entry(entry))
}

impl View {
    /// Returns the view with rewritten documents: the manifests in its index and in nested indexes. Each is rewritten
    /// once, even if several entries refer to it. There is no recursion, because indexes can be nested to any depth.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], unless missing documents are allowed; [`Error::SizeMismatch`]; the errors of reading a
    /// document; those of [`Rewrite::manifest`].
    pub(crate) fn rewritten(&self, rewrite: &mut impl Rewrite) -> Result<Self> {
        let mut made = MadeDocuments::default();
        let mut done: HashMap<Key, Option<(Digest, u64)>> = HashMap::new();
        let find =
            |entry: &Descriptor, lister: Option<&Digest>| Step::Entry { entry: entry.clone(), lister: lister.cloned() };
        let mut stack: Vec<Step> = self.index.manifests.iter().rev().map(|entry| find(entry, None)).collect();
        while let Some(step) = stack.pop() {
            match step {
                Step::Entry { entry, lister } => {
                    let missing = if rewrite.allows_missing() { MissingBlobs::Fine } else { MissingBlobs::Error };
                    let referrer = Referrer::of_entry(lister.as_ref());
                    let is_there = self.reach(&entry, &referrer, missing)?.is_some();
                    let key = key(&entry);
                    if done.contains_key(&key) {
                        continue;
                    }
                    match if is_there { read_entry(self, &entry, lister.as_ref())? } else { None } {
                        Some(Document::Index(index)) => {
                            let listed = index.manifests.iter().rev().map(|listed| find(listed, Some(&entry.digest)));
                            let listed: Vec<_> = listed.collect();
                            stack.push(Step::Index { entry: entry.clone(), index });
                            stack.extend(listed);
                        }
                        Some(Document::Manifest(manifest)) => {
                            let content = rewrite.manifest(&entry, *manifest)?;
                            done.insert(
                                key,
                                content.map(|content| made.add(content, Referrer::Document(entry.digest.clone()))),
                            );
                        }
                        Some(Document::Other(_)) | None => drop(done.insert(key, None)),
                    }
                }
                Step::Index { entry, mut index } => {
                    let media_type = rewrite.media_type(&entry.media_type);
                    let mut has_changed = media_type != entry.media_type;
                    for listed in &mut index.manifests {
                        has_changed |= update(listed, &done, rewrite);
                    }
                    let content = has_changed.then(|| {
                        index.media_type = Some(media_type);
                        made.add(oci::to_blob(&index), Referrer::Document(entry.digest.clone()))
                    });
                    done.insert(key(&entry), content);
                }
            }
        }
        let mut index = Index::clone(&self.index);
        for entry in &mut index.manifests {
            update(entry, &done, rewrite);
        }
        Ok(self.with_documents(made).with_index(index))
    }
}

/// Points an entry to the rewritten document, and returns whether the entry changed.
fn update(entry: &mut Descriptor, done: &HashMap<Key, Option<(Digest, u64)>>, rewrite: &impl Rewrite) -> bool {
    let made = done.get(&key(entry)).cloned().flatten();
    let media_type = rewrite.media_type(&entry.media_type);
    let has_changed = media_type != entry.media_type;
    entry.media_type = media_type;
    let Some((digest, size)) = made else { return has_changed };
    // The `data` of the entry is the old content.
    *entry = Descriptor { digest, size, data: None, ..entry.clone() };
    true
}
