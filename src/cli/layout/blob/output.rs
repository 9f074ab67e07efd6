//! What the commands on blobs take and show alike.

use regshape::Error;
use regshape::oci::{Descriptor, Digest, MediaType};
use serde::Serialize;

use crate::cli::layout::place::parse_digest;
use crate::cli::output::{Block, Screen};

/// Which blob is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct DigestArg {
    /// The digest of the blob
    #[arg(short, long, value_name = "DIGEST")]
    digest: String,
}

impl DigestArg {
    pub(crate) fn digest(&self) -> Result<Digest, Error> {
        parse_digest(&self.digest)
    }
}

#[derive(Serialize)]
pub(crate) struct BlobScreen {
    digest: Digest,
    size: u64,
    /// A layout does not know the types of its blobs.
    content_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip)]
    title: &'static str,
}

impl BlobScreen {
    pub(crate) fn new(title: &'static str, blob: Descriptor, status: Option<&'static str>) -> Self {
        Self { digest: blob.digest, size: blob.size, content_type: blob.media_type, status, title }
    }
}

impl Screen for BlobScreen {
    fn text(&self) -> String {
        Block::new(self.title, 6).line("digest", &self.digest).line("size", self.size).finish()
    }
}
