//! The referrer of a blob, for messages.

use std::fmt;
use std::path::PathBuf;

use crate::oci::Digest;

/// The object that refers to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Referrer {
    /// `index.json`.
    Index,
    /// The staging file.
    Stage,
    /// A stored manifest or index.
    Document(Digest),
    /// A manifest or index that is about to be stored.
    NewDocument,
    /// A link to the blob; the link is referred to.
    Link(Digest),
    /// The caller, who asked for the blob in the layout at a path.
    Caller(PathBuf),
}

impl Referrer {
    /// Returns the holder of an entry: a stored index, or `index.json`.
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
