//! The faults of a tar: in its format, and in the entries of a layer.

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
