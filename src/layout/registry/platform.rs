//! From an image for several platforms to that for one of them.

use super::resolve::{Found, Resolver};
use super::{Error, Repository, Result};
use crate::layout::walk::{Documents, Reach, walk};
use crate::oci::{Descriptor, ImageConfig, Manifest, MediaType, Platform};

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
                Some(platform) => self.resolver(&index).for_platform(found, reference, platform),
            }
        };
        self.layout.read_unlocked(resolve, |_| true)
    }
}

impl Resolver<'_> {
    /// Goes from what was found to the manifest for a platform.
    pub(in crate::layout) fn for_platform(
        &self,
        found: Found,
        reference: &str,
        platform: &Platform,
    ) -> Result<Descriptor> {
        // Some programs give the images of one name a name each, instead of an index.
        let meant: Vec<&Descriptor> = match &found.tag {
            Some(tag) => self.index.manifests.iter().filter(|entry| found.names.is_tagged(entry, tag)).collect(),
            None => vec![&found.descriptor],
        };
        let (mut platforms, mut unreadable) = (Vec::new(), None);
        for visit in walk(self.documents, meant, Reach::Indexes) {
            if visit.entry.media_type.is_index() {
                unreadable = unreadable.or(visit.leads_to().err());
                continue;
            }
            match platform_of(self.documents, &visit.entry) {
                Some(found) if found.satisfies(platform) => return Ok(visit.entry),
                Some(found) if found.os.as_deref() != Some("unknown") => platforms.push(found.to_string()),
                _ => {}
            }
        }
        if let Some(error) = unreadable {
            return Err(error);
        }
        if platforms.is_empty() {
            platforms.push("no platform that it says".to_owned());
        }
        Err(Error::UnknownPlatform { reference: reference.to_owned(), platform: Box::new(platform.clone()), platforms })
    }
}

/// Returns the platform that the descriptor of a manifest says, or else the config of its image.
pub(in crate::layout) fn platform_of(documents: &dyn Documents, descriptor: &Descriptor) -> Option<Platform> {
    if descriptor.platform.is_some() {
        return descriptor.platform.clone();
    }
    let content = documents.read(&descriptor.digest, "").ok()?;
    platform_of_image(documents, &descriptor.media_type, &content)
}

/// Returns the platform that the config of an image says, if it can be read.
pub(in crate::layout) fn platform_of_image(
    documents: &dyn Documents,
    media_type: &MediaType,
    content: &[u8],
) -> Option<Platform> {
    if !media_type.is_manifest() {
        return None;
    }
    let config = serde_json::from_slice::<Manifest>(content).ok()?.config;
    if !config.media_type.is_image_config() {
        return None;
    }
    let config = documents.read(&config.digest, "").ok()?;
    Some(serde_json::from_slice::<ImageConfig>(&config).ok()?.platform())
}
