//! `layout manifest descriptor`

use std::process::ExitCode;

use regshape::oci::Descriptor;
use serde::Serialize;

use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::ManifestArgs;
use crate::cli::output::{Screen, json};
use crate::cli::style::Style;

/// Print the descriptor of a manifest
///
/// Prints it as it stands in index.json or a nested index: use it as a subject, or as an entry of an index.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape manifest descriptor ./my-image:latest")]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
}

/// A descriptor; its text is its JSON.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Descriptor);

impl Screen for Shown {
    /// JSON is never cut.
    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        json(self).expect("a descriptor can be written: it was read")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (place, platform) = self.manifest.place(context)?;
        let chosen = place.repository.choose((&*place.image()?, platform.as_ref()))?;
        chosen.choice.iter().for_each(|choice| drop(context.lower_variant(choice)));
        context.ui.result(&Shown(chosen.descriptor))?;
        Ok(ExitCode::SUCCESS)
    }
}
