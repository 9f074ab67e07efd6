//! Arguments and results of the commands on blobs.

use regshape::Error;
use regshape::oci::{Descriptor, Digest, MediaType};
use regshape::registry::Repository;
use serde::Serialize;

use crate::cli::layout::kept_output::deletion_status;
use crate::cli::output::{Block, Screen};
use crate::cli::style::Style;

/// Which blob is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct DigestArg {
    /// Digest of the blob; its first 4 digits or more are enough
    #[arg(short, long, value_name = "DIGEST")]
    digest: String,
}

impl DigestArg {
    /// Returns the digest, of a blob that is stored if it is shortened.
    pub(crate) fn digest(&self, repository: &Repository) -> Result<Digest, Error> {
        repository.resolve_digest(&self.digest)
    }
}

/// The action of a command on a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BlobAction {
    Shown,
    Stored,
    Mounted,
    Deleted,
    /// Would be deleted, in a dry run.
    WouldDelete,
}

#[derive(Serialize)]
pub(crate) struct BlobScreen {
    digest: Digest,
    size: u64,
    /// A layout does not know the types of its blobs.
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip)]
    action: BlobAction,
}

impl BlobScreen {
    pub(crate) fn new(action: BlobAction, blob: Descriptor) -> Self {
        let status = match action {
            BlobAction::Shown | BlobAction::Stored => None,
            BlobAction::Mounted => Some("mounted"),
            BlobAction::Deleted => Some(deletion_status(false)),
            BlobAction::WouldDelete => Some(deletion_status(true)),
        };
        let dry_run = matches!(action, BlobAction::WouldDelete);
        Self { digest: blob.digest, size: blob.size, media_type: blob.media_type, status, dry_run, action }
    }
}

impl Screen for BlobScreen {
    fn text(&self, style: &Style) -> String {
        let title = match self.action {
            BlobAction::Shown => "Blob:",
            BlobAction::Stored => "Stored blob:",
            BlobAction::Mounted => "Mounted blob:",
            BlobAction::Deleted => "Deleted blob:",
            BlobAction::WouldDelete => "Would delete blob:",
        };
        Block::new(title, 6).line("digest", style.digest(&self.digest)).line("size", self.size).finish()
    }

    fn quiet(&self) -> Option<String> {
        match self.action {
            BlobAction::Shown => None,
            BlobAction::Stored | BlobAction::Mounted => Some(self.digest.to_string()),
            BlobAction::Deleted | BlobAction::WouldDelete => Some(String::new()),
        }
    }
}
