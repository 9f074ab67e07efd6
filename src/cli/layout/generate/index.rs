//! `layout generate index`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::Error;
use regshape::build::edit::{EditOptions, IndexOptions, generate_index};
use regshape::oci::RefName;

use crate::cli::args::{AnnotationArgs, PathFlag, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::edit::ImageToEdit;
use crate::cli::usage::Usage;

/// Make an index of images for several platforms
///
/// An IMAGE that is an index gives its images, each with its attestations. The platforms are those of the configs; two images
/// for one platform are an error; an image that is named twice is listed once. Images of other layouts and archives are copied into DIR.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape generate index -p ./my-layout --ref-name v1 amd64 arm64\n  regshape generate index -p ./my-layout --ref-name v1 ./amd64.tar ./arm64:v1"
)]
pub(crate) struct Args {
    /// Tag or digest in DIR, or SOURCE[:REF]: another layout or an archive
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    path: PathFlag,
    /// Tag of the index
    #[arg(long, value_name = "NAME")]
    ref_name: String,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Take the tag from another manifest
    ///
    /// That manifest stays, as an entry without a name.
    #[arg(long)]
    replace_tag: bool,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let ref_name = self.ref_name.parse::<RefName>()?;
        let explain = |error: Usage| self.path.explain(error.into(), &self.images[0].to_string_lossy(), "IMAGE");
        let path = self.path.path().map_err(explain)?;
        let layout = context.open_to_write(&path, &self.write)?.clone();
        let options = IndexOptions::default().annotations(self.annotations.annotations()).replace_tag(self.replace_tag);
        let made = ImageToEdit::made(layout, &ref_name);
        let edited = context.with_index_images(&made.layout, &self.images, |images| {
            generate_index(&made.layout, &ref_name, images, &options)
        });
        let edited = edited.map_err(|error| match error.downcast::<Error>() {
            Ok(error @ Error::NameTaken { .. }) => {
                Advised { error, hint: "use another --ref-name, or --replace-tag".to_owned() }.into()
            }
            Ok(error) => made.advise(error),
            Err(error) => error,
        })?;
        made.report(context, &EditOptions::default(), &edited, Vec::new())
    }
}
