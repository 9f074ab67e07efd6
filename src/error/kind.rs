//! Categories of errors.

use std::path::Path;

use super::{
    ArtifactError, BaseError, ConfigError, CopyError, EditError, Error, FilesError, LayerError, PushError, RemoteError,
    UnpackError,
};

/// The category of an error, for programs that handle errors by category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The requested object does not exist.
    NotFound,
    /// A name or digest matches several objects.
    Ambiguous,
    /// A text, a name or a number is not valid.
    InvalidInput,
    /// Content is malformed, damaged or truncated, or does not match its digest.
    InvalidData,
    /// The operation conflicts with existing content: the name is taken, the directory is not empty, the blob is
    /// referred to.
    Conflict,
    /// An earlier step is missing.
    Unprepared,
    /// Another process is writing the layout, or has changed it during a read.
    Busy,
    /// An object exceeds a size limit.
    TooLarge,
    /// The input is valid, but this program does not support it.
    Unsupported,
    /// The operating system reported an error.
    Io,
}

impl Error {
    /// Returns the category of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotALayout { .. }
            | Self::NoStage { .. }
            | Self::ManifestNotListed { .. }
            | Self::LayerIndex { .. }
            | Self::FileNotFound { .. }
            | Self::MissingBlob { .. }
            | Self::UnknownBlob { .. }
            | Self::UnknownRepository { .. }
            | Self::UnknownManifest { .. }
            | Self::UnknownTag { .. }
            | Self::InsideIndex { .. }
            | Self::UnknownPlatform { .. }
            | Self::PlatformNotStored { .. }
            | Self::UnknownUpload { .. }
            | Self::NothingSelected { .. } => ErrorKind::NotFound,
            Self::Artifact(error) => kind_of_artifact(error),
            Self::Base(error) => match error {
                BaseError::NoImage { .. } => ErrorKind::NotFound,
                BaseError::SeveralImages { .. } => ErrorKind::Ambiguous,
                BaseError::DiffIds { .. } => ErrorKind::InvalidData,
                BaseError::Staged { .. } => ErrorKind::Conflict,
            },
            Self::Layer(error) => match error {
                LayerError::DiffId { .. } | LayerError::MalformedTar { .. } | LayerError::Corrupt { .. } => {
                    ErrorKind::InvalidData
                }
                LayerError::Bound { .. } => ErrorKind::TooLarge,
                LayerError::NotATar { .. } => ErrorKind::Unsupported,
                LayerError::StoredElsewhere { .. } => ErrorKind::NotFound,
            },
            Self::Unpack(error) => match error {
                UnpackError::NotEmpty { .. }
                | UnpackError::Exists { .. }
                | UnpackError::InLayout { .. }
                | UnpackError::SameName { .. }
                | UnpackError::Folds { .. } => ErrorKind::Conflict,
                UnpackError::NotADirectory { .. }
                | UnpackError::BrokenLink { .. }
                | UnpackError::NotMapped { .. }
                | UnpackError::TooHigh { .. }
                | UnpackError::NotInNamespace { .. }
                | UnpackError::MapNeedsRoot
                | UnpackError::StateInTree { .. }
                | UnpackError::StateNotAFile { .. } => ErrorKind::InvalidInput,
                UnpackError::NoParent { .. } => ErrorKind::NotFound,
                UnpackError::LostHardLink { .. }
                | UnpackError::NoTarget { .. }
                | UnpackError::MalformedState { .. }
                | UnpackError::OtherState { .. }
                | UnpackError::ChangedState { .. } => ErrorKind::InvalidData,
                UnpackError::Unsupported => ErrorKind::Unsupported,
            },
            Self::Files(error) => match error {
                FilesError::NoImage { .. }
                | FilesError::NoLayer { .. }
                | FilesError::NoPath { .. }
                | FilesError::BrokenLink { .. }
                | FilesError::TooManyLinks { .. }
                | FilesError::NotADirectory { .. } => ErrorKind::NotFound,
                FilesError::SeveralImages { .. } => ErrorKind::Ambiguous,
                FilesError::NotAFile { .. } => ErrorKind::InvalidInput,
                FilesError::Sparse { .. } => ErrorKind::Unsupported,
                FilesError::DiffIds { .. } | FilesError::LostHardLink { .. } => ErrorKind::InvalidData,
            },
            Self::Copy(error) => kind_of_copy(error),
            Self::Push(error) => match error {
                PushError::NoImages { .. } => ErrorKind::NotFound,
                PushError::SeveralImages { .. } => ErrorKind::Ambiguous,
                PushError::OtherDigest { .. } | PushError::SameTag { .. } => ErrorKind::Conflict,
                PushError::NoTag { .. } | PushError::NotADocument { .. } => ErrorKind::InvalidInput,
                PushError::Cycle { .. } => ErrorKind::InvalidData,
                PushError::TooDeep { .. } => ErrorKind::TooLarge,
            },
            Self::Remote(error) => kind_of_remote(error),
            Self::Edit(error) => match error {
                EditError::LayerIndex { .. } | EditError::NotListed { .. } => ErrorKind::NotFound,
                EditError::NeedsTag { .. } => ErrorKind::Ambiguous,
                EditError::SamePlatform { .. } | EditError::TwoForPlatform { .. } | EditError::LastImage { .. } => {
                    ErrorKind::Conflict
                }
                EditError::Artifact { .. }
                | EditError::NoImage { .. }
                | EditError::NoIndex { .. }
                | EditError::NameOfEntry { .. }
                | EditError::LayerOfBase { .. }
                | EditError::NoBase { .. }
                | EditError::NoOldBase { .. }
                | EditError::OtherHistory { .. }
                | EditError::OtherPlatform { .. }
                | EditError::NotOnBase { .. }
                | EditError::KeepsMore { .. }
                | EditError::TooDeep { .. } => ErrorKind::InvalidInput,
            },
            Self::Config(error) => match error {
                ConfigError::UnsetField { .. } | ConfigError::UnknownField { .. } | ConfigError::NoImages { .. } => {
                    ErrorKind::NotFound
                }
                ConfigError::SeveralImages { .. } => ErrorKind::Ambiguous,
                ConfigError::LongHistory { .. } => ErrorKind::InvalidData,
                ConfigError::Value(_)
                | ConfigError::UnknownVariable { .. }
                | ConfigError::UnclosedVariable { .. }
                | ConfigError::RelativePath { .. }
                | ConfigError::Invalid { .. } => ErrorKind::InvalidInput,
            },
            Self::AmbiguousName { .. } | Self::AmbiguousDigest { .. } => ErrorKind::Ambiguous,
            Self::IsDirectory { .. }
            | Self::UnknownMediaType { .. }
            | Self::MediaTypeMismatch { .. }
            | Self::Digest(_)
            | Self::Name(_)
            | Self::RefName(_)
            | Self::NameIsDigest { .. }
            | Self::PlatformWord(_)
            | Self::ReservedRepository { .. }
            | Self::NoRepository { .. }
            | Self::InvalidRange { .. } => ErrorKind::InvalidInput,
            Self::MalformedMarker { .. }
            | Self::LayoutVersion { .. }
            | Self::MalformedIndex { .. }
            | Self::MalformedStage { .. }
            | Self::StageVersion { .. }
            | Self::EmptyFile { .. }
            | Self::CorruptStream { .. }
            | Self::TrailingBytes { .. }
            | Self::TruncatedTar { .. }
            | Self::LinkOutside { .. }
            | Self::NotAFile { .. }
            | Self::BlobLinkOutside { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::MalformedDocument { .. }
            | Self::InvalidManifest { .. }
            | Self::NotJson { .. }
            | Self::NotValid { .. }
            | Self::NotAnArchive { .. }
            | Self::NoImages { .. }
            | Self::UnsafeEntry { .. } => ErrorKind::InvalidData,
            Self::AlreadyLayout { .. }
            | Self::Occupied { .. }
            | Self::NotEmpty { .. }
            | Self::NameTaken { .. }
            | Self::TagTaken { .. }
            | Self::StillReferenced { .. }
            | Self::BlobsAreShared { .. }
            | Self::UploadOffset { .. } => ErrorKind::Conflict,
            Self::NoLayers | Self::NoConfig | Self::NoManifest | Self::ConfigMismatch => ErrorKind::Unprepared,
            Self::Locked { .. } | Self::Changed { .. } => ErrorKind::Busy,
            Self::TooLarge { .. } | Self::WouldBeTooLarge { .. } | Self::BeyondBound { .. } => ErrorKind::TooLarge,
            Self::UnsupportedAlgorithm { .. } | Self::CannotHold { .. } => ErrorKind::Unsupported,
            Self::Compress { .. } | Self::Blob { .. } | Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// Returns the path of the file, directory or layout that the error is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::AlreadyLayout { path }
            | Self::Occupied { path, .. }
            | Self::NotALayout { path }
            | Self::MalformedMarker { path, .. }
            | Self::MalformedIndex { path, .. }
            | Self::NoStage { path }
            | Self::MalformedStage { path, .. }
            | Self::StageVersion { path, .. }
            | Self::Locked { path, .. }
            | Self::ManifestNotListed { path, .. }
            | Self::FileNotFound { path }
            | Self::IsDirectory { path }
            | Self::EmptyFile { path }
            | Self::MediaTypeMismatch { path, .. }
            | Self::Compress { path, .. }
            | Self::CorruptStream { path, .. }
            | Self::TrailingBytes { path, .. }
            | Self::TruncatedTar { path, .. }
            | Self::BeyondBound { path, .. }
            | Self::LinkOutside { path }
            | Self::NotAFile { path, .. }
            | Self::BlobLinkOutside { path, .. }
            | Self::NoRepository { path }
            | Self::UnknownRepository { path, .. }
            | Self::UnknownManifest { path, .. }
            | Self::UnknownTag { path, .. }
            | Self::UnknownBlob { path, .. }
            | Self::AmbiguousName { path, .. }
            | Self::InsideIndex { path, .. }
            | Self::PlatformNotStored { path, .. }
            | Self::NotValid { path, .. }
            | Self::NotJson { path, .. }
            | Self::UnknownUpload { path, .. }
            | Self::BlobsAreShared { path }
            | Self::NothingSelected { path, .. }
            | Self::Changed { path }
            | Self::NotAnArchive { path, .. }
            | Self::NoImages { path }
            | Self::UnsafeEntry { path, .. }
            | Self::NotEmpty { path }
            | Self::NameTaken { path, .. }
            | Self::TagTaken { path, .. }
            | Self::Io { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Returns the messages of the error and its causes on one line, joined by `: `.
    ///
    /// The cause of [`Error::MalformedIndex`] is left out: it is a detail.
    pub fn report(&self) -> String {
        let mut report = self.to_string();
        let mut error: &dyn std::error::Error = self;
        while let Some(cause) = error.source().filter(|_| !is_whole(error)) {
            report.push_str(": ");
            report.push_str(&cause.to_string());
            error = cause;
        }
        report
    }
}

/// Returns the category of an error of artifacts.
fn kind_of_artifact(error: &ArtifactError) -> ErrorKind {
    match error {
        ArtifactError::NoReferrer { .. } | ArtifactError::NoFiles { .. } => ErrorKind::NotFound,
        ArtifactError::SeveralReferrers { .. } | ArtifactError::SeveralFiles { .. } => ErrorKind::Ambiguous,
        ArtifactError::FilesExist { .. } | ArtifactError::InTheWay { .. } | ArtifactError::SameName { .. } => {
            ErrorKind::Conflict
        }
        ArtifactError::UnsafeTitle { .. } | ArtifactError::Colliding { .. } => ErrorKind::InvalidData,
        _ => ErrorKind::InvalidInput,
    }
}

/// Returns the category of an error of copying.
fn kind_of_remote(error: &RemoteError) -> ErrorKind {
    match error {
        RemoteError::NotFound { .. } | RemoteError::BlobNotFound { .. } => ErrorKind::NotFound,
        RemoteError::TagTaken { .. } => ErrorKind::Conflict,
        RemoteError::OtherDigest { .. } | RemoteError::Answer { .. } => ErrorKind::InvalidData,
        RemoteError::Schema1 { .. } => ErrorKind::Unsupported,
        RemoteError::Settings { .. } | RemoteError::Credentials { .. } => ErrorKind::InvalidInput,
        RemoteError::Upload { source, .. }
        | RemoteError::PushManifest { source, .. }
        | RemoteError::Download { source, .. }
        | RemoteError::Urls { source, .. } => kind_of_remote(source),
        RemoteError::Unreachable { .. }
        | RemoteError::Later { .. }
        | RemoteError::Unauthorized { .. }
        | RemoteError::Status { .. }
        | RemoteError::NotARegistry { .. }
        | RemoteError::Redirect { .. } => ErrorKind::Io,
    }
}

fn kind_of_copy(error: &CopyError) -> ErrorKind {
    match error {
        CopyError::BelowFile { .. }
        | CopyError::OntoDirectory { .. }
        | CopyError::Twice { .. }
        | CopyError::MtreeTwice { .. } => ErrorKind::Conflict,
        CopyError::Changed { .. } | CopyError::Unreadable { .. } => ErrorKind::Io,
        CopyError::PathLength { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidInput,
    }
}

/// Returns whether the message of an error is complete without its cause.
fn is_whole(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| matches!(error, Error::MalformedIndex { .. }))
}
