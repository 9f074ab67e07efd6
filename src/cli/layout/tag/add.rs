//! `layout tag add`

use std::collections::HashSet;
use std::process::ExitCode;

use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::args::PathFlag;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::ChangeArgs;
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// Add tags to a manifest
///
/// Takes tags from other manifests, which stay, untagged if they have no other tag.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape tag add -p ./my-image:latest v1 v1.0\n  regshape tag add -p ./my-layout --repo example/app --ref v1 stable"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: PathFlag,
    #[command(flatten)]
    change: ChangeArgs,
    /// Tags to add
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<String>,
}

#[derive(Serialize)]
struct Added {
    digest: Digest,
    tags: Vec<String>,
}

impl Screen for Added {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn text(&self, style: &Style) -> String {
        Block::new("Tagged manifest:", 6)
            .line("digest", style.digest(&self.digest))
            .line("tags", self.tags.join(", "))
            .finish()
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context, &self.common.path()?, false)?;
        let mut said = HashSet::new();
        let given: Vec<String> = self.tags.into_iter().filter(|tag| said.insert(tag.clone())).collect();
        let names: Vec<&str> = given.iter().map(String::as_str).collect();
        let manifest = place.repository.add_tags(place.manifest()?, &names)?;
        let tags = given.iter().map(|tag| place.called(tag)).collect();
        context.ui.result(&Added { digest: manifest.digest, tags })?;
        Ok(ExitCode::SUCCESS)
    }
}
