//! `layout init`

use std::process::ExitCode;

use regshape::layout::Layout;
use serde::Serialize;

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, printable};
use crate::cli::style::Style;

/// Create an empty OCI image layout
///
/// Creates the directory if necessary. Leaves other files in it alone.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape init ./my-image",
    mut_arg("path", |arg| arg.help("Layout [default: $REGSHAPE_LAYOUT]"))
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Serialize)]
struct Initialised {
    layout_path: String,
}

impl Screen for Initialised {
    fn quiet(&self) -> Option<String> {
        Some(printable(&self.layout_path))
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        format!("Initialised OCI Image Layout at {}", printable(&self.layout_path))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.new_path()?;
        context.without_tag(&path)?;
        let options = context.write_options(&path, &self.write);
        let layout = match context.shares_blobs {
            true => Layout::init_with_shared_blobs(path, &options)?,
            false => Layout::init_with(path, &options)?,
        };
        let layout = context.keep(layout);
        context.ui.result(&Initialised { layout_path: layout.path().display().to_string() })?;
        Ok(ExitCode::SUCCESS)
    }
}
