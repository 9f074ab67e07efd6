//! Archives of `docker save` and `podman save`: the images listed in `manifest.json`, converted into those of a layout.
//!
//! Configs and layers stay the same, byte for byte. The manifests are generated; equal archives result in equal
//! manifests.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};
use std::sync::Arc;

use super::entries::{Entries, Span};
use super::entry_names::normal;
use super::listed::Listed;
use crate::compress::{BUFFER, Encoding, bounded_decoder};
use crate::error::words::counted;
use crate::error::{Error, Reason, Result};
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::metrics::Progress;
use crate::oci::{
    self, Algorithm, Annotations, Descriptor, Digest, Hasher, ImageConfig, Index, LayerEncoding, Manifest, MediaType,
    Platform, REF_NAME,
};
use crate::transfer::listed::MANIFEST_FILE;
use crate::transfer::load::{LoadOptions, not_an_archive};
use crate::view::content::Content;
use crate::workers::map::{cores, map_bounded};

/// The blobs that the images refer to.
pub(crate) type Blobs = HashMap<Digest, Content>;

/// Reads the images, and generates their manifests. Each layer is read once.
///
/// # Errors
///
/// [`Error::NotAnArchive`]; [`Error::UnsafeEntry`] for a layer that does not match its config;
/// [`Error::MalformedDocument`], [`Error::TooLarge`]; [`Error::Io`].
pub(crate) fn read(entries: &Entries<'_>, options: &LoadOptions<'_>) -> Result<(Index, Blobs)> {
    let images = Listed::read(entries)?;
    let mut saved = Saved::new(entries, options);
    saved.read_layers(&images)?;
    let mut index = Index::empty();
    let mut blobs = Blobs::new();
    let mut bearers: HashMap<String, usize> = HashMap::new();
    for image in images {
        let entry = saved.convert(&image, &mut blobs)?;
        let before = index.manifests.len();
        for name in image.distinct_names() {
            // As in Docker, the last image with a name keeps the name.
            if let Some(earlier) = bearers.insert(name.to_owned(), index.manifests.len()) {
                index.manifests[earlier].unname();
            }
            index.manifests.push(named(&entry, name));
        }
        if index.manifests.len() == before {
            index.manifests.push(entry);
        }
    }
    Ok((index, blobs))
}

/// Returns an entry with a ref name.
pub(crate) fn named(entry: &Descriptor, name: &str) -> Descriptor {
    let annotations = Some(Annotations::from([(REF_NAME.to_owned(), name.to_owned())]));
    Descriptor { annotations, ..entry.clone() }
}

/// The files that `manifest.json` names. A file shared by several images is read once.
pub(crate) struct Saved<'a> {
    entries: &'a Entries<'a>,
    options: &'a LoadOptions<'a>,
    configs: HashMap<Span, Arc<Config>>,
    layers: HashMap<Span, (Descriptor, Content)>,
    diff_ids: HashMap<(Span, Algorithm), Digest>,
}

/// The config of an image.
pub(crate) struct Config {
    pub(crate) digest: Digest,
    content: Content,
    /// The diff_ids and the platform, or why the config cannot be parsed.
    said: Result<(Vec<Digest>, Option<Platform>), String>,
}

impl Config {
    /// Returns the diff_ids, if the config can be parsed.
    pub(crate) fn diff_ids(&self) -> Option<&[Digest]> {
        self.said.as_ref().ok().map(|(diff_ids, _)| diff_ids.as_slice())
    }

    /// Returns the diff_ids and the platform.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedDocument`].
    fn said(&self) -> Result<&(Vec<Digest>, Option<Platform>)> {
        self.said.as_ref().map_err(|reason| Error::MalformedDocument {
            digest: self.digest.clone(),
            kind: "image config",
            reason: Reason::new(reason.clone()),
        })
    }
}

impl<'a> Saved<'a> {
    pub(crate) fn new(entries: &'a Entries<'a>, options: &'a LoadOptions<'a>) -> Self {
        Self { entries, options, configs: HashMap::new(), layers: HashMap::new(), diff_ids: HashMap::new() }
    }

