//! The result of the commands that write a file.

use std::path::Path;

use regshape::oci::Digest;
use serde::Serialize;

use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// The name of the keys of the JSON.
pub(crate) const WRITTEN_KEYS: &str = "manifest get --output";

#[derive(Serialize)]
pub(crate) struct WrittenScreen {
    digest: Digest,
    size: u64,
    output: String,
    #[serde(skip)]
    title: &'static str,
}

impl WrittenScreen {
    pub(crate) fn new(title: &'static str, digest: Digest, size: u64, output: &Path) -> Self {
        Self { digest, size, output: output.display().to_string(), title }
    }
}

impl Screen for WrittenScreen {
    fn keys(&self) -> Option<&'static str> {
        Some(WRITTEN_KEYS)
    }

    fn text(&self, style: &Style) -> String {
        Block::new(self.title, 6)
            .line("digest", style.digest(&self.digest))
            .line("size", self.size)
            .line("output", &self.output)
            .finish()
    }
}
