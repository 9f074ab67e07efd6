//! The codes that registries have for errors (distribution-spec, \"Error Codes\").

use std::fmt;

/// The codes that registries give to errors (distribution-spec, "Error Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// There is no such repository.
    NameUnknown,
    /// There is no such manifest.
    ManifestUnknown,
    /// There is no such blob.
    BlobUnknown,
    /// Content does not have the digest that was said.
    DigestInvalid,
    /// Content does not have the size that was said.
    SizeInvalid,
    /// A range is not within the content.
    RangeInvalid,
    /// A name is not one.
    NameInvalid,
    /// The content is not a manifest, or refers to blobs that are not stored.
    ManifestInvalid,
    /// There is no such upload.
    BlobUploadUnknown,
    /// It would break something.
    Denied,
}

impl ErrorCode {
    /// Returns the code as registries write it.
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
