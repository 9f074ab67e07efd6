//! Manifests that `layout gc` keeps because their referrers refer to them.

use regshape::layout::KeptSubject;
use regshape::oci::Digest;

use crate::cli::layout::place::Target;

/// Says what keeps a manifest that is not listed.
pub(crate) fn referred_to(subject: &KeptSubject) -> String {
    let KeptSubject { digest, referrers } = subject;
    let names: Vec<_> = referrers.iter().map(ToString::to_string).collect();
    let verb = if referrers.len() == 1 { "refers" } else { "refer" };
    format!("{digest} is kept: {} {verb} to it", names.join(", "))
}

/// Returns the manifests that 'layout gc' will not delete with one that is listed no longer: their referrers keep them.
pub(crate) fn kept_by_referrers(place: &Target, digest: &Digest) -> Vec<KeptSubject> {
    // Where a document cannot be read, 'layout gc' says so.
    place.repository.layout().kept_by_referrers(digest).unwrap_or_default()
}

/// Warns of manifests that are kept.
pub(crate) fn kept_warning(kept: &[KeptSubject]) -> Option<String> {
    let kept: Vec<_> = kept.iter().map(referred_to).collect();
    (!kept.is_empty()).then(|| format!("{}; delete the referrer too to free the image", kept.join("; ")))
}
