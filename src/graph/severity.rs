//! Which fault is an error and which a warning: the one table that every command asks.
//!
//! Where the image-spec's text says MUST, REQUIRED or MUST NOT, breaking it is an error; where it says SHOULD or SHOULD
//! NOT, a warning. Where its JSON schema is stricter than its text, the text counts. A fault that the image-spec does
//! not mention is an error if readers refuse the content or read it differently, and otherwise a warning.

use crate::oci::{Descriptor, MediaType};
use crate::tar::fault::{TarFault, TarReport};

/// How much a fault matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The layout is not valid.
    Error,
    /// It is legal, but may not be meant, or not work everywhere.
    Warning,
}

/// The kinds of faults that a layout, its documents and its layers can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultKind {
    // Documents
    Malformed,
    IndexMediaType,
    ContradictingMediaType,
    OtherMediaTypeName,
    DockerMediaType,
    NullManifests,
    NoLayers,
    NullSetting,
    EmptyPlatform,
    DateThatGoRefuses,
    HistoryLength,
    LayerCount,
    ContradictingPlatform,
    RefNameGrammar,
    RefNameTwice,
    ImageNameTwice,
    Attestation,
    SchemaOne,
    // Blobs
    MissingBlob,
    MissingElsewhere,
    MissingPlatform,
    UnreadableBlob,
    WrongDigest,
    WrongSize,
    WrongData,
    UnknownAlgorithm,
    // Layers
    LayerEncoding,
    UnsoundStream,
    WrongDiffId,
    HiddenLink,
    /// Of the tar.
    Tar(TarFault),
    // The directory
    Marker,
    StagingFile,
    NoBlobsDirectory,
    UnreadableDirectory,
    Unreferenced,
    ForeignFile,
    // The files of an image
    NoCommand,
    NoProgram,
    NotExecutable,
    UnknownFormat,
    OtherMachine,
    OlderMachine,
    NoWorkingDirectory,
    WorkingDirectoryIsFile,
    UnknownUser,
    StrayWhiteout,
    Secret,
    PossibleSecret,
    HiddenSecret,
    // Referrers
    StaleReferrer,
}

