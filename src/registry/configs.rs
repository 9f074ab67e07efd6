//! Reading the configs of images and artifacts.

use super::manifests::StoredManifest;
use super::repository::Repository;
use super::resolve::ManifestName;
use crate::error::{ConfigError, Error, Reason, Referrer, Result};
use crate::graph::images::images_of;
use crate::graph::platform::{Choice, Platforms};
use crate::graph::walk::{Document, read_described, read_entry};
use crate::layout::handle::Layout;
use crate::oci::{Descriptor, Digest, Index};

/// A stored config and its descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StoredConfig {
    /// The descriptor of the manifest that refers to it.
    pub manifest: Descriptor,
    /// Its descriptor in the manifest.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Vec<u8>,
    /// The platform that was chosen, if one was asked for.
    pub choice: Option<Choice>,
}

impl Repository {
    /// Reads the config of the image that a reference resolves to. Of an index with one image, that is the one.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::get`]; [`ConfigError::SeveralImages`], [`ConfigError::NoImages`];
    /// [`Error::MalformedDocument`] if the manifest is not one.
    pub fn config<'a>(&self, name: impl Into<ManifestName<'a>>) -> Result<StoredConfig> {
        let name = name.into();
        let layout = &self.layout()?;
        let read = || {
            let StoredManifest { descriptor, content, choice } = self.get(name)?;
            let (manifest, document) = match Document::of_entry(&descriptor, &content)? {
                Some(Document::Index(index)) => {
                    let entry = only_image_of(layout, &descriptor.digest, *index, name.reference)?;
                    let document = read_entry(layout, &entry, Some(&descriptor.digest))?;
                    (entry, document)
                }
                document => (descriptor, document),
            };
            let Some(Document::Manifest(document)) = document else {
                return Err(Error::MalformedDocument {
                    digest: manifest.digest,
                    kind: "image manifest",
                    reason: Reason::new("it has no config"),
                });
            };
            let config = document.config;
            let referrer = Referrer::Document(manifest.digest.clone());
            let content = read_described(layout, &config, &referrer)?;
            Ok(StoredConfig { manifest, descriptor: config, content, choice })
        };
        self.site.read_unlocked(read, |_| true)
    }
}

/// Returns the only image of an index.
fn only_image_of(layout: &Layout, digest: &Digest, index: Index, reference: &str) -> Result<Descriptor> {
    let mut images = images_of(layout, digest, index)?;
    let reference = || reference.to_owned();
    match images.len() {
        0 => Err(ConfigError::NoImages { reference: reference() }.into()),
        1 => Ok(images.remove(0)),
        _ => {
            let mut platforms = Platforms::new(layout);
            let called = |image: &Descriptor| match platforms.of(image) {
                Some(platform) => platform.to_string(),
                None => image.digest.to_string(),
            };
            let platforms = images.iter().map(called).collect();
            Err(ConfigError::SeveralImages { reference: reference(), platforms }.into())
        }
    }
}
