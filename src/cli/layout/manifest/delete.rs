//! `layout manifest delete`

use std::process::ExitCode;

use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::kept_output::{ShownSubject, deletion_status, kept_by_referrers, kept_warning};
use crate::cli::layout::place::ChangeArgs;
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// Remove a manifest and all its tags from index.json
///
/// Entries of nested indexes stay. 'layout gc' deletes the blobs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape manifest delete ./my-image:v1\n  regshape manifest delete ./my-image@sha256:96eaf28b"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    change: ChangeArgs,
    /// Print the result without changing anything
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Deleted {
    digest: Digest,
    tags: Vec<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// The manifests that their referrers keep from being garbage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<ShownSubject>,
}

impl Screen for Deleted {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn text(&self, style: &Style) -> String {
        let title = if self.dry_run { "Would delete manifest:" } else { "Deleted manifest:" };
        let block = Block::new(title, 6).line("digest", style.digest(&self.digest));
        if self.tags.is_empty() { block.finish() } else { block.line("tags", self.tags.join(", ")).finish() }
    }

    fn warning(&self) -> Option<String> {
        kept_warning(&self.kept)
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context, &self.common.path()?, self.dry_run)?;
        let name = place.manifest()?;
        let ((digest, tags), planned) = if self.dry_run {
            let (deleted, index) = place.repository.plan_delete_manifest(name)?;
            (deleted, Some(index))
        } else {
            (place.repository.delete_manifest(name)?, None)
        };
        let tags = tags.iter().map(|tag| place.called(tag)).collect();
        let kept = kept_by_referrers(&place, planned.as_ref(), &digest);
        let status = deletion_status(self.dry_run);
        context.ui.result(&Deleted { digest, tags, status, dry_run: self.dry_run, kept })?;
        Ok(ExitCode::SUCCESS)
    }
}
