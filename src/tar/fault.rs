//! The faults of a tar: of its format, and of the entries of a layer.

/// The kinds of faults that a tar can have.
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
}

/// The message about an extended header without an entry.
pub(crate) const ORPHAN: &str = "an extended header at its end belongs to no entry";

/// The state of a whole tar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sound,
    /// Readers take it, but it is not as the format has it.
    Odd(String),
    /// It ends between an extended header and its entry.
    HeaderWithoutEntry,
    /// It ends before it is whole.
    Truncated(String),
    Malformed(String),
}

impl Verdict {
    /// Returns the kind and the message of the fault, if there is one.
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

/// The findings about a tar.
#[derive(Debug)]
pub(crate) struct TarReport {
    pub(crate) verdict: Verdict,
    /// The faults of its entries.
    pub(crate) findings: Vec<(TarFault, String)>,
    /// Whether it is an archive of images rather than a layer.
    pub(crate) looks_like_images: bool,
}

impl TarReport {
    /// Returns the reason of the verdict, as a refusal gives it.
    pub(crate) fn reason(&self) -> Option<(TarFault, &str)> {
        let (fault, _) = self.verdict.fault()?;
        match &self.verdict {
            Verdict::Sound => None,
            Verdict::Odd(reason) | Verdict::Truncated(reason) | Verdict::Malformed(reason) => Some((fault, reason)),
            Verdict::HeaderWithoutEntry => Some((fault, ORPHAN)),
        }
    }

    /// Returns the faults of the tar: of its format, then of its entries.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (TarFault, String)> {
        self.verdict.fault().into_iter().chain(self.findings.iter().cloned())
    }
}
