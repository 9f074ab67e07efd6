//! A JSON error and its position.

use std::fmt;

/// The JSON is malformed or not of the expected type, or a value cannot be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonError(Box<Fault>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// The line and the column, if known.
    pub(crate) place: Option<(usize, usize)>,
    /// The text is not JSON at all.
    pub(crate) is_syntax: bool,
    pub(crate) is_byte_order_mark: bool,
    pub(crate) is_too_expansive: bool,
}

/// The UTF-8 byte order mark that some editors write. RFC 8259 forbids it, and Go refuses it.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl JsonError {
    pub(crate) fn new(message: impl Into<String>, place: Option<(usize, usize)>) -> Self {
        let fault = Fault {
            message: message.into(),
            place,
            is_syntax: false,
            is_byte_order_mark: false,
            is_too_expansive: false,
        };
        Self(Box::new(fault))
    }

    /// Returns an error for text that is not JSON.
    pub(crate) fn syntax(message: impl Into<String>, place: (usize, usize)) -> Self {
        let mut error = Self::new(message, Some(place));
        error.0.is_syntax = true;
        error
    }

    /// Returns whether the text is not JSON; otherwise its values are not those of the document.
    pub fn is_syntax(&self) -> bool {
        self.0.is_syntax
    }

    /// Returns the error for a byte order mark, if the document begins with one.
    pub(crate) fn for_byte_order_mark(content: &[u8]) -> Option<Self> {
        let mut error = Self::new("it begins with a byte order mark", None);
        error.0.is_byte_order_mark = true;
        content.starts_with(BYTE_ORDER_MARK).then_some(error)
    }

    /// Returns whether the document begins with a byte order mark.
    pub fn is_byte_order_mark(&self) -> bool {
        self.0.is_byte_order_mark
    }

    /// Marks the error as caused by excessive memory use.
    pub(crate) fn too_expansive(mut self) -> Self {
        self.0.is_too_expansive = true;
        self
    }

    /// Returns whether the document is refused because its values would take many times its size in memory.
    pub fn is_too_expansive(&self) -> bool {
        self.0.is_too_expansive
    }

    /// Sets the position, if it is not set yet.
    pub(crate) fn at(mut self, place: impl FnOnce() -> (usize, usize)) -> Self {
        self.0.place.get_or_insert_with(place);
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match self.0.place {
            Some((line, column)) => write!(f, " at line {line}, column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JsonError {}
