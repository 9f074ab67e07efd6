//! `layout rebase`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::build::rewrite::{Bases, Rebased, rebase};
use regshape::view::View;

use super::generate::note_no_history;
use super::rewrite_args::{RewriteArgs, RewriteResult};
use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::printable;

/// Put an image on another base
///
/// The layers of the old base are replaced with those of the new one, for each image of an index by its platform. Fields of the config
/// that are those of the old base follow the base. Warnings name paths at which the layers and the new base do not fit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape rebase ./my-image:latest --new-base ./debian:stable\n  regshape rebase ./my-image:latest --old-base ./debian:12.1 --new-base ./debian:12.2 --tag new"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// New base: a layout or an archive
    #[arg(long, value_name = "SOURCE[:REF]")]
    new_base: PathBuf,
    /// Old base [default: by the manifest's annotation]
    #[arg(long, value_name = "SOURCE[:REF]")]
    old_base: Option<PathBuf>,
    #[command(flatten)]
    rewrite: RewriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let image = self.rewrite.image(context, &self.common.path()?)?;
        let named = |path: &PathBuf| -> anyhow::Result<(View, View)> {
            let source = context.source(path, &[])?;
            Ok((source.named()?, source.view))
        };
        let (new, source) = named(&self.new_base)?;
        let mut bases = Bases::new(new).source(source);
        if let Some(old) = &self.old_base {
            bases = bases.old(named(old)?.0);
        }
        self.rewrite.run(context, &image, "Rebasing", |options, progress| {
            let rebased = rebase(&image.layout, &image.reference, &bases, options, progress)?;
            if rebased.lost_history {
                note_no_history(context, "the new base has none", false);
            }
            Ok(rebased)
        })
    }
}

impl From<Rebased> for RewriteResult {
    fn from(rebased: Rebased) -> Self {
        let conflicts = rebased.conflicts.iter().map(|conflict| printable(&conflict.to_string()));
        let elsewhere = rebased.stored_elsewhere.iter();
        let elsewhere = elsewhere.map(|layer| format!("layer {layer} of the new base is stored elsewhere only"));
        Self { warnings: conflicts.chain(elsewhere).collect(), edited: rebased.edited }
    }
}
