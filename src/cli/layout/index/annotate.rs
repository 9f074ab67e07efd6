//! `layout index annotate`

use std::process::ExitCode;

use clap::ValueEnum;
use regshape::build::edit::{IndexChange, edit_index};
use regshape::{EditError, Error};

use crate::cli::args::{AnnotationEditArgs, Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::edit::EditArgs;
use crate::cli::usage::Usage;

/// Set annotations of an index, its descriptors or its entry
///
/// Registries show those of the index itself, the default. --at descriptor means the descriptors of the images in the index, --at
/// entry the entry in index.json, which may be that of an image. 'annotate manifest' sets those of the images' manifests.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape index annotate ./my-layout:v1 \\\n      --annotation \"org.opencontainers.image.description=A web server\"\n  regshape index annotate ./my-layout:v1 --at descriptor --platform linux/arm64 \\\n      --annotation com.example.tier=2"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Place of the annotations: index, descriptor, entry [default: index]
    #[arg(long, value_name = "PLACE", value_enum, default_value = "index")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    at: Place,
    #[command(flatten)]
    annotations: AnnotationEditArgs,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    write: WriteArgs,
}

/// One of the places that annotations of indexes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    Index,
    Descriptor,
    Entry,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let options = self.edit.options()?;
        if self.at != Place::Descriptor && !options.platforms.is_empty() {
            return Err(Usage("--platform picks descriptors: use it with --at descriptor".to_owned()).into());
        }
        let change = self.annotations.change();
        let change = match self.at {
            Place::Index => IndexChange::Annotate(change),
            Place::Descriptor => IndexChange::AnnotateDescriptors(change),
            Place::Entry => IndexChange::AnnotateEntry(change),
        };
        let index = context.image_of(&self.common.path()?, "index", &self.write)?;
        let edited = edit_index(&index.layout, &index.reference, &change, &options).map_err(|error| match error {
            Error::Edit(EditError::NoIndex { .. }) => {
                Advised::and(error, "'annotate manifest' and --at entry annotate an image".to_owned()).into()
            }
            error => index.advise(error),
        })?;
        index.report(context, &options, &edited, Vec::new())
    }
}
