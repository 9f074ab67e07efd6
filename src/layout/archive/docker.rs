//! What `docker save` and `podman save` write: images that `manifest.json` lists, turned into those of a layout.
//!
//! Configs and layers are what they are there, byte for byte. The manifests are made here; equal archives give equal ones.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};

use serde::Deserialize;

use super::entries::Entries;
use super::names::normal;
use super::{LoadOptions, MANIFEST_FILE, not_an_archive};
use crate::compress::{BUFFER, Bounds, Encoding, bounded_decoder};
use crate::layout::blobs::DOCUMENT_BLOB_LIMIT;
use crate::layout::document::ARCHIVE_DOCUMENT_LIMIT;
use crate::layout::error::{Error, Reason, Result};
use crate::layout::metrics::Progress;
use crate::layout::parallel::{cores, map_bounded};
use crate::layout::view::Content;
use crate::oci::{
    self, Algorithm, Annotations, Descriptor, Digest, Hasher, ImageConfig, Index, LayerEncoding, Manifest, MediaType,
    REF_NAME, UnknownFields, is_name,
};

/// An image, as `manifest.json` lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Everything that images refer to.
type Blobs = HashMap<Digest, Content>;

/// Reads the images, and gives them manifests. Each layer is read once.
///
/// # Errors
///
/// [`Error::NotAnArchive`]; [`Error::UnsafeEntry`] for a layer that is not what the config says; [`Error::MalformedDocument`],
/// [`Error::TooLarge`]; [`Error::Io`].
pub(super) fn read(entries: &Entries<'_>, options: &LoadOptions<'_>) -> Result<(Index, Blobs)> {
    let images = listed(entries)?;
    let layers = Layers::read(entries, &images, options)?;
    let found = layers.layers.iter().map(|(layer, content)| (layer.digest.clone(), content.clone()));
    let mut blobs: Blobs = found.collect();
    let mut index = Index::empty();
    for image in images {
        let (entry, documents) = convert(entries, &image, &layers)?;
        blobs.extend(documents);
        let names = names(image.repo_tags.unwrap_or_default());
        // As Docker has it, the last image of a name is the one that has it.
        for earlier in &mut index.manifests {
            if earlier.ref_name().is_some_and(|name| names.iter().any(|taken| taken == name)) {
                earlier.unname();
            }
        }
        let named = names.into_iter().map(|name| Descriptor {
            annotations: Some(Annotations::from([(REF_NAME.to_owned(), name)])),
            ..entry.clone()
        });
        let before = index.manifests.len();
        index.manifests.extend(named);
        if index.manifests.len() == before {
            index.manifests.push(entry);
        }
    }
    Ok((index, blobs))
}

/// Returns the names of an image, each once.
fn names(repo_tags: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    repo_tags.into_iter().filter(|name| is_name(name) && seen.insert(name.clone())).collect()
}

fn listed(entries: &Entries<'_>) -> Result<Vec<Listed>> {
    let says = |reason: String| not_an_archive(entries.path, format!("{MANIFEST_FILE} {reason}"));
    let content =
        entries.read(MANIFEST_FILE, ARCHIVE_DOCUMENT_LIMIT)?.ok_or_else(|| says("is a link to nothing".into()))?;
    match oci::from_json::<Option<Vec<Listed>>>(&content) {
        Ok(Some(images)) if is_crowded(&images, content.len()) => {
            Err(says("lists too many images and names for its size".into()))
        }
        Ok(Some(images)) if !images.is_empty() => Ok(images),
        Ok(Some(_)) => Err(says("lists no image".into())),
        Ok(None) => Err(says("is null, not a list of images".into())),
        Err(error) => Err(says(format!("is not a list of images: {error}"))),
    }
}

/// Tells whether a `manifest.json` has more images and names than can be kept in memory for its size: each becomes an entry, and
/// each layer a descriptor.
fn is_crowded(images: &[Listed], size: usize) -> bool {
    const ENTRY: usize = 1500;
    const LAYER: usize = 500;
    const TIMES: usize = 6;
    const ALLOWANCE: usize = 32 << 20;
    let becomes = |image: &Listed| {
        let names = image.repo_tags.as_ref().map_or(0, Vec::len);
        let layers = image.layers.as_ref().map_or(0, Vec::len);
        (names + 1) * ENTRY + layers * LAYER
    };
    images.iter().map(becomes).sum::<usize>() > size * TIMES + ALLOWANCE
}

/// The layers of all images.
struct Layers {
    /// Which layer a name is that of.
    names: HashMap<String, usize>,
    layers: Vec<(Descriptor, Content)>,
    /// How much those may decompress to that are compressed.
    bounds: Bounds,
}

