//! `layout tag rename`

use std::process::ExitCode;

use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::args::PathFlag;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::ChangeArgs;
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;
use crate::cli::usage::Usage;

/// Rename a tag
///
/// Tags an untagged manifest if OLD is its digest. Takes the new tag from another manifest, which stays, untagged if it has no other
/// tag.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape tag rename -p ./my-image candidate v1\n  regshape tag rename -p ./my-image sha256:96eaf28b v1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: PathFlag,
    #[command(flatten)]
    change: ChangeArgs,
    /// Old and new tag; only the new one if --ref or the path names the old one
    #[arg(value_name = "TAG", required = true, num_args = 1..=2)]
    tags: Vec<String>,
}

#[derive(Serialize)]
struct Moved {
    digest: Digest,
    from: Option<String>,
    to: String,
}

impl Screen for Moved {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn text(&self, style: &Style) -> String {
        let mut block = Block::new("Moved tag:", 6).line("digest", style.digest(&self.digest));
        if let Some(from) = &self.from {
            block = block.line("from", from);
        }
        block.line("to", &self.to).finish()
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = self.change.place(context, &self.common.path()?, false)?;
        let (old, new) = match self.tags.as_slice() {
            [new] => (place.manifest()?, new),
            [_, _] if place.has_reference() => {
                return Err(Usage(
                    "the old tag is named twice: leave out --ref, the path's tag or the first TAG".to_owned(),
                )
                .into());
            }
            [old, new] => (place.tagged(old), new),
            _ => unreachable!("clap takes one or two"),
        };
        let moved = place.repository.move_tag(old, new)?;
        context.ui.result(&Moved {
            digest: moved.descriptor.digest,
            from: moved.from.map(|tag| place.called(&tag)),
            to: place.called(new),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
