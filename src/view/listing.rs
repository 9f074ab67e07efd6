//! The entries of a view, with their kinds, platforms and sizes.

use std::collections::{HashMap, HashSet};

use super::index_view::View;
use crate::error::{Referrer, Result};
use crate::graph::platform::Platforms;
use crate::graph::walk::{Document, read_described, read_entry};
use crate::oci::{Descriptor, Digest, ImageConfig, Platform, from_json};

/// The maximum number of documents that are read. Entries may share an index of any size: beyond this limit, an entry
/// is listed with its own size only.
const DOCUMENTS: usize = 1_000_000;

/// An entry of an index, with facts about the content below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Listing {
    /// The entry.
    pub entry: Descriptor,
    /// The kind of content that the entry refers to.
    pub kind: ListingKind,
    /// The platforms of its images, each once and in order.
    pub platforms: Vec<Platform>,
    /// The size in bytes of all content below the entry, including itself, each digest counted once. Attestations and
    /// referrers are not included.
    pub size: u64,
    /// The creation time of the first image (RFC 3339), if its config has one.
    pub created: Option<String>,
}

/// The kind of content that an entry refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListingKind {
    /// An image for one platform.
    Image,
    /// An index of images, or of other manifests.
    Index,
    /// Anything else.
    Artifact,
}

impl View {
    /// Lists the entries of the index, in order. Documents that are missing or cannot be read are counted by the fields
    /// of their descriptors.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io); those of opening a blob. Missing and malformed blobs are not errors.
    pub fn listings(&self) -> Result<Vec<Listing>> {
        let mut left = DOCUMENTS;
        let mut known: HashMap<&Digest, Listing> = HashMap::new();
        let mut listings = Vec::new();
        for entry in &self.index().manifests {
            let listing = match known.get(&entry.digest) {
                Some(listing) => Listing { entry: entry.clone(), ..listing.clone() },
                None => self.listing(entry, &mut left)?,
            };
            known.entry(&entry.digest).or_insert_with(|| listing.clone());
            listings.push(listing);
        }
        Ok(listings)
    }

    fn listing(&self, entry: &Descriptor, left: &mut usize) -> Result<Listing> {
        let kind = if entry.is_index() { ListingKind::Index } else { ListingKind::Artifact };
        let mut listing = Listing { entry: entry.clone(), kind, platforms: Vec::new(), size: 0, created: None };
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut platforms = Platforms::new(self);
        let mut stack = vec![(entry.clone(), None)];
        while let Some((found, index)) = stack.pop() {
            if !seen.insert(found.digest.clone()) || found.is_attestation() {
                continue;
            }
            listing.size = listing.size.saturating_add(found.size);
            let Some(fewer) = left.checked_sub(1) else { continue };
            *left = fewer;
            match read_entry(self, &found, index.as_ref()).ok().flatten() {
                Some(Document::Index(document)) => {
                    let parts = document.manifests.into_iter().rev();
                    stack.extend(parts.map(|part| (part, Some(found.digest.clone()))));
                }
                Some(Document::Manifest(manifest)) => {
                    let is_image = manifest.is_image(&found);
                    for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
                        if seen.insert(part.digest.clone()) {
                            listing.size = listing.size.saturating_add(part.size);
                        }
                    }
                    if is_image {
                        if found.digest == entry.digest {
                            listing.kind = ListingKind::Image;
                        }
                        let referrer = Referrer::Document(found.digest.clone());
                        let config = read_described(self, &manifest.config, &referrer).ok();
                        let config = config.and_then(|config| from_json::<ImageConfig>(&config).ok());
                        listing.created = listing.created.or_else(|| config?.created);
                        note(&mut listing.platforms, platforms.of(&found));
                    }
                }
                // The manifest is missing or was not read: its descriptor may have a platform.
                None if found.media_type.is_manifest() => note(&mut listing.platforms, found.said_platform().cloned()),
                Some(Document::Other(_)) | None => {}
            }
        }
        Ok(listing)
    }
}

fn note(platforms: &mut Vec<Platform>, platform: Option<Platform>) {
    platforms.extend(platform.filter(|platform| platform.is_known() && !platforms.contains(platform)));
}
