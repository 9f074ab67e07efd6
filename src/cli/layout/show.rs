//! `layout show`

use std::process::ExitCode;

use regshape::oci::Index;
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::tree::DrawnTree;
use crate::cli::output::{Screen, json};

/// Print index.json, or a tree of all that it leads to
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape layout show --path ./my-image\n  regshape layout show --path ./my-image --tree"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Draw what the layout holds: names, indexes, platforms, manifests, layers, referrers, what is shared, what is missing
    #[arg(long)]
    tree: bool,
}

/// index.json; its text is its JSON.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Index);

impl Screen for Shown {
    fn is_json(&self) -> bool {
        true
    }

    fn text(&self) -> String {
        json(self).expect("an index can be written: it was read")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open(&self.common.path()?)?;
        if self.tree {
            let layout_path = layout.path().display().to_string();
            context.ui.result(&DrawnTree::new(layout_path, layout.tree()?))?;
        } else {
            context.ui.result(&Shown(layout.read_index()?))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