impl Layers {
    /// Computes the digests, of several layers at once.
    fn read(entries: &Entries<'_>, images: &[Listed], options: &LoadOptions<'_>) -> Result<Self> {
        let mut contents: Vec<(&str, Content)> = Vec::new();
        let mut names = HashMap::new();
        let mut seen = HashMap::new();
        for name in images.iter().flat_map(|image| image.layers.iter().flatten()) {
            let content = file(entries, name)?;
            let at = *seen.entry(entries.span(&normal(name))).or_insert_with(|| {
                contents.push((name, content));
                contents.len() - 1
            });
            names.insert(name.clone(), at);
        }
        let layers = map_bounded(&contents, cores(), |(name, content)| {
            let looked_at = look_at(content, Algorithm::Sha256, options.progress);
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
            Ok((Descriptor::new(MediaType::layer(encoding), digest, content.size()), content.clone()))
        })?;
        Ok(Self { names, layers, bounds: options.bounds })
    }

    /// Returns the digest of a layer without its compression.
    fn diff_id(&self, content: &Content, encoding: Encoding, algorithm: Algorithm) -> std::io::Result<Digest> {
        let stream = BufReader::with_capacity(BUFFER, content.reader());
        let mut reader = bounded_decoder(encoding, stream, Some(content.size()), self.bounds)?;
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    /// Returns a layer, which must be what the config says.
    fn get(&self, entries: &Entries<'_>, name: &str, diff_id: &Digest) -> Result<Descriptor> {
        let (layer, content) = &self.layers[self.names[name]];
        let encoding = match layer.media_type.layer_encoding() {
            Some(LayerEncoding::Gzip) => Encoding::Gzip,
            Some(LayerEncoding::Zstd) => Encoding::Zstd,
            _ => Encoding::Identity,
        };
        if encoding == Encoding::Identity && layer.digest == *diff_id {
            return Ok(layer.clone());
        }
        let algorithm = diff_id.algorithm();
        let algorithm = algorithm.ok_or_else(|| Error::UnsupportedAlgorithm { digest: diff_id.clone() })?;
        let actual = self
            .diff_id(content, encoding, algorithm)
            .map_err(|error| entries.not_safe(name, format!("is not a sound {} stream: {error}", encoding.name())))?;
        if actual != *diff_id {
            let reason = format!("is not the layer that the config says: expected {diff_id}, got {actual}");
            return Err(entries.not_safe(name, reason));
        }
        Ok(layer.clone())
    }
}

/// Makes the manifest of an image, and returns what leads to it, with it and the config.
fn convert(entries: &Entries<'_>, image: &Listed, layers: &Layers) -> Result<(Descriptor, [(Digest, Content); 2])> {
    let content = file(entries, &image.config)?;
    let config = entries.read(&normal(&image.config), DOCUMENT_BLOB_LIMIT)?.unwrap_or_default();
    let config_digest = Digest::sha256_of(&config);
    let parsed: ImageConfig = oci::from_json(&config).map_err(|error| Error::MalformedDocument {
        digest: config_digest.clone(),
        kind: "image config",
        reason: Reason::from(error),
    })?;
    let names = image.layers.as_deref().unwrap_or_default();
    let diff_ids = &parsed.rootfs.diff_ids;
    if names.len() != diff_ids.len() {
        let (of, config) = (names.len(), image.config.escape_debug());
        let reason = format!("{MANIFEST_FILE} lists {of} layers for '{config}', which has {}", diff_ids.len());
        return Err(not_an_archive(entries.path, reason));
    }
    let layers = names.iter().zip(diff_ids).map(|(name, diff_id)| layers.get(entries, name, diff_id));
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::manifest()),
        artifact_type: None,
        config: Descriptor::new(MediaType::config(), config_digest.clone(), content.size()),
        layers: layers.collect::<Result<_>>()?,
        subject: None,
        annotations: None,
        extra: UnknownFields::new(),
    };
    let manifest = oci::to_blob(&manifest);
    let digest = Digest::sha256_of(&manifest);
    let mut entry = Descriptor::new(MediaType::manifest(), digest.clone(), manifest.len() as u64);
    entry.platform = parsed.platform();
    Ok((entry, [(digest, Content::in_memory(manifest)), (config_digest, content)]))
}

/// Finds a file that `manifest.json` names.
fn file(entries: &Entries<'_>, name: &str) -> Result<Content> {
    entries.file(&normal(name)).ok_or_else(|| {
        let name = name.escape_debug();
        not_an_archive(entries.path, format!("{MANIFEST_FILE} refers to '{name}', which does not exist"))
    })
}

/// Reads a layer, and tells its digest and how it is compressed.
fn look_at(
    content: &Content,
    algorithm: Algorithm,
    progress: Option<Progress<'_>>,
) -> std::io::Result<(Digest, Encoding)> {
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
        progress.into_iter().for_each(|progress| progress(read as u64));
        at += read as u64;
    }
}
