//! Error codes of registries (distribution-spec, "Error Codes").

use std::fmt;

use super::Error;

/// The error code that a registry returns (distribution-spec, "Error Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The repository does not exist.
    NameUnknown,
    /// The manifest does not exist.
    ManifestUnknown,
    /// The blob does not exist.
    BlobUnknown,
    /// The content does not match its digest.
    DigestInvalid,
    /// The content does not match its size.
    SizeInvalid,
    /// The range is outside the content.
    RangeInvalid,
    /// The name is not valid.
    NameInvalid,
    /// The manifest is not valid, or refers to missing content.
    ManifestInvalid,
    /// The upload does not exist.
    BlobUploadUnknown,
    /// The operation is refused because it would break other content.
    Denied,
}

impl ErrorCode {
    /// Returns the code in the spelling of the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::NameInvalid => "NAME_INVALID",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// Returns the code of registries for the error, if they have one.
    pub fn code(&self) -> Option<ErrorCode> {
        Some(match self {
            Self::UnknownRepository { .. } => ErrorCode::NameUnknown,
            Self::UnknownManifest { .. }
            | Self::UnknownTag { .. }
            | Self::InsideIndex { .. }
            | Self::AmbiguousName { .. }
            | Self::AmbiguousDigest { .. }
            | Self::UnknownPlatform { .. }
            | Self::PlatformNotStored { .. } => ErrorCode::ManifestUnknown,
            Self::MissingBlob { .. } | Self::UnknownBlob { .. } => ErrorCode::BlobUnknown,
            Self::Digest(_) | Self::DigestMismatch { .. } | Self::UnsupportedAlgorithm { .. } => {
                ErrorCode::DigestInvalid
            }
            Self::SizeMismatch { .. } | Self::TooLarge { .. } => ErrorCode::SizeInvalid,
            Self::InvalidRange { .. } | Self::UploadOffset { .. } => ErrorCode::RangeInvalid,
            Self::Name(_)
            | Self::RefName(_)
            | Self::NameIsDigest { .. }
            | Self::NoRepository { .. }
            | Self::ReservedRepository { .. } => ErrorCode::NameInvalid,
            Self::InvalidManifest { .. } | Self::MalformedDocument { .. } | Self::NotJson { .. } => {
                ErrorCode::ManifestInvalid
            }
            Self::UnknownUpload { .. } => ErrorCode::BlobUploadUnknown,
            Self::StillReferenced { .. } | Self::BlobsAreShared { .. } => ErrorCode::Denied,
            _ => return None,
        })
    }
}
