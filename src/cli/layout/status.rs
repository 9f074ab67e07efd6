//! `layout status`

use std::fmt::Write as _;
use std::process::ExitCode;

use regshape::layout::{Layout, Stage};
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, printable};
use crate::cli::style::Style;

/// Show the staged layers, config and manifest
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape status ./my-image")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// The staging file; its JSON is the file as it is.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    stage: Stage,
    #[serde(skip)]
    path: String,
}

impl Screen for Status {
    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        let Stage { layers, config, manifest, .. } = &self.stage;
        let mut text = format!("Staging state for {}:\n\n  Layers ({}):", printable(&self.path), layers.len());
        let width = layers.iter().map(|layer| layer.size.to_string().len()).max().unwrap_or_default();
        for (at, layer) in layers.iter().enumerate() {
            let media_type = printable(layer.media_type.as_str());
            let _ = write!(text, "\n    [{at}] {} ({:>width$} bytes, {media_type})", layer.digest, layer.size);
        }
        let document = |document: Option<(_, _, &str)>| match document {
            Some((digest, size, media_type)) => format!("{digest} ({size} bytes, {})", printable(media_type)),
            None => "(not yet generated)".to_owned(),
        };
        let config = config.as_ref().map(|config| (&config.digest, config.size, config.media_type.as_str()));
        let manifest =
            manifest.as_ref().map(|manifest| (&manifest.digest, manifest.size, manifest.media_type.as_str()));
        let _ = write!(text, "\n\n  Config:\n    {}\n\n  Manifest:\n    {}", document(config), document(manifest));
        text
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open(&self.common.path()?)?;
        let status = Status { stage: layout.read_stage()?, path: layout.path().display().to_string() };
        if let Some(warning) = moved_tag(layout, &status.stage) {
            context.ui.warn_at_the_end(warning);
        }
        context.ui.result(&status)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the warning that the tag of the staged manifest is that of another one now.
fn moved_tag(layout: &Layout, stage: &Stage) -> Option<String> {
    let manifest = stage.manifest.as_ref()?;
    let tag = manifest.ref_name.as_deref()?;
    // A layout whose index cannot be read is for other commands to report.
    let index = layout.read_index().ok()?;
    let mut tagged = index.manifests.iter().filter(|entry| entry.ref_name() == Some(tag));
    let first = tagged.next()?;
    let is_elsewhere = first.digest != manifest.digest && tagged.all(|entry| entry.digest != manifest.digest);
    is_elsewhere.then(|| format!("tag '{}' is that of another manifest now: {}", printable(tag), first.digest))
}
