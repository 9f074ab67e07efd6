//! What makes an archive one that Docker reads: `manifest.json`, which says of each image what it is called, its config and
//! its layers. The files are those of the layout, so that everything is in the archive once.

use serde::Serialize;

use crate::layout::error::{Error, Reason, Result};
use crate::layout::handle::BLOBS_DIRECTORY;
use crate::layout::view::View;
use crate::layout::walk::Documents;
use crate::oci::{self, Descriptor, Digest, IMAGE_NAME, Index, LayerEncoding, Manifest, WholeName};

/// The file that describes the images of a Docker archive.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// An image, as `docker save` writes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Returns the view with the names that Docker looks for in its index, and its `manifest.json`.
pub(super) fn describe(view: &View) -> Result<(View, Vec<u8>)> {
    let mut images: Vec<(Digest, Image)> = Vec::new();
    let mut manifests = view.index().manifests.clone();
    for entry in &mut manifests {
        let tags = entry.repo_tags();
        if entry.image_name().is_none() {
            let whole = tags.first().and_then(|tag| WholeName::parse(tag)).map(|whole| whole.full());
            entry.set_name(IMAGE_NAME, whole);
        }
        let at = match images.iter().position(|(digest, _)| *digest == entry.digest) {
            Some(at) => at,
            None => {
                images.push((entry.digest.clone(), image(view, entry)?));
                images.len() - 1
            }
        };
        for tag in tags {
            let known = images[at].1.repo_tags.get_or_insert_default();
            if !known.iter().any(|other| WholeName::parse(other) == WholeName::parse(&tag)) {
                known.push(tag);
            }
        }
    }
    let images: Vec<_> = images.into_iter().map(|(_, image)| image).collect();
    let content = crate::json::to_compact(&images);
    Ok((view.with_index(Index { manifests, ..view.index().clone() }), content))
}

/// Describes an image, without its names.
fn image(view: &View, entry: &Descriptor) -> Result<Image> {
    let cannot = |what: String| Err(Error::CannotHold { format: "a Docker archive", what });
    let digest = &entry.digest;
    if entry.is_index() {
        let name = entry.names().next().unwrap_or(digest.as_str()).escape_debug();
        return cannot(format!("the index {name}: it has images for several platforms; choose one with --platform"));
    }
    let content = view.read(digest, "index.json")?;
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
