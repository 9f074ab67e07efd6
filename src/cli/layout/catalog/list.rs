//! `layout catalog list`

use std::process::ExitCode;

use anyhow::ensure;
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::args::PageArgs;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::KindArgs;
use crate::cli::output::Screen;
use crate::cli::style::Style;

/// List the repositories of a layout
///
/// The repositories are those in the tags of index.json: REPO:TAG, REPO@DIGEST.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape catalog list ./my-layout\n  regshape catalog list ./my-layouts --per-repo --limit 10"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    kind: KindArgs,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Serialize)]
struct Catalog {
    repositories: Vec<String>,
}

impl Screen for Catalog {
    fn text(&self, _style: &Style) -> String {
        self.repositories.join("\n")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = &self.common.path()?;
        if self.kind.per_repo {
            ensure!(path.is_dir(), "{} is not a directory", path.display());
        } else {
            context.open(path)?;
        }
        let registry = context.registry(path, &self.kind, context.reader_options(path))?;
        let repositories = registry.repositories(&self.page.page())?;
        let repositories = repositories.iter().map(ToString::to_string).collect();
        context.ui.result(&Catalog { repositories })?;
        Ok(ExitCode::SUCCESS)
    }
}
