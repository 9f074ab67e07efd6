//! The `manifest.json` that makes an archive readable for Docker: the names, the config and the layers of each image.
//! It refers to the files of the layout, so that all content is in the archive once.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::walk::{Document, Documents, read_entry};
use crate::layout::site::BLOBS_DIRECTORY;
use crate::oci::{self, Descriptor, Digest, IMAGE_NAME, Index, LayerEncoding, Manifest, WholeName};
use crate::view::index_view::View;

/// An image, as `docker save` writes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl View {
    /// Keeps the entries that a Docker archive can hold, which are images, and returns the others: artifacts, and
    /// content that is no document. Indexes stay. If there is no image, all entries stay: the export then reports why
    /// it cannot hold them.
    ///
    /// # Errors
    ///
    /// The errors of reading a document.
    pub fn images_for_docker(&self) -> Result<(Self, Vec<Descriptor>)> {
        let mut others = Vec::new();
        let mut kept = Vec::new();
        let mut known: HashMap<Digest, bool> = HashMap::new();
        for entry in &self.index().manifests {
            let is_kept = match known.get(&entry.digest) {
                Some(known) => *known,
                None => entry.is_index() || is_image(self, entry)?,
            };
            known.insert(entry.digest.clone(), is_kept);
            if is_kept { &mut kept } else { &mut others }.push(entry.clone());
        }
        if kept.is_empty() {
            return Ok((self.clone(), Vec::new()));
        }
        Ok((self.with_index(Index { manifests: kept, ..self.index().clone() }), others))
    }
}

/// Returns whether an entry is an image. A missing manifest counts as an image; the export reports it as missing.
fn is_image(view: &View, entry: &Descriptor) -> Result<bool> {
    match read_entry(view, entry, None) {
        Ok(Some(Document::Manifest(manifest))) => Ok(manifest.config.media_type.is_image_config()),
        Ok(document) => Ok(matches!(document, Some(Document::Index(_)))),
        Err(Error::MissingBlob { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Returns the view with the names that Docker looks up in its index, and its `manifest.json`.
pub(crate) fn describe(view: &View) -> Result<(View, Vec<u8>)> {
    let (view, _) = view.images_for_docker()?;
    let view = &view;
    let mut images: Vec<Image> = Vec::new();
    let mut places: HashMap<Digest, usize> = HashMap::new();
    let mut called: HashSet<(usize, String)> = HashSet::new();
    let mut manifests = view.index().manifests.clone();
    for entry in &mut manifests {
        let tags = entry.repo_tags();
        if entry.image_name().is_none() {
            let whole = tags.first().and_then(|tag| WholeName::parse(tag)).map(|whole| whole.full());
            entry.set_name(IMAGE_NAME, whole);
        }
        let at = match places.get(&entry.digest) {
            Some(at) => *at,
            None => {
                places.insert(entry.digest.clone(), images.len());
                images.push(image(view, entry)?);
                images.len() - 1
            }
        };
        for tag in tags {
            let full = WholeName::parse(&tag).map_or_else(|| tag.clone(), |whole| whole.full());
            if called.insert((at, full)) {
                images[at].repo_tags.get_or_insert_default().push(tag);
            }
        }
    }
    let content = crate::json::to_compact(&images);
    Ok((view.with_index(Index { manifests, ..view.index().clone() }), content))
}

/// Returns the list element for an image, without its names.
fn image(view: &View, entry: &Descriptor) -> Result<Image> {
    let cannot = |what: String| Err(Error::CannotHold { format: "a Docker archive", what });
    let digest = &entry.digest;
    if entry.is_index() {
        let name = entry.names().next().unwrap_or(digest.as_str()).escape_debug();
        return cannot(format!("the index {name}: it has images for several platforms; choose one with --platform"));
    }
    if !entry.media_type.is_manifest() && !is_image(view, entry)? {
        return cannot(format!("{digest}: it is no image, but {}", entry.media_type));
    }
    let content = view.read(digest, &Referrer::Index)?;
    let manifest: Manifest = match oci::from_json(&content) {
        Ok(manifest) => manifest,
        Err(error) => {
            let reason = Reason::from(error);
            return Err(Error::MalformedDocument { digest: digest.clone(), kind: "image manifest", reason });
        }
    };
    if !manifest.config.media_type.is_image_config() {
        return cannot(format!("{digest}: it is no image; its config is {}", manifest.config.media_type));
    }
    for layer in &manifest.layers {
        match layer.media_type.layer_encoding() {
            Some(LayerEncoding::Tar | LayerEncoding::Gzip) => {}
            Some(LayerEncoding::Zstd) => return cannot(format!("layer {}: it is compressed with zstd", layer.digest)),
            None => return cannot(format!("layer {}: it is {}, not a tar", layer.digest, layer.media_type)),
        }
    }
    Ok(Image {
        config: path(&manifest.config.digest),
        repo_tags: None,
        layers: manifest.layers.iter().map(|layer| path(&layer.digest)).collect(),
    })
}

fn path(digest: &Digest) -> String {
    format!("{BLOBS_DIRECTORY}/{}/{}", digest.algorithm_name(), digest.encoded())
}
