//! `layout annotate layer`

use std::process::ExitCode;

use regshape::Error;
use regshape::layout::StagedLayer;
use regshape::oci::{Annotations, Digest, MediaType};
use serde::Serialize;

use crate::cli::args::AnnotationArgs;
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::manifest_output::{OUTDATED_MANIFEST, outdated_manifest};
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// Set annotations of a staged layer
///
/// The next manifest that is generated has them; the layer itself does not change.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape annotate layer ./my-image --index 0 \\\n      --annotation com.example.role=base\n  regshape annotate layer ./my-image --index 1 \\\n      --annotation com.example.role=patches --replace"
)]
#[command(mut_arg("annotation", |annotation| annotation.required(true)))]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Index of the layer, from 0, as 'layout status' shows it
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    index: i64,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Remove the other annotations
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Serialize)]
struct Annotated {
    index: i64,
    digest: Digest,
    size: u64,
    media_type: MediaType,
    annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

impl Screen for Annotated {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        Block::new(&format!("Updated layer [{}]:", self.index), 6)
            .line("digest", &self.digest)
            .line("type", &self.media_type)
            .annotations(&self.annotations)
            .finish()
    }

    fn warning(&self) -> Option<String> {
        self.warning.map(|_| outdated_manifest("the updated layer"))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let Ok(index) = usize::try_from(self.index) else {
            return Err(Error::LayerIndex { index: self.index, count: layout.read_stage()?.layers.len() }.into());
        };
        let updated = layout.update_layer_annotations(index, &self.annotations.change(self.replace))?;
        let StagedLayer { digest, size, media_type, annotations, .. } = updated.value;
        let warning = updated.outdates_manifest.then_some(OUTDATED_MANIFEST);
        context.ui.result(&Annotated { index: self.index, digest, size, media_type, annotations, warning })?;
        Ok(ExitCode::SUCCESS)
    }
}
