//! The codes of errors under `--json`: those of the distribution-spec where it has one, and ours in the same form.

use regshape::{ArtifactError, ConfigError, Error, FilesError, LayerError, RemoteError, UnpackError};

/// The code of an error that is not the library's.
pub(crate) const OTHER_CODE: &str = "FAILED";

/// Returns the code of an error of the library.
pub(crate) fn code_of(error: &Error) -> &'static str {
    match error {
        // The distribution-spec has one code for an unknown manifest, for any reason.
        Error::AmbiguousName { .. }
        | Error::AmbiguousDigest { .. }
        | Error::Artifact(ArtifactError::SeveralReferrers { .. } | ArtifactError::SeveralFiles { .. })
        | Error::Config(ConfigError::SeveralImages { .. }) => "AMBIGUOUS",
        Error::UnknownPlatform { .. } | Error::PlatformNotStored { .. } => "PLATFORM_UNKNOWN",
        Error::UnsupportedAlgorithm { .. } => "DIGEST_UNSUPPORTED",
        error => error.code().map_or_else(|| own_code(error), |code| code.as_str()),
    }
}

/// Returns the code of an error of a registry: its own, if it says one.
fn code_of_remote(error: &RemoteError) -> &'static str {
    match error {
        RemoteError::Upload { source, .. }
        | RemoteError::PushManifest { source, .. }
        | RemoteError::Download { source, .. }
        | RemoteError::Urls { source, .. } => code_of_remote(source),
        RemoteError::Unreachable { .. } | RemoteError::NotARegistry { .. } => "UNREACHABLE",
        RemoteError::Unauthorized { .. } | RemoteError::Status { status: 401, .. } => "UNAUTHORIZED",
        RemoteError::Status { status: 403, .. } => "DENIED",
        RemoteError::Status { status: 429, .. } | RemoteError::Later { .. } => "TOOMANYREQUESTS",
        RemoteError::NotFound { .. } => "MANIFEST_UNKNOWN",
        RemoteError::BlobNotFound { .. } => "BLOB_UNKNOWN",
        RemoteError::OtherDigest { .. } => "DIGEST_INVALID",
        RemoteError::TagTaken { .. } => "NAME_TAKEN",
        RemoteError::Status { .. } => "UNSUPPORTED",
        _ => "REGISTRY_INVALID",
    }
}

fn own_code(error: &Error) -> &'static str {
    match error {
        Error::Artifact(ArtifactError::NoReferrer { .. }) => "REFERRER_UNKNOWN",
        Error::Artifact(ArtifactError::FilesExist { .. } | ArtifactError::InTheWay { .. }) => "NOT_EMPTY",
        Error::Artifact(_) => "ARTIFACT_INVALID",
        Error::Layer(LayerError::Bound { .. }) => "TOO_LARGE",
        Error::Layer(_) => "LAYER_INVALID",
        Error::Files(
            FilesError::NoPath { .. }
            | FilesError::BrokenLink { .. }
            | FilesError::TooManyLinks { .. }
            | FilesError::NotADirectory { .. },
        ) => "PATH_UNKNOWN",
        Error::Files(FilesError::NoLayer { .. }) => "LAYER_UNKNOWN",
        Error::Files(FilesError::SeveralImages { .. }) => "AMBIGUOUS",
        Error::Unpack(UnpackError::NotEmpty { .. } | UnpackError::Exists { .. }) => "NOT_EMPTY",
        Error::Unpack(_) => "UNPACK_INVALID",
        Error::Files(_) => "FILES_INVALID",
        Error::Push(_) => "PUSH_INVALID",
        Error::Remote(error) => code_of_remote(error),
        Error::Base(_) => "BASE_INVALID",
        Error::Copy(_) => "COPY_INVALID",
        Error::Edit(_) => "EDIT_INVALID",
        Error::AlreadyLayout { .. } | Error::Occupied { .. } | Error::NotEmpty { .. } => "NOT_EMPTY",
        Error::NotALayout { .. } => "NOT_A_LAYOUT",
        Error::MalformedMarker { .. } | Error::LayoutVersion { .. } => "LAYOUT_INVALID",
        Error::MalformedIndex { .. } => "INDEX_INVALID",
        Error::MalformedStage { .. } | Error::StageVersion { .. } => "STAGING_FILE_INVALID",
        Error::NoStage { .. } | Error::NoLayers | Error::NoConfig | Error::NoManifest => "NOT_STAGED",
        Error::ManifestNotListed { .. } => "MANIFEST_NOT_LISTED",
        Error::ConfigMismatch => "CONFIG_MISMATCH",
        Error::Locked { .. } | Error::Changed { .. } => "BUSY",
        Error::LayerIndex { .. } => "LAYER_UNKNOWN",
        Error::FileNotFound { .. } => "FILE_NOT_FOUND",
        Error::IsDirectory { .. } | Error::EmptyFile { .. } => "FILE_INVALID",
        Error::UnknownMediaType { .. } | Error::MediaTypeMismatch { .. } => "MEDIA_TYPE_INVALID",
        Error::CorruptStream { .. } | Error::TrailingBytes { .. } | Error::TruncatedTar { .. } => "LAYER_INVALID",
        Error::BeyondBound { .. } | Error::WouldBeTooLarge { .. } => "TOO_LARGE",
        Error::LinkOutside { .. } | Error::BlobLinkOutside { .. } | Error::NotAFile { .. } => "BLOB_INVALID",
        Error::PlatformWord(_) => "PLATFORM_INVALID",
        Error::NotValid { .. } => "IMAGE_INVALID",
        Error::NothingSelected { .. } => "NOTHING_SELECTED",
        Error::NotAnArchive { .. } | Error::NoImages { .. } | Error::UnsafeEntry { .. } => "ARCHIVE_INVALID",
        Error::NameTaken { .. } | Error::TagTaken { .. } => "NAME_TAKEN",
        Error::Config(ConfigError::UnsetField { .. } | ConfigError::UnknownField { .. }) => "FIELD_UNKNOWN",
        Error::Config(_) => "CONFIG_INVALID",
        Error::CannotHold { .. } => "UNSUPPORTED",
        Error::Compress { .. } | Error::Blob { .. } | Error::Io { .. } => "IO",
        _ => OTHER_CODE,
    }
}
