//! Images in the directories that skopeo calls `dir:` and podman `docker-dir`: `manifest.json`, beside it the blobs,
//! named by their bare hashes, and the manifests of an index, named `<hash>.manifest.json`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::listed::MANIFEST_FILE;
use crate::compress::Encoding;
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::platform::Platforms;
use crate::graph::walk::Document;
use crate::json::Node;
use crate::layout::site::has_marker;
use crate::oci::{self, Descriptor, Digest, Index, LayerEncoding, Manifest, MediaType};
use crate::view::index_view::View;
use crate::view::rewrite::Rewrite;

/// The suffix of the names of manifests of an index.
const NESTED_SUFFIX: &str = ".manifest.json";

/// Returns whether a directory holds an image in this format.
pub(crate) fn is_dir_image(path: &Path) -> bool {
    path.join(MANIFEST_FILE).is_file() && !has_marker(path)
}

/// Opens such a directory. Docker media types, which are usual there, are read as those of the image-spec, as in
/// skopeo.
pub(crate) fn load_dir_image(path: &Path) -> Result<View> {
    let malformed = |reason: Reason| {
        let reason = if reason.is_byte_order_mark() { reason.after("manifest.json: ") } else { reason };
        Error::NotAnArchive { path: path.to_owned(), reason }
    };
    let blobs = blobs(path)?;
    let file = path.join(MANIFEST_FILE);
    let content = fs::read(&file).map_err(Error::io("read", &file))?;
    let media_type =
        Node::object(&content).map_err(Reason::from).and_then(Document::media_type_of).map_err(malformed)?;
    let view = View::new(Index::empty(), blobs, path.to_owned());
    let digest = Digest::sha256_of(&content);
    let (view, entry) = view.with_document(media_type, content, Referrer::Document(digest.clone()));
    let view = view.with_index(Index { manifests: vec![entry], ..Index::empty() });
    let view = to_oci(&view)?;
    let mut index = view.index().clone();
    for entry in index.manifests.iter_mut().filter(|entry| !entry.is_index()) {
        entry.platform = Platforms::new(&view).of(entry).map(Box::new);
    }
    Ok(view.with_index(index))
}

/// Returns a view whose documents of Docker's are those of the image-spec.
///
/// # Errors
///
/// [`Error::MissingBlob`]; the errors of reading a document.
pub(crate) fn to_oci(view: &View) -> Result<View> {
    view.rewritten(&mut ToOci(view.clone()))
}

/// Converts Docker documents into those of the image-spec.
struct ToOci(View);

impl Rewrite for ToOci {
    fn media_type(&self, media_type: &MediaType) -> MediaType {
        media_type.to_oci()
    }

    fn manifest(&mut self, entry: &Descriptor, mut manifest: Manifest) -> Result<Option<Vec<u8>>> {
        let media_type = entry.media_type.to_oci();
        if media_type == entry.media_type {
            return Ok(None);
        }
        manifest.config.media_type = manifest.config.media_type.to_oci();
        for layer in &mut manifest.layers {
            layer.media_type = layer_to_oci(&self.0, layer)?;
        }
        manifest.media_type = Some(media_type);
        Ok(Some(oci::to_blob(&manifest)))
    }

    fn allows_missing(&self) -> bool {
        false
    }
}

/// Returns the image-spec media type of a layer. podman writes plain tars with a media type of gzip layers.
fn layer_to_oci(view: &View, layer: &Descriptor) -> Result<MediaType> {
    let media_type = layer.media_type.to_oci();
    if media_type == layer.media_type || media_type.is_non_distributable() {
        return Ok(media_type);
    }
    let Some(content) = view.content(&layer.digest)? else { return Ok(media_type) };
    let mut head = [0; 16];
    let read = content.read_at(&mut head, 0).map_err(Error::io("read", view.path()))?;
    Ok(match Encoding::of(&head[..read]) {
        Encoding::Identity => MediaType::layer(LayerEncoding::Tar),
        Encoding::Gzip => MediaType::layer(LayerEncoding::Gzip),
        Encoding::Zstd => MediaType::layer(LayerEncoding::Zstd),
        Encoding::Xz | Encoding::Bzip2 => media_type,
    })
}

/// Returns the blobs by their digests.
fn blobs(path: &Path) -> Result<HashMap<Digest, PathBuf>> {
    let mut blobs = HashMap::new();
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let hash = name.strip_suffix(NESTED_SUFFIX).unwrap_or(name);
        let Ok(digest) = format!("sha256:{hash}").parse::<Digest>() else { continue };
        blobs.insert(digest, entry.path());
    }
    Ok(blobs)
}
