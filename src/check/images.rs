//! The images of a layout, by digest. Finds the tag, the platform and the part that a finding is about.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::graph::finding::Finding;
use crate::graph::platform::Platforms;
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::handle::Layout;
use crate::oci::Digest;

/// The images of a layout.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let layout = regshape::layout::Layout::init(directory.path().join("layout"))?;
/// let images = regshape::check::Images::of(&layout)?;
/// assert_eq!(images.len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Images {
    by_digest: HashMap<Digest, Known>,
    /// The digests of the entries of `index.json`, in order.
    entries: Vec<Digest>,
    images: HashSet<Digest>,
}

/// The tag, platform and entries of a manifest or an index.
#[derive(Clone, Debug)]
struct Known {
    tag: Option<String>,
    platform: Option<String>,
    /// The digests of the entries, if this is an index.
    entries: Vec<Digest>,
}

/// The image and the part of it that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ImagePlace<'a> {
    /// The manifest or index.
    pub digest: &'a Digest,
    /// The name of the first entry of `index.json` from which the image is reachable.
    pub tag: Option<&'a str>,
    /// The platform of the image.
    pub platform: Option<&'a str>,
    /// The part of the image: `config`, `layer 0`.
    pub part: Option<String>,
}

impl Images {
    /// Reads the indexes of the layout, and the tag and platform of each image.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedIndex`](crate::Error::MalformedIndex), [`Error::Io`](crate::Error::Io). Other unreadable
    /// documents are skipped.
    pub fn of(layout: &Layout) -> Result<Self> {
        let index = layout.read_index()?.with_own_names_on_entries();
        let mut images = Self::default();
        let mut platforms = Platforms::new(layout);
        for entry in &index.manifests {
            images.entries.push(entry.digest.clone());
            if images.by_digest.contains_key(&entry.digest) {
                continue;
            }
            for visit in walk(layout, [entry], Reach::Indexes) {
                let is_image = visit.entry.media_type.is_manifest() && !visit.entry.is_attestation();
                let platform = platforms.of(&visit.entry).map(|platform| platform.to_string());
                let entries = match &visit.document {
                    Ok(Some(Document::Index(index))) => {
                        index.manifests.iter().map(|entry| entry.digest.clone()).collect()
                    }
                    _ => Vec::new(),
                };
                if is_image {
                    images.images.insert(visit.entry.digest.clone());
                }
                let tag = entry.names().next().map(str::to_owned);
                images.by_digest.entry(visit.entry.digest.clone()).or_insert(Known { tag, platform, entries });
            }
        }
        Ok(images)
    }

    /// Returns the number of images. Attestations are not images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Returns whether a digest belongs to an image.
    pub fn is_image(&self, digest: &Digest) -> bool {
        self.images.contains(digest)
    }

    /// Returns the image that a finding is about; `None` for a finding about `index.json` or the directory.
    pub fn place_of(&self, finding: &Finding) -> Option<ImagePlace<'_>> {
        let (part, holder) = finding.location().split_once(" in ")?;
        let position = |list: &str| part.strip_prefix(list)?.strip_suffix(']')?.parse::<usize>().ok();
        if holder == "index.json" {
            return self.place(self.entries.get(position("manifests[")?)?, None);
        }
        let holder = holder.split_once(' ')?.1.parse::<Digest>().ok()?;
        let (holder, known) = self.by_digest.get_key_value(&holder)?;
        match position("manifests[") {
            Some(at) => self.place(known.entries.get(at)?, None),
            None => {
                let layer = position("layers[").or_else(|| position("layer[")).map(|at| format!("layer {at}"));
                self.place(holder, Some(layer.unwrap_or_else(|| part.to_owned())))
            }
        }
    }

    fn place(&self, digest: &Digest, part: Option<String>) -> Option<ImagePlace<'_>> {
        let (digest, known) = self.by_digest.get_key_value(digest)?;
        Some(ImagePlace { digest, tag: known.tag.as_deref(), platform: known.platform.as_deref(), part })
    }
}
