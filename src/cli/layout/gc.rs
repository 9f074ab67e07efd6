//! `layout gc`

use std::process::ExitCode;
use std::time::Duration;

use regshape::layout::{Garbage, GarbageOptions, Layout};
use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::kept_output::{ShownSubject, referred_to};
use crate::cli::layout::tally_output::ShownTally;
use crate::cli::output::{Block, Screen};
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
    digests: Vec<Digest>,
    blobs: ShownTally,
    uploads: ShownTally,
    temporary_files: ShownTally,
    /// The unreferenced files that are too young, or in use.
    kept: ShownTally,
    /// The blobs that only the staging file refers to.
    staged: ShownTally,
    /// The manifests that only their referrers keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subjects: Vec<ShownSubject>,
}

impl Collected {
    fn new(dry_run: bool, garbage: Garbage) -> Self {
        let Garbage { digests, blobs, uploads, temporary_files, kept, staged, subjects, .. } = garbage;
        Self {
            dry_run,
            digests,
            blobs: (&blobs).into(),
            uploads: (&uploads).into(),
            temporary_files: (&temporary_files).into(),
            kept: (&kept).into(),
            staged: (&staged).into(),
            subjects: subjects.into_iter().map(ShownSubject::from).collect(),
        }
    }
}

impl Screen for Collected {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn text(&self, style: &Style) -> String {
        let title = if self.dry_run { "Would delete:" } else { "Deleted:" };
        let mut block = Block::new(title, 15)
            .line("blobs", self.blobs)
            .line("uploads", self.uploads)
            .line("temporary files", self.temporary_files);
        for (label, kept) in [("kept", self.kept), ("staged", self.staged)] {
            if kept.count > 0 {
                block = block.line(label, kept);
            }
        }
        for subject in &self.subjects {
            block = block.line("subject", referred_to(subject, style));
        }
        let mut text = block.finish();
        if self.dry_run {
            self.digests.iter().for_each(|digest| text.push_str(&format!("\n{}", style.digest(digest))));
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
        context.ui.result(&Collected::new(self.dry_run, garbage))?;
        Ok(ExitCode::SUCCESS)
    }
}
