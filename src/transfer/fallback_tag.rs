//! Referrers in registries without a list of them: the fallback tag (distribution-spec, "Referrers Tag Schema").
//!
//! The tag is an index that each client reads, changes and writes. Within one push this is done one after the other, with
//! what HTTP offers against other clients (`If-Match`), and the result is read again.

use std::sync::{Mutex, PoisonError};

use crate::error::{RemoteError, Result};
use crate::oci::{Descriptor, Digest, Index, MediaType, RepositoryName, Tag, from_json, to_blob};
use crate::remote::auth::scope::Scope;
use crate::remote::client::{Client, ManifestReference};

/// How often the index is written again because another client replaced it.
const TRIES: usize = 5;

/// Only one index is changed at a time.
static CHANGES: Mutex<()> = Mutex::new(());

/// Adds a referrer to the index under the fallback tag of its subject, unless it is there.
///
/// # Errors
///
/// The errors of reading and writing the index.
pub(crate) fn add_to_fallback(
    client: &Client,
    repository: &RepositoryName,
    scope: &Scope,
    subject: &Descriptor,
    referrer: &Descriptor,
) -> Result<()> {
    let _one_at_a_time = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let tag = fallback_tag(&subject.digest);
    for _ in 0..TRIES {
        let mut index = fallback_index(client, repository, scope, &subject.digest)?.unwrap_or_else(Index::empty);
        if index.manifests.iter().any(|entry| entry.digest == referrer.digest) {
            return Ok(());
        }
        index.manifests.push(referrer.clone());
        let bytes = to_blob(&index);
        let reference = ManifestReference::Tag(tag.clone());
        let content = (bytes.as_slice(), &MediaType::index());
        client.put_manifest(repository, &reference, content, &[], scope).map_err(|error| {
            RemoteError::PushManifest { digest: Digest::sha256_of(&bytes), source: Box::new(error) }
        })?;
        // Another client may have written its own index in the meantime; then both referrers are put together.
        let now = fallback_index(client, repository, scope, &subject.digest)?;
        if now.is_some_and(|now| now.manifests.iter().any(|entry| entry.digest == referrer.digest)) {
            return Ok(());
        }
    }
    Err(RemoteError::Answer {
        host: client.host().to_string(),
        problem: format!("does not keep the referrer {} under the tag {tag}", referrer.digest),
    }
    .into())
}

/// Reads the index under the fallback tag. What is no index, or is the subject itself, counts as none.
///
/// # Errors
///
/// The errors of fetching.
pub(crate) fn fallback_index(
    client: &Client,
    repository: &RepositoryName,
    scope: &Scope,
    subject: &Digest,
) -> Result<Option<Index>> {
    let reference = ManifestReference::Tag(fallback_tag(subject));
    let fetched = match client.get_manifest(repository, &reference, scope) {
        Ok(Some(fetched)) => fetched,
        Ok(None) | Err(RemoteError::Schema1 { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if fetched.digest == *subject || !fetched.media_type.is_index() {
        return Ok(None);
    }
    Ok(from_json(&fetched.bytes).ok())
}

/// Returns the tag under which registries without a list of referrers keep one.
pub(crate) fn fallback_tag(subject: &Digest) -> Tag {
    let algorithm: String = subject.algorithm_name().chars().take(32).collect();
    let encoded: String = subject.encoded().chars().take(64).collect();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let text: String = format!("{algorithm}-{encoded}").chars().map(|c| if is_allowed(c) { c } else { '-' }).collect();
    text.parse().expect("it has the characters of a tag only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_that_of_the_specification() {
        for (digest, expected) in [
            (format!("sha256:{}", "a".repeat(64)), format!("sha256-{}", "a".repeat(64))),
            (format!("sha512:{}", "b".repeat(128)), format!("sha512-{}", "b".repeat(64))),
            ("test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation".to_owned(),
             "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot".to_owned()),
        ] {
            assert_eq!(fallback_tag(&digest.parse().expect("a digest")).as_str(), expected);
        }
    }
}
