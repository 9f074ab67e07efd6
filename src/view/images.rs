//! The images of a view, with their documents and layers.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

use super::content::{Content, ContentReader};
use super::index_view::View;
use super::reach::MissingBlobs;
use crate::error::{Error, Referrer, Result};
use crate::graph::platform::{Platforms, is_stored};
use crate::graph::summary::{ImageSummary, summaries};
use crate::graph::verify::expect_digest;
use crate::graph::walk::{Document, Reach, Role, read_described, walk};
use crate::oci::{Annotations, Descriptor, Digest, Hasher, ImageConfig, Manifest, Platform, from_json};

/// The configs of images, with their platforms. Images may share a config, which is read and kept once.
type Configs = HashMap<Digest, (Arc<[u8]>, Option<Platform>)>;

/// An image in a view: its documents, and its layers, which are read on demand.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchiveImage {
    /// The descriptor of the manifest: an entry of the index, or of a nested index.
    pub entry: Descriptor,
    /// The digest of the first entry of the index through which the image is reachable: its own, or that of a nested
    /// index.
    pub listed: Digest,
    /// The bytes of the manifest.
    pub manifest: Arc<[u8]>,
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// The bytes of the config.
    pub config: Arc<[u8]>,
    /// The digest of the config.
    pub config_digest: Digest,
    /// The layers, the lowest first.
    pub layers: Vec<ImageLayer>,
    /// The platform: from the entry, or else from the config.
    pub platform: Option<Platform>,
    /// The annotations of the manifest itself.
    pub annotations: Annotations,
}

/// The image of a view that has one.
pub(crate) enum SoleImage {
    One(Box<ArchiveImage>),
    None,
    /// The platforms of the images, for an error.
    Several(Vec<String>),
}

/// Whether the layers of images must be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layers {
    Expected,
    /// Each is looked up when it is read.
    NotLookedUp,
}

/// A layer of an image in a view.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    descriptor: Descriptor,
    manifest: Digest,
    view: View,
}

/// Reads a layer and verifies it at its end: if the content does not match the digest, the last read returns an error
/// of kind `InvalidData`.
pub struct LayerReader {
    reader: ContentReader,
    hasher: Hasher,
    digest: Digest,
}

impl View {
    /// Returns the images: the manifests in the index, or in an index nested in it, in order and each once.
    /// Attestations and other artifacts are not images ([`Manifest::is_image`]). The documents are read and verified;
    /// layers are only checked for their presence and size.
    ///
    /// Images in a nested index may be missing: Docker saves an image with the index of all its platforms, but only
    /// with those images that it has stored.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the document that refers to the blob, unless the blob is a manifest in a nested
    /// index and other images are stored; [`Error::SizeMismatch`], [`Error::DigestMismatch`],
    /// [`Error::UnsupportedAlgorithm`], [`Error::TooLarge`], [`Error::MalformedDocument`]; [`Error::Io`].
    pub fn images(&self) -> Result<Vec<ArchiveImage>> {
        self.images_with(Layers::Expected)
    }

    /// Returns the images, as [`View::images`] does, without looking for their layers.
    ///
    /// # Errors
    ///
    /// Those of [`View::images`] for documents.
    pub fn images_without_layers(&self) -> Result<Vec<ArchiveImage>> {
        self.images_with(Layers::NotLookedUp)
    }