impl FaultKind {
    /// Returns how much a fault matters in a layout.
    pub(crate) fn severity(self) -> Severity {
        use Severity::{Error, Warning};
        match self {
            // descriptor.md, image-index.md, manifest.md, config.md: "REQUIRED", "MUST", and the types of JSON values.
            Self::Malformed => Error,
            // image-index.md: "When used, this field MUST contain the media type application/vnd.oci.image.index.v1+json."
            Self::IndexMediaType => Error,
            // manifest.md: "When used, this field MUST contain the media type …"; otherwise the meaning depends on the
            // reader.
            Self::ContradictingMediaType => Error,
            // The same, but Docker's name and the OCI's for one format, or an unknown one: readers take both.
            Self::OtherMediaTypeName => Warning,
            // manifest.md, config and layers: "concerned with portability SHOULD use one of the above media types."
            Self::DockerMediaType => Warning,
            // The schema has an array; programs in Go write null for none, and read it.
            Self::NullManifests => Warning,
            // manifest.md: "For portability, layers SHOULD have at least one entry." Its schema says minItems 1.
            Self::NoLayers => Warning,
            // The schema has no null for these fields; config.md says "OPTIONAL", and every reader takes null for absent.
            Self::NullSetting => Warning,
            // config.md: "Configurations SHOULD use … values listed in the Go Language document for GOARCH", and for GOOS.
            Self::EmptyPlatform => Warning,
            // config.md: "formatted as defined by RFC 3339, section 5.6", which allows more than Go's parser reads.
            Self::DateThatGoRefuses => Warning,
            // config.md: "Describes the history of each layer." Tools that pair them drop layers or stop.
            Self::HistoryLength => Warning,
            // config.md: diff_ids is "an array of layer content hashes (DiffIDs), in order from first to last".
            Self::LayerCount => Error,
            // image-index.md: platform "describes the minimum runtime requirements of the image"; it need not be the config's.
            Self::ContradictingPlatform => Warning,
            // annotations.md, ref.name: "Character set of the value SHOULD conform to" its grammar.
            Self::RefNameGrammar => Warning,
            // Not in the image-spec: readers take either.
            Self::RefNameTwice | Self::ImageNameTwice => Warning,
            // Not in the image-spec: BuildKit's manifests that are no images.
            Self::Attestation => Warning,
            // image-layout.md: "An encountered mediaType that is unknown MUST NOT generate an error."
            Self::SchemaOne => Warning,
            // The command reference: "Missing blob during validate" is an error. image-layout.md allows it.
            Self::MissingBlob => Error,
            // image-layout.md: "The blobs directory MAY be missing referenced blobs". Docker and containerd store the image for one
            // platform and the index of all.
            Self::MissingPlatform => Warning,
            // descriptor.md, urls and data; layer.md, "Non-Distributable Layers".
            Self::MissingElsewhere => Warning,
            // image-layout.md: "The content of blobs/<alg>/<encoded> MUST match the digest".
            Self::UnreadableBlob | Self::WrongDigest => Error,
            // descriptor.md: "If the length of the retrieved content does not match the specified length, the content SHOULD
            // NOT be trusted." Readers refuse it.
            Self::WrongSize => Error,
            // descriptor.md: "The decoded data MUST be identical to the referenced content".
            Self::WrongData => Error,
            // descriptor.md: "Implementations SHOULD allow digests with unrecognized algorithms to pass validation".
            Self::UnknownAlgorithm => Warning,
            // layer.md: each media type "represents … payload which has been compressed with" the algorithm that it
            // names.
            Self::LayerEncoding => Error,
            // RFC 1952 and RFC 8878: readers refuse a stream that is cut or broken, or that other bytes follow.
            Self::UnsoundStream => Error,
            // config.md: "A layer DiffID is the digest over the layer's uncompressed tar archive".
            Self::WrongDiffId => Error,
            // Not in the image-spec: engines that unpack each layer alone hide the link, others write through it.
            Self::HiddenLink => Warning,
            // layer.md: layers are tar archives. Readers refuse these.
            Self::Tar(TarFault::Truncated) | Self::Tar(TarFault::Malformed) => Error,
            // POSIX, pax: two blocks of zeros end an archive. Readers of layers do without.
            Self::Tar(TarFault::Unterminated) => Warning,
            // The same; Go's reader takes it for the end. A writer that died leaves it.
            Self::Tar(TarFault::HeaderWithoutEntry) => Warning,
            // layer.md: layers "MUST NOT include duplicate entries for file paths in the resulting tar archive."
            Self::Tar(TarFault::DifferingDuplicates) => Error,
            // The same sentence, but it makes no difference which of them a reader takes.
            Self::Tar(TarFault::EqualDuplicates) => Warning,
            // Paths that were not compared may be right.
            Self::Tar(TarFault::UncomparedPaths) => Warning,
            // layer.md: "a special filename that signifies a path should be deleted", and there is none.
            Self::Tar(TarFault::WhiteoutOfNothing) => Warning,
            // layer.md: "Sparse files SHOULD NOT be used because they lack consistent support across tar implementations."
            Self::Tar(TarFault::SparseFile) => Warning,
            // Not in the image-spec: readers refuse such names, or make others of them.
            Self::Tar(TarFault::UpwardPath) => Warning,
            // Not in the image-spec: engines read the records SCHILY.xattr alone, and drop the others.
            Self::Tar(TarFault::LoneXattrs) => Warning,
            // Not in the image-spec: engines ignore it, and umoci refuses the layer.
            Self::Tar(TarFault::GlobalHeader) => Warning,
            // image-layout.md: oci-layout "MUST be a JSON object" and "MUST contain an imageLayoutVersion field".
            Self::Marker => Error,
            // No part of a layout.
            Self::StagingFile => Warning,
            // Version control loses empty directories.
            Self::NoBlobsDirectory | Self::UnreadableDirectory => Warning,
            // image-layout.md: "The blobs directory MAY contain blobs which are not referenced by any of the refs."
            Self::Unreferenced => Warning,
            // image-layout.md: "Implementations should not error when encountering unknown files."
            Self::ForeignFile => Warning,
            // Right for an image to build on.
            Self::NoCommand => Warning,
            // execve(2): ENOENT, of the loader and of the program after #! too; EACCES; ENOEXEC. No engine starts such a container.
            Self::NoProgram | Self::NotExecutable | Self::OtherMachine => Error,
            // execve(2): ENOEXEC; but systems can be taught formats, and machines (binfmt_misc).
            Self::UnknownFormat => Warning,
            // Most kernels for amd64 run programs for 386, and many for arm64 those for arm.
            Self::OlderMachine => Warning,
            // config.md, WorkingDir: engines make it, as root's.
            Self::NoWorkingDirectory => Warning,
            // chdir(2): ENOTDIR.
            Self::WorkingDirectoryIsFile => Error,
            // config.md, User: a name is looked up in the image; engines refuse one that is not there.
            Self::UnknownUser => Error,
            // layer.md: a whiteout "signifies a path should be deleted". No engine minds one that deletes nothing.
            Self::StrayWhiteout => Warning,
            // Not in the image-spec: packages have no such files, and everyone who has the image can read them.
            Self::Secret => Error,
            // The same, but packages have such files for their tests and as examples.
            Self::PossibleSecret => Warning,
            // The same, and an upper layer shows that the file was not meant to be there.
            Self::HiddenSecret => Error,
            // manifest.md, subject: "a weak association to a separate Merkle DAG structure", which may be elsewhere.
            Self::StaleReferrer => Warning,
        }
    }

    /// Returns whether a fault is an error.
    pub(crate) fn is_error(self) -> bool {
        self.severity() == Severity::Error
    }

    /// Returns how much a fault of a layer matters when the layer is added. Of the faults that only a look into a layer finds,
    /// a truncation is never meant; the others are for the user to judge.
    pub(crate) fn severity_when_added(self) -> Severity {
        match self {
            Self::Tar(TarFault::HeaderWithoutEntry) => Severity::Error,
            Self::Tar(TarFault::Malformed) | Self::Tar(TarFault::DifferingDuplicates) => Severity::Warning,
            other => other.severity(),
        }
    }
}

/// Returns the kind of the fault if content is missing: a descriptor may name another place (`urls`), or embed it, and
/// layers that are not distributed need not be anywhere, whether they have `urls` or not (layer.md: "the presence of the urls
/// field SHOULD NOT be used to determine whether or not a layer is non-distributable").
pub(crate) fn missing(media_type: Option<&MediaType>, has_urls: bool, has_data: bool) -> FaultKind {
    if has_urls || has_data || media_type.is_some_and(MediaType::is_non_distributable) {
        FaultKind::MissingElsewhere
    } else {
        FaultKind::MissingBlob
    }
}

/// Returns whether content that a descriptor is about need not be in a layout.
pub(crate) fn may_be_missing(descriptor: &Descriptor) -> bool {
    let has_urls = descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty());
    !missing(Some(&descriptor.media_type), has_urls, false).is_error()
}

/// Returns the reason for which a tar is refused as a layer, if it is.
pub(crate) fn refusal(tar: &TarReport) -> Option<&str> {
    let (fault, reason) = tar.reason()?;
    (FaultKind::Tar(fault).severity_when_added() == Severity::Error).then_some(reason)
}
