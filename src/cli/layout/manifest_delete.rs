//! `layout manifest delete`

use std::process::ExitCode;

use regshape::layout::KeptSubject;
use regshape::oci::Digest;
use serde::Serialize;

use super::gc::referred_to;
use super::registry::{ChangeArgs, Place};
use super::{Base, Context, Leaf};
use crate::cli::ui::{Block, Screen};

/// Take a manifest out of index.json, with all its tags
///
/// What nested indexes hold stays. Blobs are deleted by 'layout gc'.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout manifest delete --path ./my-image --ref sha256:96eaf28b\n  regshape layout manifest delete --path ./my-image --ref v1"
)]
pub(super) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Deleted {
    digest: Digest,
    tags: Vec<String>,
    status: &'static str,
    /// The manifests that their referrers keep from being garbage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptSubject>,
}

impl Screen for Deleted {
    fn text(&self) -> String {
        let block = Block::new("Deleted manifest:", 6).line("digest", &self.digest);
        if self.tags.is_empty() { block.finish() } else { block.line("tags", self.tags.join(", ")).finish() }
    }

    fn warning(&self) -> Option<String> {
        kept_warning(&self.kept)
    }
}

/// Returns the manifests that 'layout gc' will not delete with one that is listed no longer: their referrers keep them.
pub(super) fn kept_by_referrers(place: &Place, digest: &Digest) -> Vec<KeptSubject> {
    // Where a document cannot be read, 'layout gc' says so.
    place.repository.layout().kept_by_referrers(digest).unwrap_or_default()
}

/// Warns of manifests that are kept.
pub(super) fn kept_warning(kept: &[KeptSubject]) -> Option<String> {
    let kept: Vec<_> = kept.iter().map(referred_to).collect();
    (!kept.is_empty()).then(|| format!("{}; delete the referrer too to free the image", kept.join("; ")))
}

impl Leaf for Args {
    const NAME: &'static str = "layout manifest delete";

    fn base(&self) -> &Base {
        &self.change.common.base
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context)?;
        let (digest, tags) = place.repository.delete_manifest(place.reference()?)?;
        let tags = tags.iter().map(|tag| place.called(tag)).collect();
        let kept = kept_by_referrers(&place, &digest);
        context.ui.result(&Deleted { digest, tags, status: "deleted", kept })?;
        Ok(ExitCode::SUCCESS)
    }
}
