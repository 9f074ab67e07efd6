//! `layout index add`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::build::edit::{IndexChange, edit_index};

use crate::cli::args::{PathFlag, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::edit::TagArgs;

/// Add images to an index
///
/// An IMAGE that is an index gives its images, each with its attestations. The platforms are those of the configs; an image
/// for a platform that the index has already is an error, unless it is that image. Images of other layouts and archives are copied.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape index add -p ./my-layout:v1 riscv64\n  regshape index add -p ./my-layout:v1 ./riscv64.tar ./other:s390x"
)]
pub(crate) struct Args {
    /// Tag or digest in DIR, or SOURCE[:REF]: another layout or an archive
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    path: PathFlag,
    #[command(flatten)]
    tag: TagArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let options = self.tag.options()?;
        let explain = |error| self.path.explain(error, &self.images[0].to_string_lossy(), "IMAGE");
        let path = self.path.path().map_err(|error| explain(error.into()))?;
        let index = context.image_of(&path, "index", &self.write).map_err(explain)?;
        let edited = context.with_index_images(&index.layout, &self.images, |images| {
            edit_index(&index.layout, &index.reference, &IndexChange::Add(images.to_vec()), &options)
        });
        index.report(context, &options, &edited.map_err(|error| index.advise_any(error))?, Vec::new())
    }
}
