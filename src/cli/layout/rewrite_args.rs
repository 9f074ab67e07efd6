//! The flags of commands that rewrite the layers of images, and how they run.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use regshape::build::edit::Edited;
use regshape::build::rewrite::{Kept, RewriteOptions};
use regshape::metrics::Progress;

use super::edit::{EditArgs, ImageToEdit};
use crate::cli::args::{BoundsArgs, WriteArgs};
use crate::cli::context::Context;

/// The flags of a command that rewrites the layers of an image.
#[derive(Debug, clap::Args)]
pub(crate) struct RewriteArgs {
    #[command(flatten)]
    edit: EditArgs,
    /// Threads that compress [default: one a core]
    ///
    /// The bytes of the layers do not depend on it.
    #[arg(long, value_name = "N", hide_short_help = true)]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    bounds: BoundsArgs,
    #[command(flatten)]
    write: WriteArgs,
}

/// The flags for layers that are left as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct KeptArgs {
    /// Base whose layers stay: a layout or an archive [default: by the manifest's annotation]
    #[arg(long, value_name = "SOURCE[:REF]", help_heading = "Base")]
    base: Option<PathBuf>,
    /// Leave the lowest N layers as they are
    #[arg(long, value_name = "N", help_heading = "Base", conflicts_with = "base")]
    keep: Option<usize>,
}

impl KeptArgs {
    /// Returns the layers that the flags name.
    pub(crate) fn kept(&self, context: &Context) -> anyhow::Result<Option<Kept>> {
        Ok(match (&self.base, self.keep) {
            (Some(base), _) => Some(Kept::BaseIn(context.source(base, &[])?.named()?)),
            (None, Some(count)) => Some(Kept::Count(count)),
            (None, None) => None,
        })
    }
}

/// The result of a rewriting: the image, and warnings of the verb.
pub(crate) struct RewriteResult {
    pub(crate) edited: Edited,
    pub(crate) warnings: Vec<String>,
}

impl From<Edited> for RewriteResult {
    fn from(edited: Edited) -> Self {
        Self { edited, warnings: Vec::new() }
    }
}

impl RewriteArgs {
    /// Opens the layout of the image that a path names.
    pub(crate) fn image(&self, context: &Context, path: &Path) -> anyhow::Result<ImageToEdit> {
        context.image_of(path, "image", &self.write)
    }

    /// Rewrites an image, and prints the result. `action` is the word for the progress.
    pub(crate) fn run<T: Into<RewriteResult>>(
        &self,
        context: &Context,
        image: &ImageToEdit,
        action: &'static str,
        rewrite: impl FnOnce(&RewriteOptions, Progress<'_>) -> regshape::Result<T>,
    ) -> anyhow::Result<ExitCode> {
        let mut options = RewriteOptions::default().edit(self.edit.options()?).bounds(self.bounds.bounds());
        options.jobs = self.jobs;
        let progress = context.ui.progress(action, image.layout.path(), None);
        let rewritten = rewrite(&options, Progress::new(&|bytes| progress.advance(bytes)));
        drop(progress);
        let RewriteResult { edited, warnings } = rewritten.map_err(|error| image.advise(error))?.into();
        image.report(context, &options.edit, &edited, warnings)
    }
}
