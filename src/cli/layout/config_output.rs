//! The result of `generate config` and `update config`.

use regshape::layout::StagedConfig;
use regshape::oci::{Digest, MediaType};
use serde::Serialize;

use crate::cli::layout::manifest_output::{OUTDATED_MANIFEST, outdated_manifest};
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

#[derive(Serialize)]
pub(crate) struct ConfigScreen {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    #[serde(skip)]
    title: &'static str,
}

impl ConfigScreen {
    /// Shows a config under a title.
    pub(crate) fn new(title: &'static str, config: StagedConfig, outdates_manifest: bool) -> Self {
        let StagedConfig { digest, size, media_type, .. } = config;
        Self { digest, size, media_type, warning: outdates_manifest.then_some(OUTDATED_MANIFEST), title }
    }
}

impl Screen for ConfigScreen {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        Block::new(self.title, 6)
            .line("digest", &self.digest)
            .line("size", self.size)
            .line("type", &self.media_type)
            .finish()
    }

    fn warning(&self) -> Option<String> {
        self.warning.map(|_| outdated_manifest("the updated config"))
    }
}
