//! The documents and layers of images, for tests of the commands that rewrite images.

use std::io::Read;

use serde_json::Value;

use crate::support::*;

/// An image of a layout: its documents, and the uncompressed tars of its layers.
pub(crate) struct Image {
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    pub(crate) tars: Vec<Vec<u8>>,
}

impl Image {
    /// Reads the image of a tag.
    #[track_caller]
    pub(crate) fn of(sandbox: &Sandbox, tag: &str) -> Self {
        let manifest = sandbox.ok_json(&format!("manifest get -p image:{tag}"));
        Self::of_manifest(sandbox, manifest)
    }

    /// Reads the images of the index of a tag.
    #[track_caller]
    pub(crate) fn all_of(sandbox: &Sandbox, tag: &str) -> Vec<Self> {
        let index = sandbox.ok_json(&format!("manifest get -p image:{tag}"));
        let manifests = index["manifests"].as_array().expect("an index");
        let digest = |entry: &Value| entry["digest"].as_str().expect("a digest").to_owned();
        manifests.iter().map(|entry| Self::of_manifest(sandbox, sandbox.blob_json(&digest(entry)))).collect()
    }

    #[track_caller]
    fn of_manifest(sandbox: &Sandbox, manifest: Value) -> Self {
        let config = sandbox.blob_json(manifest["config"]["digest"].as_str().expect("a digest"));
        let layers = manifest["layers"].as_array().expect("layers");
        let tar = |layer: &Value| {
            let stored = sandbox.blob(layer["digest"].as_str().expect("a digest"));
            match layer["mediaType"].as_str().expect("a type").rsplit_once('+') {
                None => stored,
                Some((_, "gzip")) => gunzip(&stored),
                Some((_, format)) => {
                    assert_eq!(format, "zstd");
                    zstd::decode_all(stored.as_slice()).expect("zstd")
                }
            }
        };
        let tars: Vec<_> = layers.iter().map(tar).collect();
        let image = Self { config, tars, manifest };
        let diff_ids: Vec<_> = image.tars.iter().map(|tar| sha256(tar)).collect();
        assert_eq!(image.config["rootfs"]["diff_ids"], Value::from(diff_ids), "{}", image.config);
        image
    }

    /// Returns the endings of the layers' media types.
    pub(crate) fn formats(&self) -> Vec<String> {
        let layers = self.manifest["layers"].as_array().expect("layers");
        let ending = |layer: &Value| {
            layer["mediaType"]
                .as_str()
                .expect("a type")
                .trim_start_matches("application/vnd.oci.image.layer.")
                .to_owned()
        };
        layers.iter().map(ending).collect()
    }

    /// Returns the entries of each layer, as [`listed`] does.
    pub(crate) fn entries(&self) -> Vec<Vec<String>> {
        self.tars.iter().map(|tar| listed(tar)).collect()
    }
}

/// Returns the entries of a tar: `dir/`, `file=content`, `link>target`, `hard&target`, others with their type flag.
pub(crate) fn listed(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let mut content = String::new();
        match entry.header().entry_type().as_byte() {
            b'0' | b'7' | 0 => {
                entry.read_to_string(&mut content).expect("text");
                format!("{path}={content}")
            }
            b'1' => format!("{path}&{}", target.expect("a target")),
            b'2' => format!("{path}>{}", target.expect("a target")),
            b'5' => path,
            flag => format!("{} {path}", char::from(flag)),
        }
    };
    archive.entries().expect("a tar").map(entry).collect()
}

/// Checks that the layout `image` is valid, with layers that nothing refers to any more.
#[track_caller]
pub(crate) fn is_sound(sandbox: &Sandbox) {
    let report = sandbox.ok_json("validate -p image --deep");
    assert_eq!(report["valid"], true, "{report}");
}
