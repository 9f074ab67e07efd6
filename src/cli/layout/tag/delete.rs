//! `layout tag delete`

use std::process::ExitCode;

use regshape::oci::{Descriptor, Digest};
use serde::Serialize;

use crate::cli::args::PathFlag;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::kept_output::{ShownSubject, deletion_status, kept_by_referrers, kept_warning};
use crate::cli::layout::place::ChangeArgs;
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;
use crate::cli::usage::Usage;

/// Delete tags
///
/// Manifests and blobs stay: 'layout gc' deletes those that are no longer reachable.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  regshape tag delete -p ./my-image v1 v2\n  regshape tag delete -p ./my-image:v1")]
pub(crate) struct Args {
    #[command(flatten)]
    common: PathFlag,
    #[command(flatten)]
    change: ChangeArgs,
    /// Tags, unless --ref or the path names one
    #[arg(value_name = "TAG")]
    tags: Vec<String>,
    /// Print the result without changing anything
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Deleted {
    digest: Digest,
    tag: String,
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
        let title = if self.dry_run { "Would delete tag:" } else { "Deleted tag:" };
        Block::new(title, 6).line("digest", style.digest(&self.digest)).line("tag", &self.tag).finish()
    }

    fn warning(&self) -> Option<String> {
        kept_warning(&self.kept)
    }
}

/// Several tags that were deleted.
#[derive(Serialize)]
#[serde(transparent)]
struct DeletedTags(Vec<Deleted>);

impl Screen for DeletedTags {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn text(&self, style: &Style) -> String {
        self.0.iter().map(|deleted| deleted.text(style)).collect::<Vec<_>>().join("\n")
    }

    fn warning(&self) -> Option<String> {
        let warnings: Vec<String> = self.0.iter().filter_map(Screen::warning).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context, &self.common.path()?, self.dry_run)?;
        let tags: Vec<&str> = match self.tags.as_slice() {
            [] => vec![place.reference()?],
            _ if place.has_reference() => {
                return Err(
                    Usage("tags are named twice: leave out --ref, the path's tag or the TAGs".to_owned()).into()
                );
            }
            tags => tags.iter().map(String::as_str).collect(),
        };
        let names: Vec<_> = tags.iter().map(|tag| place.tagged(tag)).collect();
        let (deleted, planned) = if self.dry_run {
            let (deleted, index) = place.repository.plan_delete_tags(&names)?;
            (deleted, Some(index))
        } else {
            (place.repository.delete_tags(&names)?, None)
        };
        let screen = |(tag, manifest): (&&str, Descriptor)| {
            let kept = kept_by_referrers(&place, planned.as_ref(), &manifest.digest);
            let (digest, tag) = (manifest.digest, place.called(tag));
            Deleted { digest, tag, status: deletion_status(self.dry_run), dry_run: self.dry_run, kept }
        };
        let mut screens: Vec<Deleted> = tags.iter().zip(deleted).map(screen).collect();
        match screens.len() {
            1 => context.ui.result(&screens.remove(0))?,
            _ => context.ui.result(&DeletedTags(screens))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
