//! The faults of a tar: in its format, and in the entries of a layer.

use std::fmt;
use std::io;

use super::header_fields::EXTENDED_LIMIT;
use super::outline::Outline;
use crate::text::{shortened, shown};

/// A flaw of a header: the tar is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The checksum is wrong. The name is that of the entry before; empty at the beginning.
    Checksum {
        after: Vec<u8>,
    },
    /// A block of zeros stands between entries.
    ZerosBetween {
        after: Vec<u8>,
    },
    Field {
        field: &'static str,
        name: Vec<u8>,
    },
    NegativeSize {
        size: i64,
        name: Vec<u8>,
    },
    /// An extended header has too many bytes.
    ExtendedSize(u64),
    SparseMap {
        name: Vec<u8>,
    },
    /// A pax record has no length, no `=` or no end.
    Record,
    /// The key of a pax record is not UTF-8.
    RecordKey,
    /// A pax record has an empty key, or a NUL in its key or in a name.
    RecordWithNul {
        key: String,
        value: Vec<u8>,
    },
    RecordValue {
        key: String,
        value: String,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { after } if after.is_empty() => {
                formatter.write_str("the checksum of its first header is wrong")
            }
            Self::Checksum { after } => {
                write!(formatter, "the checksum of the header after '{}' is wrong", shown(after))
            }
            Self::ZerosBetween { after } => {
                write!(formatter, "a block of zeros stands between its entries, after '{}'", shown(after))
            }
            Self::Field { field, name } => write!(formatter, "the {field} of '{}' is not a number", shown(name)),
            Self::NegativeSize { size, name } => write!(formatter, "the size of '{}' is {size}", shown(name)),
            Self::ExtendedSize(size) => {
                write!(formatter, "an extended header has {size} bytes, more than {EXTENDED_LIMIT}")
            }
            Self::SparseMap { name } => write!(formatter, "the sparse map of '{}' is malformed", shown(name)),
            Self::Record => formatter.write_str("a record of an extended header is malformed"),
            Self::RecordKey => formatter.write_str("a key of an extended header is not UTF-8"),
            Self::RecordWithNul { key, .. } => {
                write!(formatter, "the record '{}' of an extended header is malformed", shortened(key))
            }
            Self::RecordValue { key, value } => {
                write!(formatter, "the record '{key}' of an extended header is '{}'", shortened(value))
            }
        }
    }
}

/// The reason why a tar cannot be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TarError {
    #[error("{0}")]
    Malformed(String),
    #[error("it is truncated: {0}")]
    Truncated(String),
}

impl TarError {
    /// Returns the reason, if an error has one: other errors are those of the stream.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<TarError> for io::Error {
    fn from(error: TarError) -> Self {
        let kind = match error {
            TarError::Malformed(_) => io::ErrorKind::InvalidData,
            TarError::Truncated(_) => io::ErrorKind::UnexpectedEof,
        };
        Self::new(kind, error)
    }
}

/// The kinds of faults in a tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TarFault {
    Truncated,
    Malformed,
    Unterminated,
    HeaderWithoutEntry,
    DifferingDuplicates,
    EqualDuplicates,
    UncomparedPaths,
    WhiteoutOfNothing,
    SparseFile,
    UpwardPath,
    LoneXattrs,
    GlobalHeader,
}

/// The message for an extended header without an entry.
pub(crate) const ORPHAN: &str = "an extended header at its end belongs to no entry";

/// The result of checking the format of a tar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sound,
    /// Readers accept the tar, but it violates the format.
    Odd(String),
    /// The tar ends between an extended header and its entry.
    HeaderWithoutEntry,
    /// The tar is truncated.
    Truncated(String),
    Malformed(String),
}

impl Verdict {
    /// Returns the kind of fault and its message.
    pub(crate) fn fault(&self) -> Option<(TarFault, String)> {
        match self {
            Self::Sound => None,
            Self::Odd(reason) => Some((TarFault::Unterminated, format!("the tar is not as it should be: {reason}"))),
            Self::HeaderWithoutEntry => {
                Some((TarFault::HeaderWithoutEntry, format!("the tar is not as it should be: {ORPHAN}")))
            }
            Self::Truncated(reason) => {
                Some((TarFault::Truncated, format!("the content is not a well-formed tar: it is truncated: {reason}")))
            }
            Self::Malformed(reason) => {
                Some((TarFault::Malformed, format!("the content is not a well-formed tar: {reason}")))
            }
        }
    }
}

/// The result of checking a tar.
#[derive(Debug)]
pub(crate) struct TarReport {
    pub(crate) verdict: Verdict,
    /// The faults of the entries.
    pub(crate) findings: Vec<(TarFault, String)>,
    /// Whether the tar is an image archive, not a layer.
    pub(crate) looks_like_images: bool,
    /// The outline of a layer whose content was looked at.
    pub(crate) outline: Outline,
}

impl TarReport {
    /// Returns the kind of fault, and the reason for the error if the tar is refused.
    pub(crate) fn reason(&self) -> Option<(TarFault, &str)> {
        let (fault, _) = self.verdict.fault()?;
        match &self.verdict {
            Verdict::Sound => None,
            Verdict::Odd(reason) | Verdict::Truncated(reason) | Verdict::Malformed(reason) => Some((fault, reason)),
            Verdict::HeaderWithoutEntry => Some((fault, ORPHAN)),
        }
    }

    /// Returns the faults of the format, then those of the entries.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (TarFault, String)> {
        self.verdict.fault().into_iter().chain(self.findings.iter().cloned())
    }
}
