//! Everything that can go wrong.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::artifact::ArtifactError;
use super::base::BaseError;
use super::candidate::{Candidate, described};
use super::config::ConfigError;
use super::copy::CopyError;
use super::edit::EditError;
use super::files::FilesError;
use super::layer::LayerError;
use super::push::PushError;
use super::reason::Reason;
use super::referrer::Referrer;
use super::remote::RemoteError;
use super::unpack::UnpackError;
use super::words::{counted, image_called, list, missing_blob, seconds, size_mismatch, stored, unselected};
use crate::compress::{BoundError, Encoding, TrailingBytes};
use crate::oci::{
    Digest, DigestError, MediaType, NameError, Platform, PlatformWordError, RefNameError, RepositoryName,
};

/// The result of work on a layout.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An artifact cannot be made, or its files cannot be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// An image cannot be the base of another one.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A layer of an image cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The files of an image cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The files of an image cannot be written.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// An image cannot be changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A layer of files cannot be made.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Images cannot be pushed as they are.
    #[error(transparent)]
    Push(#[from] PushError),
    /// A registry cannot be reached, or does not do what it is asked.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// `init` found a layout.
    #[error("{} is already an OCI Image Layout", .path.display())]
    AlreadyLayout {
        /// The directory.
        path: PathBuf,
    },
    /// `init` found something that it would have to overwrite.
    #[error("{} holds '{name}', which no interrupted 'init' left", .path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// The file in the way.
        name: &'static str,
    },
    /// There is no layout.
    #[error("{} is not an OCI Image Layout (missing oci-layout file)", .path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
    },
    /// The file `oci-layout` is malformed.
    #[error("oci-layout at {} is malformed: {reason}", .path.display())]
    MalformedMarker {
        /// The layout.
        path: PathBuf,
        /// The fault.
        reason: Reason,
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
        /// The fault.
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
        /// The fault.
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
    /// Another process held the lock for longer than the timeout.
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
    /// The type of the layer cannot be detected from its content.
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
    #[error("failed to compress {}", .path.display())]
    Compress {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A compressed stream is truncated or corrupt.
    #[error("{} is not a sound {} stream", .path.display(), .encoding.name())]
    CorruptStream {
        /// The file or blob.
        path: PathBuf,
        /// The compression.
        encoding: Encoding,
        /// The error of the decompressor.
        source: io::Error,
    },
    /// Bytes follow a compressed stream.
    #[error("{}: {trailing}", .path.display())]
    TrailingBytes {
        /// The file or blob.
        path: PathBuf,
        /// How many there are.
        trailing: TrailingBytes,
    },
    /// A tar ends before it is whole.
    #[error("{} is truncated: {reason}", .path.display())]
    TruncatedTar {
        /// The file.
        path: PathBuf,
        /// Where it ends.
        reason: Reason,
    },
    /// More comes out of a compressed stream than may.
    #[error("{} {bound}", .path.display())]
    BeyondBound {
        /// The file or blob.
        path: PathBuf,
        /// The bound that it exceeds.
        bound: BoundError,
    },
    /// A blob is missing.
    #[error("{}", missing_blob(.digest, .referrer))]
    MissingBlob {
        /// The blob.
        digest: Digest,
        /// The referrer: a file of the layout, or a digest.
        referrer: Referrer,
    },
    /// The directory of the blobs is a link out of the layout.
    #[error("{} is a link out of the layout", .path.display())]
    LinkOutside {
        /// The link.
        path: PathBuf,
    },
    /// A blob is not a regular file in the layout, but a directory, a pipe, or a link out of it.
    #[error("blob {digest} is not a regular file: {} is {found}", .path.display())]
    NotAFile {
        /// The blob.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
        /// The kind of the file, such as "a directory".
        found: &'static str,
    },
    /// A blob is a link out of the layout.
    #[error("blob {digest} is a link out of the layout: {}", .path.display())]
    BlobLinkOutside {
        /// The blob.
        digest: Digest,
        /// The link.
        path: PathBuf,
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
    #[error("{}", size_mismatch(.digest.as_ref(), *.expected, *.actual))]
    SizeMismatch {
        /// The blob.
        digest: Option<Digest>,
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
    /// A document is not written, because this program would not read it.
    #[error("{what} would be larger than {limit} bytes")]
    WouldBeTooLarge {
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
        /// The expected kind.
        kind: &'static str,
        /// The fault.
        reason: Reason,
    },
    /// A name is not one that a registry takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An architecture or operating system is not in the word that configs have for it.
    #[error(transparent)]
    PlatformWord(#[from] PlatformWordError),
    /// A name is not one that an entry of `index.json` can bear.
    #[error(transparent)]
    RefName(#[from] RefNameError),
    /// A name is a digest, or ends in one.
    #[error("'{}' would be read as a digest, because it is one or ends in one", .name.escape_debug())]
    NameIsDigest {
        /// The name.
        name: String,
    },
    /// The layout of a repository would lie among the files of another layout.
    #[error("cannot make repository '{repository}': '{part}' is the name of a layout's own files")]
    ReservedRepository {
        /// The repository.
        repository: RepositoryName,
        /// The part of its name.
        part: String,
    },
    /// A digest is not one.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Each repository has a layout of its own here, and none was named.
    #[error("{} holds one layout per repository, and no repository is named", .path.display())]
    NoRepository {
        /// The directory of the layouts.
        path: PathBuf,
    },
    /// There is no such repository.
    #[error("{} has no repository '{repository}'", .path.display())]
    UnknownRepository {
        /// The registry.
        path: PathBuf,
        /// The repository.
        repository: RepositoryName,
    },
    /// There is no such manifest.
    #[error("{} has no manifest '{}'", .path.display(), .reference.escape_debug())]
    UnknownManifest {
        /// The layout.
        path: PathBuf,
        /// The reference.
        reference: String,
    },
    /// No entry has the tag.
    #[error("{} has no tag '{}'", .path.display(), .reference.escape_debug())]
    UnknownTag {
        /// The layout.
        path: PathBuf,
        /// The reference.
        reference: String,
    },
    /// A name is that of several manifests.
    #[error("{} has {count} manifests '{}': {}", .path.display(), .reference.escape_debug(), described(.candidates, *.count))]
    AmbiguousName {
        /// The layout.
        path: PathBuf,
        /// The reference.
        reference: String,
        /// The first candidates, with the fields that distinguish them.
        candidates: Vec<Candidate>,
        /// How many they are.
        count: usize,
        /// Whether a platform can be asked for, and would tell them apart.
        by_platform: bool,
    },
    /// A change is asked for of a manifest that an index lists, and `index.json` does not.
    #[error("{} lists '{}' only in an image index, not in index.json", .path.display(), .reference.escape_debug())]
    InsideIndex {
        /// The layout.
        path: PathBuf,
        /// The reference.
        reference: String,
    },
    /// No blob has a digest with this beginning.
    #[error("no blob in {} has a digest that begins with '{}'", .path.display(), .beginning.escape_debug())]
    UnknownBlob {
        /// The layout.
        path: PathBuf,
        /// The beginning.
        beginning: String,
    },
    /// The beginning of a digest is that of several manifests or blobs.
    #[error("'{}' matches several digests: {}", .beginning.escape_debug(), list(.digests))]
    AmbiguousDigest {
        /// The beginning.
        beginning: String,
        /// Some of the digests.
        digests: Vec<Digest>,
    },
    /// An image is not there for a platform.
    #[error("no {platform} image in '{}'; it has {}", .reference.escape_debug(), list(.platforms))]
    UnknownPlatform {
        /// The reference.
        reference: String,
        /// For which platform.
        platform: Box<Platform>,
        /// The platforms that it is there for.
        platforms: Vec<String>,
    },
    /// An index lists an image for a platform, and its manifest is not there.
    #[error("the manifest for {platform} is not stored in {}; {}", .path.display(), stored(.platforms))]
    PlatformNotStored {
        /// The layout or archive.
        path: PathBuf,
        /// The platform.
        platform: Box<Platform>,
        /// The platforms whose manifests are there.
        platforms: Vec<String>,
    },
    /// Content to be stored as a manifest is not one, or refers to blobs that are not stored.
    #[error("the manifest is not valid: {reason}")]
    InvalidManifest {
        /// The fault.
        reason: Reason,
    },
    /// A file that should hold a manifest is not JSON.
    #[error("{} is not JSON: {reason}", .path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// The fault, with its line and column.
        reason: Reason,
    },
    /// An image to be written to a layout or an archive is not valid.
    #[error("{} of {} is not valid: {reason}", image_called(.image.as_deref()), .path.display())]
    NotValid {
        /// The layout or archive.
        path: PathBuf,
        /// The name of the image, if it has one.
        image: Option<String>,
        /// The fault.
        reason: Reason,
    },
    /// A range is not within a blob.
    #[error("the range from byte {start} is not within the {} of {digest}", counted(*.size, "byte"))]
    InvalidRange {
        /// The blob.
        digest: Digest,
        /// Where the range begins.
        start: u64,
        /// The size of the blob.
        size: u64,
    },
    /// An upload has another size than the offset to resume at.
    #[error("upload {id} has {}, not {expected}", counted(*.actual, "byte"))]
    UploadOffset {
        /// The upload.
        id: String,
        /// The number of bytes that was said.
        expected: u64,
        /// The number of bytes that it has.
        actual: u64,
    },
    /// There is no such upload.
    #[error("{} has no upload '{}'", .path.display(), .id.escape_debug())]
    UnknownUpload {
        /// The layout.
        path: PathBuf,
        /// The upload.
        id: String,
    },
    /// A blob is still needed.
    #[error("blob {digest} is referenced by {referrer}")]
    StillReferenced {
        /// The blob.
        digest: Digest,
        /// The referrer: a file of the layout, or a digest.
        referrer: Referrer,
    },
    /// Blobs that other layouts may need are not deleted.
    #[error("{} shares its blobs with other layouts, which may refer to them", .path.display())]
    BlobsAreShared {
        /// The layout.
        path: PathBuf,
    },
    /// Nothing is as it was asked for.
    #[error("no entry in {} {}", .path.display(), unselected(.annotations))]
    NothingSelected {
        /// The layout or archive.
        path: PathBuf,
        /// The annotations that were selected, as `KEY=VALUE`.
        annotations: Vec<String>,
    },
    /// A layout was changed while it was read.
    #[error("{} was changed while it was read", .path.display())]
    Changed {
        /// The layout.
        path: PathBuf,
    },
    /// A file is no archive of images.
    #[error("{} is not an image archive: {reason}", .path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: Reason,
    },
    /// A tar holds no images.
    #[error("{} is not an image archive: it has neither oci-layout nor manifest.json", .path.display())]
    NoImages {
        /// The file.
        path: PathBuf,
    },
    /// An archive holds something that is not taken from one.
    #[error("{}: entry '{}' {reason}", .path.display(), .entry.escape_debug())]
    UnsafeEntry {
        /// The archive.
        path: PathBuf,
        /// The entry.
        entry: String,
        /// The fault.
        reason: Reason,
    },
    /// A directory that a layout was to become holds something else.
    #[error("{} is neither empty nor an OCI Image Layout", .path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Another manifest has a name that was to be given.
    #[error("{} has another manifest '{}' already", .path.display(), .ref_name.escape_debug())]
    NameTaken {
        /// The layout.
        path: PathBuf,
        /// The name.
        ref_name: String,
    },
    /// A tag that was to be given is that of a manifest that was not made from the staging area.
    #[error("tag '{}' of {} is that of {digest}, which was not generated here", .tag.escape_debug(), .path.display())]
    TagTaken {
        /// The layout.
        path: PathBuf,
        /// The tag.
        tag: String,
        /// The manifest that has it.
        digest: Digest,
    },
    /// A config cannot be made, changed or read as asked.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A blob cannot be read where it is.
    #[error("failed to read blob {digest}")]
    Blob {
        /// The blob.
        digest: Digest,
        /// The error of the system.
        source: io::Error,
    },
    /// A format cannot hold something.
    #[error("{format} cannot hold {what}")]
    CannotHold {
        /// The format.
        format: &'static str,
        /// The content that the format cannot hold, and the reason.
        what: String,
    },
    /// The operating system refused something.
    #[error("failed to {action} {}", .path.display())]
    Io {
        /// The failed action, as a verb.
        action: &'static str,
        /// The path that the action was applied to.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}
