//! `layout recompress`

use std::process::ExitCode;

use regshape::build::rewrite::{RecompressOptions, Rewritten, recompress};

use super::rewrite_args::{RewriteArgs, RewriteResult};
use crate::cli::args::Common;
use crate::cli::compression_args::RecompressionArgs;
use crate::cli::context::{Context, LayoutCommand};

/// Compress the layers of an image in another format
///
/// The files and the diff_ids stay. Layers that have the format already are left as they are, unless --force or --level is given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape recompress ./my-image:latest --compress-format zstd\n  regshape recompress ./my-image:latest --compress-format gzip --level 9 --tag small"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    compression: RecompressionArgs,
    /// Compress layers again that have the format already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    rewrite: RewriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (compression, has_level) = self.compression.compression()?;
        let mut how = RecompressOptions::default().force(self.force || has_level);
        how.compression = compression;
        let image = self.rewrite.image(context, &self.common.path()?)?;
        self.rewrite.run(context, &image, "Compressing", |options, progress| {
            recompress(&image.layout, &image.reference, &how, options, progress)
        })
    }
}

impl From<Rewritten> for RewriteResult {
    fn from(rewritten: Rewritten) -> Self {
        let left = rewritten
            .stored_elsewhere
            .iter()
            .map(|layer| format!("layer {layer} is stored elsewhere only, and is left as it is"));
        Self { warnings: left.collect(), edited: rewritten.edited }
    }
}
