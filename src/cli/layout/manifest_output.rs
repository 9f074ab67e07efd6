//! The result of `generate manifest` and `annotate manifest`.

use regshape::layout::StagedManifest;
use regshape::oci::{Annotations, Digest, MediaType, REF_NAME};
use serde::Serialize;

use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

#[derive(Serialize)]
pub(crate) struct ManifestScreen {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    ref_name: Option<String>,
    /// Those of the manifest, and the ref name of its entry in index.json.
    annotations: Annotations,
    /// Those of the manifest alone; not shown right after it was generated.
    #[serde(skip)]
    listed: Option<Annotations>,
    #[serde(skip)]
    title: &'static str,
}

impl ManifestScreen {
    /// Shows a manifest that was just generated.
    pub(crate) fn generated(manifest: StagedManifest) -> Self {
        let mut annotations = manifest.annotations;
        annotations.extend(manifest.ref_name.clone().map(|name| (REF_NAME.to_owned(), name)));
        Self {
            digest: manifest.digest,
            size: manifest.size,
            media_type: manifest.media_type,
            ref_name: manifest.ref_name,
            annotations,
            listed: None,
            title: "Generated manifest:",
        }
    }

    /// Shows a manifest whose annotations were changed.
    pub(crate) fn updated(manifest: StagedManifest) -> Self {
        let listed = Some(manifest.annotations.clone());
        Self { listed, title: "Updated manifest:", ..Self::generated(manifest) }
    }
}

impl Screen for ManifestScreen {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        let mut block = Block::new(self.title, 10)
            .line("digest", &self.digest)
            .line("size", self.size)
            .line("media-type", &self.media_type);
        if let Some(name) = &self.ref_name {
            block = block.line("ref-name", name);
        }
        if let Some(annotations) = &self.listed {
            block = block.annotations(annotations);
        }
        block.finish()
    }
}

/// The warning in JSON about a manifest that lacks a change.
pub(crate) const OUTDATED_MANIFEST: &str = "manifest already generated; re-run 'layout generate manifest'";

/// The warning in text about a manifest that lacks a change.
pub(crate) fn outdated_manifest(change: &str) -> String {
    format!("a manifest has already been generated. Re-run 'layout generate manifest'\nto reference {change}.")
}
