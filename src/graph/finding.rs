//! A fault as it is reported: its text, and where it is.

use std::fmt;

use crate::error::Error;
use crate::oci::Digest;

/// Two digests that should be equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Mismatch {
    /// The digest that a document has.
    pub expected: Digest,
    /// The digest of the content.
    pub actual: Digest,
}

/// One thing that a validation found. As text it is its message, and its reason if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    message: Box<str>,
    reason: Option<Box<str>>,
    mismatch: Option<Box<Mismatch>>,
    /// Where it is: `index.json`, or a part of a document.
    location: Box<str>,
}

impl Finding {
    /// Reports something that stands somewhere.
    pub(crate) fn new(message: impl Into<String>, location: impl Into<String>) -> Self {
        Self { message: message.into().into(), reason: None, mismatch: None, location: location.into().into() }
    }

    /// Reports an error, with its cause.
    pub(crate) fn of(error: &Error, location: &str) -> Self {
        let reason = std::error::Error::source(error).filter(|_| matches!(error, Error::MalformedIndex { .. }));
        let finding =
            Self { reason: reason.map(|reason| reason.to_string().into()), ..Self::new(error.report(), location) };
        match error {
            Error::DigestMismatch { digest, actual } => finding.mismatch(digest.clone(), actual.clone()),
            _ => finding,
        }
    }

    /// Adds two digests that should be equal.
    pub(crate) fn mismatch(mut self, expected: Digest, actual: Digest) -> Self {
        self.mismatch = Some(Box::new(Mismatch { expected, actual }));
        self
    }

    /// Returns the two digests that should be equal, if the finding is about such a pair.
    pub fn digests(&self) -> Option<&Mismatch> {
        self.mismatch.as_deref()
    }

    /// Returns the message, which names the object and both values.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns why, if the message does not say it.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns where it was found: `index.json`, `manifests[0] in index.json`, `layer[1] in manifest sha256:…`.
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
    }
}
