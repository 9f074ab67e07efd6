//! What makes an archive one that Docker reads: `manifest.json`, which says of each image what it is called, its config and
//! its layers. The files are those of the layout, so that everything is in the archive once.

use serde::Serialize;

use crate::layout::error::{Error, Reason, Result};
use crate::layout::handle::BLOBS_DIRECTORY;
use crate::layout::view::View;
use crate::layout::walk::Documents;
use crate::oci::{self, CONTAINERD_NAME, Descriptor, Digest, Index, LayerEncoding, Manifest, Tag};

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
        let name = entry.ref_name().filter(|name| is_docker_name(name)).map(str::to_owned);
        if let Some(name) = &name {
            entry.annotations.get_or_insert_default().insert(CONTAINERD_NAME.to_owned(), full_name(name));
        }
        let at = match images.iter().position(|(digest, _)| *digest == entry.digest) {
            Some(at) => at,
            None => {
                images.push((entry.digest.clone(), image(view, entry)?));
                images.len() - 1
            }
        };
        if let Some(name) = name {
            images[at].1.repo_tags.get_or_insert_default().push(name);
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
        let name = entry.ref_name().unwrap_or(digest.as_str()).escape_debug();
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

/// Tells whether a name has a repository and a tag, as Docker wants them. A repository may begin with a host and its port.
pub fn is_docker_name(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(repository, tag)| {
        let path =
            repository.split_once('/').map_or(repository, |(host, path)| if is_host(host) { path } else { repository });
        Tag::is_one(tag) && crate::oci::RepositoryName::is_one(path)
    })
}

/// Tells whether the first part of a name is that of a registry, as Docker tells it.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

/// Returns a name with its registry, as containerd has it.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some(("docker.io", name)) if !name.contains('/') => format!("docker.io/library/{name}"),
        Some((host, _)) if is_host(host) => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_docker_takes() {
        for (name, full) in [
            ("app:v1", "docker.io/library/app:v1"),
            ("example/app:v1", "docker.io/example/app:v1"),
            ("example.com/app:v1", "example.com/app:v1"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("docker.io/app:v1", "docker.io/library/app:v1"),
        ] {
            assert!(is_docker_name(name), "{name}");
            assert_eq!(full_name(name), full);
        }
        for bad in ["v1", "latest", "app", "app@sha256:00", "App:v1", ":v1", "app:"] {
            assert!(!is_docker_name(bad), "{bad}");
        }
    }
}
