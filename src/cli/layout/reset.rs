//! `layout reset`

use std::process::ExitCode;

use regshape::build::{Reset, reset};
use serde::Serialize;

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Block, Screen, counted};
use crate::cli::style::Style;

/// Empty the staging area
///
/// Deletes the layers and documents that only the staging file refers to. Images in index.json stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape reset ./my-image")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Serialize)]
struct Emptied {
    layers: usize,
    deleted_blobs: u64,
    deleted_bytes: u64,
}

impl Screen for Emptied {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn text(&self, _style: &Style) -> String {
        Block::new("Emptied staging area:", 7)
            .line("layers", self.layers)
            .line(
                "deleted",
                format!("{} ({})", counted(self.deleted_blobs, "blob"), counted(self.deleted_bytes, "byte")),
            )
            .finish()
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let Reset { layers, deleted, .. } = reset(layout)?;
        let (deleted_blobs, deleted_bytes) = (deleted.count, deleted.bytes);
        context.ui.result(&Emptied { layers, deleted_blobs, deleted_bytes })?;
        Ok(ExitCode::SUCCESS)
    }
}
