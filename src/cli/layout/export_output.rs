//! The result of the commands that write views.

use std::path::Path;

use regshape::oci::Descriptor;
use regshape::transfer::Exported;
use regshape::view::View;
use serde::Serialize;

use crate::cli::layout::source::LowerVariant;
use crate::cli::output::{Block, Screen, printable, tallied};
use crate::cli::style::Style;

#[derive(Serialize)]
pub(crate) struct ExportScreen {
    output: String,
    dry_run: bool,
    #[serde(flatten)]
    exported: Exported,
    /// The entries of the index.
    manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
    #[serde(skip)]
    title: &'static str,
}

impl ExportScreen {
    pub(crate) fn new(title: &'static str, output: &Path, view: &View, exported: Exported, dry_run: bool) -> Self {
        let output = output.display().to_string();
        let manifests = view.index().manifests.clone();
        Self { output, dry_run, exported, manifests, lower_variants: Vec::new(), title }
    }

    /// Adds the lower variants that were taken.
    pub(crate) fn with(self, lower_variants: Vec<LowerVariant>) -> Self {
        Self { lower_variants, ..self }
    }
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
        let Exported { blobs, present, left_out, .. } = &self.exported;
        let mut block = Block::new(self.title, 13).line("output", &self.output);
        for manifest in &self.manifests {
            let name: String = manifest.names().map(|name| format!(" {name}")).collect();
            block = block.line("manifest", format!("{}{name}", style.digest(&manifest.digest)));
        }
        block = block.line("blobs", tallied(blobs));
        for (label, tally) in [("there already", present), ("left out", left_out)] {
            if tally.count > 0 {
                block = block.line(label, tallied(tally));
            }
        }
        block.finish()
    }
}
