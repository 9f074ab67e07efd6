//! `layout set-times`

use std::process::ExitCode;

use anyhow::Context as _;
use regshape::build::rewrite::{Kept, TimeChange, set_times};

use super::rewrite_args::{KeptArgs, RewriteArgs};
use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::time::Time;

/// Set or clamp the times of the files in an image
///
/// Times in the config and its history change too. The layers of the base stay as they are; without an annotation
/// that names a base, all layers change.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("time").args(["set", "clamp"]).required(true),
    after_help = "Examples:\n  regshape set-times ./my-image:latest --clamp @1700000000\n  regshape set-times ./my-image:latest --set 2026-01-01T00:00:00Z --keep 1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Set all times to this one: RFC 3339, @SECONDS or now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    set: Option<Time>,
    /// Set only later times to this one
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    clamp: Option<Time>,
    #[command(flatten)]
    kept: KeptArgs,
    #[command(flatten)]
    rewrite: RewriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let set = self.set.map(|time| TimeChange::Set(time.seconds()));
        let change = set.or(self.clamp.map(|time| TimeChange::Clamp(time.seconds()))).context("no time is given")?;
        let image = self.rewrite.image(context, &self.common.path()?)?;
        let kept = self.kept.kept(context)?.unwrap_or(Kept::BaseIfNamed);
        self.rewrite.run(context, &image, "Rewriting", |options, progress| {
            set_times(&image.layout, &image.reference, change, &kept, options, progress)
        })
    }
}
