//! Manifests that `layout gc` keeps because their referrers refer to them.

use regshape::layout::KeptSubject;
use regshape::oci::{Digest, Index};
use serde::Serialize;

use crate::cli::layout::place::Target;
use crate::cli::style::Style;

/// A manifest that only its referrers keep.
#[derive(Serialize)]
pub(crate) struct ShownSubject {
    digest: Digest,
    referrers: Vec<Digest>,
}

impl From<KeptSubject> for ShownSubject {
    fn from(KeptSubject { digest, referrers, .. }: KeptSubject) -> Self {
        Self { digest, referrers }
    }
}

/// Names the referrers that keep an unlisted manifest.
pub(crate) fn referred_to(subject: &ShownSubject, style: &Style) -> String {
    let ShownSubject { digest, referrers } = subject;
    let names: Vec<_> = referrers.iter().map(|referrer| style.digest(referrer)).collect();
    let verb = if referrers.len() == 1 { "refers" } else { "refer" };
    format!("{} is kept: {} {verb} to it", style.digest(digest), names.join(", "))
}

/// Returns the manifests that 'layout gc' will not delete with an unlisted one, because their referrers keep them. Of a dry run
/// the planned `index.json` counts.
pub(crate) fn kept_by_referrers(place: &Target, planned: Option<&Index>, digest: &Digest) -> Vec<ShownSubject> {
    let kept = place.repository.layout().and_then(|layout| match planned {
        Some(index) => layout.kept_by_referrers_in(index, digest),
        None => layout.kept_by_referrers(digest),
    });
    // 'layout gc' reports documents that cannot be read.
    kept.unwrap_or_default().into_iter().map(ShownSubject::from).collect()
}

/// Returns the status of a deletion in the JSON.
pub(crate) fn deletion_status(dry_run: bool) -> &'static str {
    if dry_run { "would be deleted" } else { "deleted" }
}

/// Warns of manifests that are kept.
pub(crate) fn kept_warning(kept: &[ShownSubject]) -> Option<String> {
    let kept: Vec<_> = kept.iter().map(|subject| referred_to(subject, &Style::default())).collect();
    (!kept.is_empty()).then(|| format!("{}; delete the referrer too to free the image", kept.join("; ")))
}
