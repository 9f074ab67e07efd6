//! Results of commands that change a staged layer.

use regshape::layout::{StagedLayer, Updated};
use regshape::oci::{Annotations, Digest, MediaType};
use serde::Serialize;

use crate::cli::layout::manifest_output::{OUTDATED_MANIFEST, outdated_manifest};
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// A staged layer that was changed, moved or removed.
#[derive(Serialize)]
pub(crate) struct LayerScreen {
    #[serde(skip)]
    title: String,
    index: usize,
    digest: Digest,
    size: u64,
    media_type: MediaType,
    annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

impl LayerScreen {
    pub(crate) fn new(title: String, index: usize, updated: Updated<StagedLayer>) -> Self {
        let warning = updated.outdates_manifest.then_some(OUTDATED_MANIFEST);
        let StagedLayer { digest, size, media_type, annotations, .. } = updated.value;
        Self { title, index, digest, size, media_type, annotations, warning }
    }
}

impl Screen for LayerScreen {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        Block::new(&self.title, 6)
            .line("digest", &self.digest)
            .line("type", &self.media_type)
            .annotations(&self.annotations)
            .finish()
    }

    fn warning(&self) -> Option<String> {
        self.warning.map(|_| outdated_manifest("the updated layer"))
    }
}
