//! Referrers in registries without a list of them: the fallback tag (distribution-spec, "Referrers Tag Schema").
//!
//! The tag is an index that each client reads, changes and writes. Within one process this is done one after the other. The
//! index of another client is not overwritten where the registry obeys `If-Match`; elsewhere the result is read again, which
//! finds most of such losses.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::de::IgnoredAny;

use crate::error::{RemoteError, Result};
use crate::graph::verify::verify_bytes;
use crate::oci::{Descriptor, Digest, Index, JsonError, MediaType, RepositoryName, Tag, from_json, to_blob};
use crate::remote::auth::scope::Scope;
use crate::remote::client::{Client, Fetched, ManifestReference, Precondition};

/// How often the index is written again because another client replaced it.
const TRIES: usize = 10;

/// The media type of the artifact manifest of an early image-spec, which has no schema version.
const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

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
    for attempt in 1..=TRIES {
        let (index, precondition) = read(client, repository, scope, &subject.digest)?;
        let mut index = index.unwrap_or_else(Index::empty);
        if index.manifests.iter().any(|entry| entry.digest == referrer.digest) {
            return Ok(());
        }
        index.manifests.push(referrer.clone());
        // It is sent as an index of the image-spec, whatever it was.
        index.media_type = index.media_type.map(|_| MediaType::index());
        let bytes = to_blob(&index);
        let replaced = client.replace_index(repository, &tag, &bytes, &precondition, scope).map_err(|error| {
            RemoteError::PushManifest { digest: Digest::sha256_of(&bytes), source: Box::new(error) }
        })?;
        if replaced.is_none() {
            // Another client was faster: its index gets the referrer.
            client.pause_for_others(attempt);
            continue;
        }
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

/// Reads the index under the fallback tag. The subject itself and a document of another kind count as none.
///
/// # Errors
///
/// The errors of fetching; [`RemoteError::Answer`] for an answer that cannot be read: the tag may be an index all the same.
pub(crate) fn fallback_index(
    client: &Client,
    repository: &RepositoryName,
    scope: &Scope,
    subject: &Digest,
) -> Result<Option<Index>> {
    read(client, repository, scope, subject).map(|(index, _)| index)
}

/// Reads the index under the fallback tag, and what the tag must still be so that it is replaced.
fn read(
    client: &Client,
    repository: &RepositoryName,
    scope: &Scope,
    subject: &Digest,
) -> Result<(Option<Index>, Precondition)> {
    let tag = fallback_tag(subject);
    let fetched = match client.get_manifest(repository, &ManifestReference::Tag(tag.clone()), scope) {
        Ok(Some(fetched)) => fetched,
        Ok(None) => return Ok((None, Precondition::Absent)),
        Err(RemoteError::Schema1 { .. }) => return Ok((None, Precondition::None)),
        Err(error) => return Err(error.into()),
    };
    if verify_bytes(subject, &fetched.bytes).is_ok() {
        return Ok((None, Precondition::None));
    }
    let index = index_of(&fetched).map_err(|fault| {
        let host = client.host().to_string();
        let problem = format!(
            "sent {host}/{repository}:{tag}, which lists referrers, and it is not a valid index: {fault}; repair or \
             delete that tag"
        );
        RemoteError::Answer { host, problem }
    })?;
    Ok(match index {
        Some(index) => (Some(index), fetched.etag.map_or(Precondition::None, Precondition::Is)),
        None => (None, Precondition::None),
    })
}

/// Reads an index, whatever media type the registry has for it; `None` for a document of another kind.
fn index_of(fetched: &Fetched) -> Result<Option<Index>, JsonError> {
    let members: HashMap<String, IgnoredAny> = from_json(&fetched.bytes)?;
    let is_other = members.contains_key("schemaVersion") || fetched.media_type.as_str() == ARTIFACT;
    if is_other && !members.contains_key("manifests") && !fetched.media_type.is_index() {
        return Ok(None);
    }
    from_json(&fetched.bytes).map(Some)
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
