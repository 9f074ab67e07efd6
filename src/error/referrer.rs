//! The document that refers to a blob.

use std::fmt;
use std::path::PathBuf;

use crate::oci::Digest;

/// The document that refers to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Referrer {
    /// `index.json`.
    Index,
    /// The staging file.
    Stage,
    /// A manifest or an index that is stored.
    Document(Digest),
    /// A manifest or an index that is about to be stored.
    NewDocument,
    /// A blob that is a link to it, and is referred to.
    Link(Digest),
    /// The caller: the blob itself was asked for, in the layout at a path.
    Caller(PathBuf),
}

impl Referrer {
    /// Returns the index that lists an entry: a stored one, or `index.json`.
    pub(crate) fn of_entry(index: Option<&Digest>) -> Self {
        index.cloned().map_or(Self::Index, Self::Document)
    }
}

impl fmt::Display for Referrer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => formatter.write_str("index.json"),
            Self::Stage => formatter.write_str("the staging file"),
            Self::Document(digest) => digest.fmt(formatter),
            Self::NewDocument => formatter.write_str("the manifest"),
            Self::Link(digest) => {
                write!(formatter, "blobs/{}/{}, a link to it", digest.algorithm_name(), digest.encoded())
            }
            Self::Caller(path) => write!(formatter, "whoever asks for it in {}", path.display()),
        }
    }
}
