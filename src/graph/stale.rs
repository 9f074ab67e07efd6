//! Referrers of images that are no longer listed: attestations, signatures and other manifests with a subject.

use std::collections::{HashMap, HashSet};

use super::finding::Finding;
use super::walk::{Document, Documents, Reach, walk};
use crate::oci::{Descriptor, Digest, Index};

/// Returns a finding for each referrer whose subject is not listed: attestations in the indexes that are reachable from
/// `part`, and entries of `index.json` with their manifests' subjects, and cosign's tags. Documents that cannot be read
/// refer to nothing.
pub(crate) fn stale_referrers(documents: &dyn Documents, part: &Index, index: &Index) -> Vec<Finding> {
    let mut stale = Vec::new();
    for visit in walk(documents, &part.manifests, Reach::Indexes) {
        let holder = format!("index {}", visit.entry.digest);
        if let Ok(Some(Document::Index(nested))) = visit.leads_to() {
            let listed = nested.manifests.iter().map(|entry| entry.digest.clone()).collect();
            stale.extend(stale_attestations(&nested.manifests, &listed, &holder));
        }
    }
    let mut listed: HashSet<Digest> = HashSet::new();
    let mut subjects: HashMap<Digest, Digest> = HashMap::new();
    for visit in walk(documents, &index.manifests, Reach::Manifests) {
        let digest = visit.entry.digest.clone();
        listed.insert(digest.clone());
        if let Ok(Some(document)) = visit.leads_to()
            && let Some(subject) = document.subject()
        {
            subjects.insert(digest, subject.digest.clone());
        }
    }
    stale.extend(stale_attestations(&index.manifests, &listed, "index.json"));
    for (at, entry) in index.manifests.iter().enumerate() {
        let location = || format!("manifests[{at}] in index.json");
        if let Some((name, subject)) = entry.ref_name().and_then(|name| Some((name, signed(name)?)))
            && !listed.contains(&subject)
        {
            let text = format!("the tag '{name}' is for {subject}, which no index lists");
            stale.push(Finding::new(text, location()));
        }
        if let Some(subject) = subjects.get(&entry.digest).filter(|subject| !listed.contains(*subject)) {
            let text = format!("the manifest {} is about {subject}, which no index lists", entry.digest);
            stale.push(Finding::new(text, location()));
        }
    }
    stale
}

/// Returns a finding for each attestation of BuildKit among entries whose image is not among others.
fn stale_attestations(entries: &[Descriptor], listed: &HashSet<Digest>, holder: &str) -> Vec<Finding> {
    let attestations = entries.iter().enumerate().filter(|(_, entry)| entry.is_attestation());
    let stale = attestations.filter_map(|(at, entry)| {
        let image = entry.attested().filter(|image| !listed.contains(image))?;
        let text = format!("the attestation {} is about {image}, which {holder} does not list", entry.digest);
        Some(Finding::new(text, format!("manifests[{at}] in {holder}")))
    });
    stale.collect()
}

/// Returns the digest in a tag of cosign: `sha256-DIGEST.sig`, and others alike.
fn signed(name: &str) -> Option<Digest> {
    let (digest, _kind) = name.split_once('.').unwrap_or((name, ""));
    let (algorithm, encoded) = digest.split_once('-')?;
    format!("{algorithm}:{encoded}").parse().ok().filter(|digest: &Digest| digest.algorithm().is_some())
}