    /// Computes the digests of the layers of some images, several layers in parallel.
    pub(crate) fn read_layers<'i>(&mut self, images: impl IntoIterator<Item = &'i Listed>) -> Result<()> {
        let mut contents: Vec<(&str, Span)> = Vec::new();
        let mut seen: HashSet<Span> = self.layers.keys().copied().collect();
        for name in images.into_iter().flat_map(|image| &image.layers) {
            let span = self.span(name)?;
            if seen.insert(span) {
                contents.push((name, span));
            }
        }
        let (entries, progress) = (self.entries, self.options.progress);
        let layers = map_bounded(&contents, cores(), |(name, span)| {
            let content = entries.content(*span);
            let looked_at = look_at(&content, Algorithm::Sha256, progress);
            let (digest, encoding) = looked_at.map_err(Error::io("read", entries.path))?;
            let encoding = match encoding {
                Encoding::Identity => LayerEncoding::Tar,
                Encoding::Gzip => LayerEncoding::Gzip,
                Encoding::Zstd => LayerEncoding::Zstd,
                Encoding::Xz | Encoding::Bzip2 => {
                    let reason = format!("is a layer stored as {}, which images cannot have", encoding.name());
                    return Err(entries.not_safe(name, reason));
                }
            };
            Ok((Descriptor::new(MediaType::layer(encoding), digest, content.size()), content))
        })?;
        self.layers.extend(contents.into_iter().map(|(_, span)| span).zip(layers));
        Ok(())
    }

    /// Finds a file that `manifest.json` names.
    fn span(&self, name: &str) -> Result<Span> {
        let found = normal(name);
        self.entries.span(&found).ok_or_else(|| match self.entries.dangling(&found) {
            Some(dangling) => dangling,
            None => {
                let name = name.escape_debug();
                not_an_archive(self.entries.path, format!("{MANIFEST_FILE} refers to '{name}', which does not exist"))
            }
        })
    }

    /// Reads a config.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`] if the file does not exist; [`Error::TooLarge`]; [`Error::Io`].
    pub(crate) fn config(&mut self, name: &str) -> Result<Arc<Config>> {
        let span = self.span(name)?;
        if let Some(known) = self.configs.get(&span) {
            return Ok(Arc::clone(known));
        }
        let bytes = self.entries.read(&normal(name), DOCUMENT_BLOB_LIMIT)?.unwrap_or_default();
        let parsed = oci::from_json::<ImageConfig>(&bytes);
        let config = Arc::new(Config {
            digest: Digest::sha256_of(&bytes),
            content: self.entries.content(span),
            said: parsed
                .map(|config| {
                    let platform = config.platform();
                    (config.rootfs.diff_ids, platform)
                })
                .map_err(|error| error.to_string()),
        });
        self.configs.insert(span, Arc::clone(&config));
        Ok(config)
    }

    /// Returns the digest of a decompressed layer. Each layer is decompressed once.
    pub(crate) fn diff_id(&mut self, name: &str, span: Span, algorithm: Algorithm) -> Result<Digest> {
        if let Some(known) = self.diff_ids.get(&(span, algorithm)) {
            return Ok(known.clone());
        }
        let content = self.entries.content(span);
        let mut head = [0; 16];
        let read = content.read_at(&mut head, 0).map_err(Error::io("read", self.entries.path))?;
        let encoding = Encoding::of(&head[..read]);
        let computed = decompressed_digest(&content, encoding, algorithm, self.options);
        let digest = computed.map_err(|error| {
            self.entries.not_safe(name, format!("is not a sound {} stream: {error}", encoding.name()))
        })?;
        self.diff_ids.insert((span, algorithm), digest.clone());
        Ok(digest)
    }

    /// Returns a layer, after checking it against the diff_id in the config.
    fn layer(&mut self, name: &str, diff_id: &Digest, blobs: &mut Blobs) -> Result<Descriptor> {
        let span = self.span(name)?;
        let (layer, content) = self.layers[&span].clone();
        blobs.insert(layer.digest.clone(), content);
        if layer.media_type.layer_encoding() == Some(LayerEncoding::Tar) && layer.digest == *diff_id {
            return Ok(layer);
        }
        let algorithm = diff_id.algorithm();
        let algorithm = algorithm.ok_or_else(|| Error::UnsupportedAlgorithm { digest: diff_id.clone() })?;
        let actual = self.diff_id(name, span, algorithm)?;
        if actual != *diff_id {
            let reason = format!("is not the layer that the config says: expected {diff_id}, got {actual}");
            return Err(self.entries.not_safe(name, reason));
        }
        Ok(layer)
    }

    /// Generates the manifest of an image whose layers were read, and returns an entry for it. The manifest, the config
    /// and the layers are added to `blobs`.
    pub(crate) fn convert(&mut self, image: &Listed, blobs: &mut Blobs) -> Result<Descriptor> {
        let config = self.config(&image.config)?;
        let (diff_ids, platform) = config.said()?;
        if image.layers.len() != diff_ids.len() {
            let (of, name) = (counted(image.layers.len(), "layer"), image.config.escape_debug());
            let reason = format!("{MANIFEST_FILE} lists {of} for '{name}', which has {}", diff_ids.len());
            return Err(not_an_archive(self.entries.path, reason));
        }
        let layers = image.layers.iter().zip(diff_ids).map(|(name, diff_id)| self.layer(name, diff_id, blobs));
        let layers = layers.collect::<Result<_>>()?;
        let entry = Descriptor::new(MediaType::config(), config.digest.clone(), config.content.size());
        let manifest = oci::to_blob(&Manifest::new(entry, layers));
        let digest = Digest::sha256_of(&manifest);
        let mut entry = Descriptor::new(MediaType::manifest(), digest.clone(), manifest.len() as u64);
        entry.platform = platform.clone().map(Box::new);
        blobs.insert(digest, Content::in_memory(manifest));
        blobs.insert(config.digest.clone(), config.content.clone());
        Ok(entry)
    }
}

/// Returns the digest of a decompressed layer.
fn decompressed_digest(
    content: &Content,
    encoding: Encoding,
    algorithm: Algorithm,
    options: &LoadOptions<'_>,
) -> std::io::Result<Digest> {
    let stream = BufReader::with_capacity(BUFFER, content.reader());
    let mut reader = bounded_decoder(encoding, stream, Some(content.size()), options.bounds)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Reads a layer, and returns its digest and its compression.
fn look_at(content: &Content, algorithm: Algorithm, progress: Progress<'_>) -> std::io::Result<(Digest, Encoding)> {
    let mut hasher = Hasher::new(algorithm);
    let mut encoding = Encoding::Identity;
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    loop {
        let read = content.read_at(&mut buffer, at)?;
        let bytes = &buffer[..read];
        if read == 0 {
            return Ok((hasher.finish(), encoding));
        }
        if at == 0 {
            encoding = Encoding::of(bytes);
        }
        hasher.update(bytes);
        progress.add(read as u64);
        at += read as u64;
    }
}
