//! The result of the commands that write views.

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::ensure;
use regshape::oci::{Descriptor, Digest};
use regshape::transfer::Exported;
use regshape::view::View;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::layout::source::LowerVariant;
use crate::cli::layout::tally_output::ShownTally;
use crate::cli::output::{Block, Screen, printable};
use crate::cli::style::Style;
use crate::cli::usage::Usage;

#[derive(Serialize)]
pub(crate) struct ExportScreen {
    output: String,
    dry_run: bool,
    blobs: ShownTally,
    /// The blobs that the target had already, or that `--except` leaves out.
    present: ShownTally,
    /// The missing blobs that are available elsewhere.
    left_out: ShownTally,
    /// The blobs whose digests have an unknown algorithm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unverified: Vec<Digest>,
    /// The entries of the index.
    manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
    #[serde(skip)]
    title: &'static str,
}

impl ExportScreen {
    pub(crate) fn new(title: &'static str, output: &Path, view: &View, exported: &Exported, dry_run: bool) -> Self {
        let Exported { blobs, present, left_out, unverified, .. } = exported;
        Self {
            output: output.display().to_string(),
            dry_run,
            blobs: blobs.into(),
            present: present.into(),
            left_out: left_out.into(),
            unverified: unverified.clone(),
            manifests: view.index().manifests.clone(),
            lower_variants: Vec::new(),
            title,
        }
    }

    /// Adds the lower variants that were taken.
    pub(crate) fn with(self, lower_variants: Vec<LowerVariant>) -> Self {
        Self { lower_variants, ..self }
    }
}

/// Checks that standard output is for the archive alone, and no terminal.
pub(crate) fn expect_pipe(context: &Context) -> anyhow::Result<()> {
    if let Some(flag) = context.ui.value_flag() {
        let message = format!("{flag} prints to standard output; write the archive to a file with --output");
        return Err(Usage(message).into());
    }
    ensure!(
        !io::stdout().is_terminal(),
        "standard output is a terminal; pipe the archive somewhere, or use --output FILE"
    );
    Ok(())
}

/// Returns the warnings after a view was written.
pub(crate) fn warnings(exported: &Exported) -> impl Iterator<Item = String> {
    exported.unverified.iter().map(|digest| {
        format!("blob {digest} was copied but not verified: the algorithm of its digest is not supported")
    })
}

impl Screen for ExportScreen {
    fn quiet(&self) -> Option<String> {
        Some(printable(&self.output))
    }

    fn text(&self, style: &Style) -> String {
        let mut block = Block::new(self.title, 13).line("output", &self.output);
        for manifest in &self.manifests {
            let name: String = manifest.names().map(|name| format!(" {name}")).collect();
            block = block.line("manifest", format!("{}{name}", style.digest(&manifest.digest)));
        }
        block = block.line("blobs", self.blobs);
        for (label, tally) in [("there already", self.present), ("left out", self.left_out)] {
            if tally.count > 0 {
                block = block.line(label, tally);
            }
        }
        block.finish()
    }
}
