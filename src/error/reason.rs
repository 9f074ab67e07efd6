//! Why a document is malformed.

use crate::oci::JsonError;

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{text}")]
pub struct Reason {
    pub(crate) text: String,
    pub(crate) kind: ReasonKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReasonKind {
    Missing,
    Syntax,
    ByteOrderMark,
    TooExpansive,
    Other,
}

impl Reason {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { text: reason.into(), kind: ReasonKind::Other }
    }

    /// Returns the reason for a file that does not exist.
    pub(crate) fn missing() -> Self {
        Self { text: "the file does not exist".to_owned(), kind: ReasonKind::Missing }
    }

    /// Prefixes the text of the reason.
    pub(crate) fn after(self, words: &str) -> Self {
        Self { text: format!("{words}{}", self.text), ..self }
    }

    /// Returns whether the document does not exist.
    pub fn is_missing(&self) -> bool {
        self.kind == ReasonKind::Missing
    }

    /// Returns whether the content is not JSON.
    pub fn is_syntax(&self) -> bool {
        self.kind == ReasonKind::Syntax
    }

    /// Returns whether the document is refused because its values would take many times its size in memory.
    pub fn is_too_expansive(&self) -> bool {
        self.kind == ReasonKind::TooExpansive
    }

    /// Returns whether the document begins with a byte order mark, which JSON does not have.
    pub fn is_byte_order_mark(&self) -> bool {
        self.kind == ReasonKind::ByteOrderMark
    }
}

impl From<JsonError> for Reason {
    fn from(error: JsonError) -> Self {
        let kind = match &error {
            error if error.is_byte_order_mark() => ReasonKind::ByteOrderMark,
            error if error.is_too_expansive() => ReasonKind::TooExpansive,
            error if error.is_syntax() => ReasonKind::Syntax,
            _ => ReasonKind::Other,
        };
        Self { text: error.to_string(), kind }
    }
}