    fn images_with(&self, layers: Layers) -> Result<Vec<ArchiveImage>> {
        let mut images = Vec::new();
        let mut missing = None;
        let mut seen: HashSet<(Digest, Role)> = HashSet::new();
        let mut shown: HashSet<Digest> = HashSet::new();
        let mut configs = Configs::new();
        let entries = &self.index().manifests;
        let mut stack: Vec<(Cow<'_, Descriptor>, Option<Digest>, usize)> =
            entries.iter().enumerate().rev().map(|(at, entry)| (Cow::Borrowed(entry), None, at)).collect();
        while let Some((entry, referrer, at)) = stack.pop() {
            if entry.is_attestation() {
                continue;
            }
            let lister = Referrer::of_entry(referrer.as_ref());
            let is_new = seen.insert((entry.digest.clone(), Role::of_entry(&entry)));
            let listed = self.read_listed(&entry, &lister, is_new);
            let (content, document) = match listed {
                Ok(Some(listed)) => listed,
                Ok(None) => continue,
                Err(error @ Error::MissingBlob { .. }) if referrer.is_some() => {
                    missing.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match document {
                Document::Index(index) => {
                    let parts = index.manifests.into_iter().rev();
                    stack.extend(parts.map(|part| (Cow::Owned(part), Some(entry.digest.clone()), at)));
                }
                Document::Manifest(manifest) if manifest.is_image(&entry) && shown.insert(entry.digest.clone()) => {
                    let listed = entries[at].digest.clone();
                    images.push(self.image(entry.into_owned(), listed, content, *manifest, layers, &mut configs)?);
                }
                Document::Manifest(_) | Document::Other(_) => {}
            }
        }
        match missing {
            Some(missing) if images.is_empty() => Err(self.by_platform(missing)),
            _ => Ok(images),
        }
    }

    /// Returns the image, if there is one: no other, and not none.
    ///
    /// # Errors
    ///
    /// Those of [`View::images`].
    pub(crate) fn sole_image(&self, layers: Layers) -> Result<SoleImage> {
        let mut images = self.images_with(layers)?;
        if images.len() > 1 {
            let platform = |image: &ArchiveImage| image.platform.as_ref().map(ToString::to_string);
            let platforms = images.iter().map(|image| platform(image).unwrap_or_else(|| "unknown".to_owned()));
            return Ok(SoleImage::Several(platforms.collect()));
        }
        Ok(images.pop().map_or(SoleImage::None, |image| SoleImage::One(Box::new(image))))
    }

    /// Returns the images whose manifests can be read, in order and each once. Nothing is known of their layers.
    pub fn summaries(&self) -> Vec<ImageSummary> {
        summaries(self, &self.index().manifests)
    }

    /// Returns the name of the image in the view: the ref name in the annotations of the index itself, or else the ref
    /// name or image name of the first entry.
    pub fn tag(&self) -> Option<&str> {
        self.own_name.as_deref().or_else(|| self.index().manifests.first()?.names().next())
    }

    /// Returns whether there are several images, including stored images in nested indexes.
    ///
    /// # Errors
    ///
    /// The errors of reading an index. A missing index is not an error.
    pub fn is_multi_platform(&self) -> Result<bool> {
        let mut images = 0;
        let mut seen = HashSet::new();
        let entries = self.index().manifests.iter().filter(|entry| !entry.is_attestation());
        for visit in walk(self, entries, Reach::Manifests) {
            let entry = visit.entry.clone();
            if let Some(Document::Manifest(manifest)) = visit.leads_to()?
                && manifest.is_image(&entry)
                && seen.insert(entry.digest.clone())
            {
                images += 1;
            }
            if images > 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the manifests in the index, or in an index nested in it, in order and each once, with their platforms
    /// where known. Attestations have no platform, and are left out.
    ///
    /// # Errors
    ///
    /// The errors of reading an index. A missing index is not an error.
    pub fn platforms(&self) -> Result<Vec<(Descriptor, Option<Platform>)>> {
        let mut platforms = Vec::new();
        let mut read = Platforms::new(self);
        for visit in walk(self, &self.index().manifests, Reach::Indexes) {
            let entry = visit.entry.clone();
            if !entry.is_attestation() && !matches!(visit.leads_to()?, Some(Document::Index(_))) {
                let platform = read.of(&entry);
                platforms.push((entry.into_owned(), platform));
            }
        }
        Ok(platforms)
    }

    /// Returns the platforms of images that are in an index but not stored, each once and in the order of the entries.
    ///
    /// # Errors
    ///
    /// Those of [`View::platforms`].
    pub fn missing_platforms(&self) -> Result<Vec<Platform>> {
        let mut missing = Vec::new();
        for (entry, platform) in self.platforms()? {
            if let Some(platform) = platform.filter(Platform::is_known)
                && !is_stored(self, &entry)
                && !missing.contains(&platform)
            {
                missing.push(platform);
            }
        }
        Ok(missing)
    }

    /// Reads a document of an index, if `is_new`; `None` if it is not a document, or is available elsewhere. The size
    /// is checked in any case.
    fn read_listed(
        &self,
        entry: &Descriptor,
        referrer: &Referrer,
        is_new: bool,
    ) -> Result<Option<(Vec<u8>, Document)>> {
        if self.reach(entry, referrer, MissingBlobs::LeftOut.of_listed(referrer))?.is_none() || !is_new {
            return Ok(None);
        }
        match read_described(self, entry, referrer) {
            Ok(content) => Ok(Document::of_entry(entry, &content)?.map(|document| (content, document))),
            // Content that is too large for a document, without a media type of documents, is not a document.
            Err(Error::TooLarge { .. }) if !Document::is_one(&entry.media_type) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn image(
        &self,
        entry: Descriptor,
        listed: Digest,
        content: Vec<u8>,
        manifest: Manifest,
        expected: Layers,
        configs: &mut Configs,
    ) -> Result<ArchiveImage> {
        let digest = entry.digest.clone();
        let referrer = Referrer::Document(digest.clone());
        let Manifest { config, layers, annotations, .. } = manifest;
        self.reach(&config, &referrer, MissingBlobs::Error)?;
        let (config_content, said) = match configs.get(&config.digest) {
            Some(known) => known.clone(),
            None => {
                let read = read_described(self, &config, &referrer)?;
                let parsed = from_json::<ImageConfig>(&read).ok();
                let known = (read.into(), parsed.and_then(|config| config.platform()));
                configs.insert(config.digest.clone(), known.clone());
                known
            }
        };
        let said = said.filter(|_| entry.media_type.is_manifest());
        for layer in layers.iter().filter(|_| expected == Layers::Expected) {
            self.reach(layer, &referrer, MissingBlobs::LeftOut)?;
        }
        let layer = |descriptor| ImageLayer { descriptor, manifest: digest.clone(), view: self.clone() };
        Ok(ArchiveImage {
            platform: entry.said_platform().cloned().or(said),
            manifest: content.into(),
            manifest_digest: digest.clone(),
            config: config_content,
            config_digest: config.digest,
            layers: layers.into_iter().map(layer).collect(),
            annotations: annotations.unwrap_or_default(),
            entry,
            listed,
        })
    }
}

impl ImageLayer {
    /// Returns the descriptor of the layer in the manifest.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the content in place, not verified; `None` if it is missing but available elsewhere (`urls`).
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`]; [`Error::SizeMismatch`]; those of [`View::content`].
    pub fn content(&self) -> Result<Option<Content>> {
        self.view.reach(&self.descriptor, &Referrer::Document(self.manifest.clone()), MissingBlobs::LeftOut)
    }

    /// Opens the layer for verified reading.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], [`Error::SizeMismatch`]; [`Error::UnsupportedAlgorithm`] if the layer cannot be
    /// verified; those of [`View::content`].
    pub fn reader(&self) -> Result<LayerReader> {
        let Descriptor { digest, .. } = &self.descriptor;
        let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
        let referrer = Referrer::Document(self.manifest.clone());
        let content = self.view.reach(&self.descriptor, &referrer, MissingBlobs::Error)?;
        let content = content.ok_or_else(|| Error::MissingBlob { digest: digest.clone(), referrer })?;
        Ok(LayerReader { reader: content.reader(), hasher: Hasher::new(algorithm), digest: digest.clone() })
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() {
            let verified = expect_digest(&self.digest, self.hasher.clone().finish());
            verified.map_err(|mismatch| io::Error::new(ErrorKind::InvalidData, mismatch))?;
        }
        Ok(read)
    }
}

impl fmt::Debug for LayerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerReader").field("digest", &self.digest).finish_non_exhaustive()
    }
}
