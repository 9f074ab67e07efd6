//! The repositories with their blobs, manifests and tags.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use super::http::Payload;
use super::uploads::Upload;

/// The content of a blob.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Bytes(Arc<Vec<u8>>),
    File(PathBuf, u64),
    /// The bytes were thrown away; only their number is known.
    Gone(u64),
}

impl Content {
    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) | Self::Gone(length) => *length,
        }
    }

    /// Returns a part of the bytes, if there are any.
    pub(crate) fn part(&self, first: u64, length: u64) -> Option<Payload> {
        match self {
            Self::Bytes(bytes) => Some(Payload::Part(Arc::clone(bytes), first, length)),
            Self::File(path, _) => Some(Payload::File(path.clone(), first, length)),
            Self::Gone(_) => None,
        }
    }
}

/// A manifest as it was put.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Arc<Vec<u8>>,
}

/// A repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: HashMap<String, Content>,
    /// The manifests by digest.
    pub(crate) manifests: BTreeMap<String, Manifest>,
    /// The digests by tag.
    pub(crate) tags: BTreeMap<String, String>,
}

impl Repository {
    /// Returns the digest and the manifest of a tag or digest.
    pub(crate) fn resolve(&self, reference: &str) -> Option<(&str, &Manifest)> {
        let digest = if is_digest_like(reference) { reference } else { self.tags.get(reference)? };
        self.manifests.get_key_value(digest).map(|(digest, manifest)| (digest.as_str(), manifest))
    }

    /// Returns the descriptors of the manifests with a subject.
    pub(crate) fn referrers(&self, subject: &str) -> Vec<Value> {
        let descriptor = |(digest, manifest): (&String, &Manifest)| {
            let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
            (document["subject"]["digest"] == subject).then_some(())?;
            let mut descriptor = serde_json::json!({
                "mediaType": manifest.media_type,
                "digest": digest,
                "size": manifest.bytes.len(),
            });
            let artifact_type = document["artifactType"].as_str().filter(|value| !value.is_empty());
            if let Some(value) = artifact_type.or_else(|| document["config"]["mediaType"].as_str()) {
                descriptor["artifactType"] = value.into();
            }
            if document["annotations"].is_object() {
                descriptor["annotations"] = document["annotations"].clone();
            }
            Some(descriptor)
        };
        self.manifests.iter().filter_map(descriptor).collect()
    }
}

/// Everything that the registry has.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) uploads: HashMap<String, Upload>,
}

impl State {
    /// Returns a blob of a repository.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<&Content> {
        self.repositories.get(repository)?.blobs.get(digest)
    }

    /// Returns a repository, which is created if need be.
    pub(crate) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}

/// Returns the SHA-256 digest of bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Returns the digest of bytes by the algorithm of another digest.
pub(crate) fn digest_like(bytes: &[u8], digest: &str) -> String {
    if digest.starts_with("sha512:") { format!("sha512:{}", hex(&Sha512::digest(bytes))) } else { digest_of(bytes) }
}

/// Writes bytes as lower-case digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns whether a reference is meant as a digest.
pub(crate) fn is_digest_like(reference: &str) -> bool {
    reference.contains(':')
}

/// Returns whether a digest is well formed and of a supported algorithm.
pub(crate) fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match text.split_once(':') {
        Some(("sha256", digits)) => digits.len() == 64 && digits.bytes().all(is_hex),
        Some(("sha512", digits)) => digits.len() == 128 && digits.bytes().all(is_hex),
        _ => false,
    }
}

/// Returns whether a text matches `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(crate) fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// Returns whether a text is a repository's name by the distribution-spec.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_component)
}

/// Returns whether a text matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let is_word = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit();
    let separators: Vec<&str> = text.split(is_word).filter(|separator| !separator.is_empty()).collect();
    let is_separator =
        |separator: &&str| matches!(*separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
    text.starts_with(is_word) && text.ends_with(is_word) && separators.iter().all(is_separator)
}
