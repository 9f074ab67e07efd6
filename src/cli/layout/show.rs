//! `layout show`

use std::process::ExitCode;

use regshape::oci::Index;
use serde::Serialize;

use super::{Common, Context, Leaf};
use crate::cli::ui::{Screen, json};

/// Print index.json
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape layout show --path ./my-image")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

/// index.json; its text is its JSON.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Index);

impl Screen for Shown {
    fn text(&self) -> String {
        json(self).expect("an index can be written: it was read")
    }
}

impl Leaf for Args {
    const NAME: &'static str = "layout show";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open(&self.common.path)?;
        context.ui.result(&Shown(layout.read_index()?))?;
        Ok(ExitCode::SUCCESS)
    }
}
