//! What can go wrong with a layout, in words that name the thing and both values. What to do about it is for the program
//! that uses the library to say.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::compress::{BoundError, Encoding};
use crate::oci::{Digest, MediaType};

/// The result of work on a layout.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `init` found a layout.
    #[error("{} is already an OCI Image Layout", .path.display())]
    AlreadyLayout {
        /// The directory.
        path: PathBuf,
    },
    /// `init` found something that it would have to overwrite.
    #[error("{} holds '{name}', which is not from an interrupted 'init'", .path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// What stands in the way.
        name: &'static str,
    },
    /// There is no layout.
    #[error("{} is not an OCI Image Layout (missing oci-layout file)", .path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
    /// The file `oci-layout` does not say what it must.
    #[error("oci-layout at {} is malformed: {reason}", .path.display())]
    MalformedMarker {
        /// The layout.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The layout is of a version that this program does not know.
    #[error("Invalid imageLayoutVersion in oci-layout: '{}', expected '{expected}'", .found.escape_debug())]
    LayoutVersion {
        /// The version that the marker says.
        found: String,
        /// The one that there is.
        expected: &'static str,
    },
    /// `index.json` is not an image index.
    #[error("index.json at {} is not a valid OCI Image Index", .path.display())]
    MalformedIndex {
        /// The layout.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        reason: Reason,
    },
    /// The layout has no staging file.
    #[error("staging file not found at {}", .path.display())]
    NoStage {
        /// The layout.
        path: PathBuf,
    },
    /// The staging file is not one.
    #[error("staging file at {} is malformed: {reason}", .path.display())]
    MalformedStage {
        /// The layout.
        path: PathBuf,
        /// What is wrong with it.
        reason: Reason,
    },
    /// The staging file is of a version that this program does not know.
    #[error("staging file at {} has schema_version {found}, expected {expected}", .path.display())]
    StageVersion {
        /// The layout.
        path: PathBuf,
        /// The version that it says.
        found: u64,
        /// The version that is known.
        expected: u64,
    },
    /// Somebody else wrote the layout for longer than was to be waited.
    #[error("{} is locked by another process; waited {}", .path.display(), seconds(.waited))]
    Locked {
        /// The layout.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// There is no layer to make an image of.
    #[error("no layers have been staged")]
    NoLayers,
    /// There is no config yet.
    #[error("config not generated")]
    NoConfig,
    /// There is no manifest yet.
    #[error("manifest not generated")]
    NoManifest,
    /// The config was made for other layers.
    #[error("config does not match the staged layers")]
    ConfigMismatch,
    /// `index.json` does not list the manifest that the staging file names.
    #[error("index.json at {} has no entry for the staged manifest {digest}", .path.display())]
    ManifestNotListed {
        /// The layout.
        path: PathBuf,
        /// The manifest.
        digest: Digest,
    },
    /// There is no layer of that number.
    #[error("layer index {index} out of range (staged layers: {count})")]
    LayerIndex {
        /// The number that was asked for.
        index: i64,
        /// How many layers there are.
        count: usize,
    },
    /// The file to add is not there.
    #[error("File not found: {}", .path.display())]
    FileNotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file to add is a directory.
    #[error("{} is a directory, not a file", .path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The file to add has no content.
    #[error("{} is empty", .path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The content does not say what kind of layer it is.
    #[error("cannot infer media type for '{name}'")]
    UnknownMediaType {
        /// The extension of the file's name, or the name if it has none.
        name: String,
    },
    /// The media type says that a layer is stored in another way than it is.
    #[error("media type {media_type} does not fit {}, whose bytes are stored as {}", .path.display(), .stored.name())]
    MediaTypeMismatch {
        /// The file.
        path: PathBuf,
        /// The media type that was asked for.
        media_type: MediaType,
        /// How the bytes would be stored.
        stored: Encoding,
    },
    /// A layer could not be compressed.
    #[error("failed to compress {}: {source}", .path.display())]
    Compress {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A compressed stream is truncated or corrupt.
    #[error("{} is not a sound {} stream: {source}", .path.display(), .encoding.name())]
    CorruptStream {
        /// The file or blob.
        path: PathBuf,
        /// What it is compressed with.
        encoding: Encoding,
        /// What the decompressor says.
        source: io::Error,
    },
    /// More comes out of a compressed stream than may.
    #[error("{} {source}", .path.display())]
    BeyondBound {
        /// The file or blob.
        path: PathBuf,
        /// What it exceeds.
        source: BoundError,
    },
    /// A blob is missing.
    #[error("blob {digest} referenced by {referrer} does not exist")]
    MissingBlob {
        /// The blob.
        digest: Digest,
        /// What refers to it: a file of the layout, or a digest.
        referrer: String,
    },
    /// The directory of the blobs is a link that leads out of the layout.
    #[error("{} is a link that leads out of the layout", .path.display())]
    LinkOutside {
        /// The link.
        path: PathBuf,
    },
    /// What should be a blob is no regular file in the layout: a directory, a pipe, a link that leads out of it.
    #[error("blob {digest} is not a regular file")]
    NotAFile {
        /// The blob.
        digest: Digest,
    },
    /// A blob does not have the content that its name says.
    #[error("digest mismatch for {digest}: expected {digest}, got {actual}")]
    DigestMismatch {
        /// The name of the blob.
        digest: Digest,
        /// The digest of its content.
        actual: Digest,
    },
    /// A blob does not have the size that a descriptor says.
    #[error("size mismatch for {digest}: expected {expected}, got {actual}")]
    SizeMismatch {
        /// The blob.
        digest: Digest,
        /// The size that the descriptor says.
        expected: u64,
        /// The size of the file.
        actual: u64,
    },
    /// A digest is of an algorithm that this program cannot compute.
    #[error("digest {digest} cannot be verified: its algorithm is not supported")]
    UnsupportedAlgorithm {
        /// The digest.
        digest: Digest,
    },
    /// A document is larger than this program reads.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The document.
        what: String,
        /// The most bytes that are read.
        limit: u64,
    },
    /// A blob is not the document that its media type says.
    #[error("{digest} is not a valid {kind}: {reason}")]
    MalformedDocument {
        /// The blob.
        digest: Digest,
        /// What it should be.
        kind: &'static str,
        /// What is wrong with it.
        reason: Reason,
    },
    /// The operating system refused something.
    #[error("failed to {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// Returns a function that gives an error of the operating system its context.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Returns a time in the largest unit that is no larger than a second.
fn seconds(time: &Duration) -> String {
    if time.is_zero() { "0s".to_owned() } else { format!("{time:?}") }
}

/// Why a document could not be read as what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Reason(String);

impl Reason {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<serde_json::Error> for Reason {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}
