//! `layout generate manifest`

use std::process::ExitCode;

use regshape::build::ManifestOptions;
use regshape::oci::{MediaType, RefName};

use crate::cli::args::{AnnotationArgs, YesArg};
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::manifest_output::ManifestScreen;
use crate::cli::prompt::Prompt;

/// Generate the image manifest and add it to index.json
///
/// Uses the staged config and layers. Replaces the entry of index.json that has the same tag, if that manifest was generated here.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape generate manifest ./my-image --ref-name latest")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Tag of the image, e.g. latest or v1.2.3; empty for none
    #[arg(long, value_name = "NAME")]
    ref_name: Option<String>,
    /// Media type of the manifest [default: application/vnd.oci.image.manifest.v1+json]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Take the tag from an image that was not generated here
    ///
    /// That image stays, as an entry without a name.
    #[arg(long)]
    replace_tag: bool,
    #[command(flatten)]
    yes: YesArg,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let media_type = self.media_type.map(|media_type| media_type.parse()).transpose()?;
        let ref_name = match self.ref_name.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(name) => Some(Some(name.parse::<RefName>()?)),
        };
        let prepared = layout.prepare_manifest()?;
        let prompt = Prompt::new(&context.ui, self.yes.yes);
        let ref_name = match ref_name {
            Some(ref_name) => ref_name,
            None => prompt.optional("Reference name (e.g. latest) [skip]", "reference name", "--ref-name")?,
        };
        let media_type = match media_type {
            Some(media_type) => media_type,
            None => {
                prompt.value("Manifest media type", MediaType::manifest(), "manifest media type", "--media-type")?
            }
        };
        let mut annotations = self.annotations.annotations();
        if annotations.is_empty() {
            let note = "Using no manifest annotations; --annotation adds one";
            annotations = prompt.annotations("Add manifest annotations?", note)?;
        }
        drop(prompt);
        let mut options = ManifestOptions::default().media_type(media_type).annotations(annotations);
        (options.ref_name, options.replace_tag) = (ref_name, self.replace_tag);
        let manifest = prepared.generate(&options)?;
        context.ui.result(&ManifestScreen::generated(manifest))?;
        Ok(ExitCode::SUCCESS)
    }
}
