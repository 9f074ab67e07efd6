//! `layout squash`

use std::process::ExitCode;

use regshape::build::rewrite::{Kept, squash};

use super::rewrite_args::{KeptArgs, RewriteArgs};
use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::usage::Usage;

/// Make one layer of the layers of an image
///
/// Files that upper layers hide are no longer in it. --keep-base and --keep leave the lower layers as they are, and make one layer of
/// those above them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape squash ./my-image:latest\n  regshape squash ./my-image:latest --keep-base --tag small"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Leave the layers of the base as they are
    #[arg(long, help_heading = "Base", conflicts_with = "keep")]
    keep_base: bool,
    #[command(flatten)]
    kept: KeptArgs,
    #[command(flatten)]
    rewrite: RewriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let image = self.rewrite.image(context, &self.common.path()?)?;
        let kept = match (self.kept.kept(context)?, self.keep_base) {
            (Some(Kept::BaseIn(_)), false) => return Err(Usage("--base needs --keep-base".to_owned()).into()),
            (Some(kept), _) => kept,
            (None, true) => Kept::Base,
            (None, false) => Kept::None,
        };
        self.rewrite.run(context, &image, "Squashing", |options, progress| {
            squash(&image.layout, &image.reference, &kept, options, progress)
        })
    }
}
