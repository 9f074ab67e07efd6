//! `layout tag delete`

use std::process::ExitCode;

use regshape::layout::KeptSubject;
use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::kept_output::{kept_by_referrers, kept_warning};
use crate::cli::layout::place::ChangeArgs;
use crate::cli::output::{Block, Screen};

/// Take a tag away
///
/// Nothing else is deleted: 'layout gc' does that with what cannot be reached any more.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout tag delete --path ./my-image --ref v1\n  regshape layout tag delete --path ./my-image:v1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Deleted {
    digest: Digest,
    tag: String,
    status: &'static str,
    /// The manifests that their referrers keep from being garbage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptSubject>,
}

impl Screen for Deleted {
    fn text(&self) -> String {
        Block::new("Deleted tag:", 6).line("digest", &self.digest).line("tag", &self.tag).finish()
    }

    fn warning(&self) -> Option<String> {
        kept_warning(&self.kept)
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context)?;
        let tag = place.reference()?;
        let manifest = place.repository.delete_tag(place.manifest()?)?;
        let kept = kept_by_referrers(&place, &manifest.digest);
        context.ui.result(&Deleted { digest: manifest.digest, tag: place.called(tag), status: "deleted", kept })?;
        Ok(ExitCode::SUCCESS)
    }
}
