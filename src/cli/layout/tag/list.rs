//! `layout tag list`

use std::process::ExitCode;

use regshape::registry::Listed;
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::args::PageArgs;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::RegistryArgs;
use crate::cli::output::{Screen, printable};
use crate::cli::style::Style;

/// List the tags of a layout or a repository
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape tag list ./my-image\n  regshape tag list ./my-layout --repo example/app --limit 10"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Serialize)]
struct Tags {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    tags: Vec<String>,
    /// Those of the entries with the tags, and of those without one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_names: Vec<String>,
}

impl Screen for Tags {
    fn text(&self, _style: &Style) -> String {
        self.tags.iter().map(|tag| printable(tag)).collect::<Vec<_>>().join("\n")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = context.to_read(&self.common.path()?, &self.registry, None)?;
        place.without_reference(context)?;
        let Listed { tags, image_names, .. } = place.repository.listed(&self.page.page())?;
        context.ui.result(&Tags { name: place.name.map(|name| name.to_string()), tags, image_names })?;
        Ok(ExitCode::SUCCESS)
    }
}
