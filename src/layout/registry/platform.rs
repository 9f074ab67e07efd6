//! From an image for several platforms to that for one of them.

use super::resolve::Found;
use super::{Error, Repository, Result};
use crate::layout::walk::Reach;
use crate::oci::{Descriptor, ImageConfig, Index, Manifest, MediaType, Platform};

impl Repository {
    /// Finds what a reference means, as [`Repository::resolve`] does, and in an index the manifest for a platform.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve`]; [`Error::UnknownPlatform`].
    pub fn resolve_for(&self, reference: &str, platform: Option<&Platform>) -> Result<Descriptor> {
        let resolve = || {
            let index = self.index()?;
            let found = self.find(&index, reference)?;
            match platform {
                None => Ok(found.descriptor),
                Some(platform) => self.for_platform(&index, found, reference, platform),
            }
        };
        self.layout.read_unlocked(resolve, |_| true)
    }

    fn for_platform(&self, index: &Index, found: Found, reference: &str, platform: &Platform) -> Result<Descriptor> {
        // Some programs give the images of one name a name each, instead of an index.
        let meant: Vec<&Descriptor> = match &found.tag {
            Some(tag) => index.manifests.iter().filter(|entry| found.names.is_tagged(entry, tag)).collect(),
            None => vec![&found.descriptor],
        };
        let mut platforms = Vec::new();
        for visit in self.layout.walk(meant, Reach::Indexes) {
            if visit.entry.media_type.is_index() {
                continue;
            }
            match self.platform_of(&visit.entry) {
                Some(found) if found.satisfies(platform) => return Ok(visit.entry),
                Some(found) if found.os.as_deref() != Some("unknown") => platforms.push(found.to_string()),
                _ => {}
            }
        }
        if platforms.is_empty() {
            platforms.push("no platform that it says".to_owned());
        }
        Err(Error::UnknownPlatform { reference: reference.to_owned(), platform: Box::new(platform.clone()), platforms })
    }

    /// Returns the platform that the descriptor of a manifest says, or else the config of its image.
    pub(super) fn platform_of(&self, descriptor: &Descriptor) -> Option<Platform> {
        if descriptor.platform.is_some() {
            return descriptor.platform.clone();
        }
        let content = self.layout.read_document_blob(&descriptor.digest, "").ok()?;
        self.platform_of_image(&descriptor.media_type, &content)
    }

    /// Returns the platform that the config of an image says, if it can be read.
    pub(super) fn platform_of_image(&self, media_type: &MediaType, content: &[u8]) -> Option<Platform> {
        if !media_type.is_manifest() {
            return None;
        }
        let config = serde_json::from_slice::<Manifest>(content).ok()?.config;
        if !config.media_type.is_image_config() {
            return None;
        }
        let config = self.layout.read_document_blob(&config.digest, "").ok()?;
        Some(serde_json::from_slice::<ImageConfig>(&config).ok()?.platform())
    }
}
