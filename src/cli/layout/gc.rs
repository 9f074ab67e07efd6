//! `layout gc`

use std::process::ExitCode;
use std::time::Duration;

use regshape::layout::{Garbage, GarbageOptions, Layout};
use serde::Serialize;

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::kept_output::referred_to;
use crate::cli::output::{Block, Screen, tallied};
use crate::cli::style::Style;

/// Delete unreachable blobs and leftovers of killed commands
///
/// Deletes blobs that are not reachable from index.json or the staging file, abandoned uploads, and temporary files. Deletes nothing
/// if a document cannot be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape gc ./my-image --dry-run\n  regshape gc ./my-image --keep-younger-than 1h"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Print the result without deleting anything
    #[arg(long)]
    dry_run: bool,
    /// Keep blobs and uploads that are younger than this, e.g. 1h [default: 0s for blobs, 1h for uploads]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    keep_younger_than: Option<Duration>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Serialize)]
struct Collected {
    dry_run: bool,
    #[serde(flatten)]
    garbage: Garbage,
}

impl Screen for Collected {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn text(&self, style: &Style) -> String {
        let Garbage { digests, blobs, uploads, temporary_files, kept, staged, subjects } = &self.garbage;
        let title = if self.dry_run { "Would delete:" } else { "Deleted:" };
        let mut block = Block::new(title, 15)
            .line("blobs", tallied(blobs))
            .line("uploads", tallied(uploads))
            .line("temporary files", tallied(temporary_files));
        for (label, kept) in [("kept", kept), ("staged", staged)] {
            if kept.count > 0 {
                block = block.line(label, tallied(kept));
            }
        }
        for subject in subjects {
            block = block.line("subject", referred_to(subject, style));
        }
        let mut text = block.finish();
        if self.dry_run {
            digests.iter().for_each(|digest| text.push_str(&format!("\n{}", style.digest(digest))));
        }
        text
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        context.without_tag(&path)?;
        let options = context.write_options(&path, &self.write);
        let layout = context.keep(Layout::open(&path)?.with_write_options(options));
        let mut collected = GarbageOptions::default().dry_run(self.dry_run);
        collected.keep_younger_than = self.keep_younger_than;
        let garbage = layout.collect_garbage(&collected)?;
        context.ui.result(&Collected { dry_run: self.dry_run, garbage })?;
        Ok(ExitCode::SUCCESS)
    }
}
