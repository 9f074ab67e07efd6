//! Reads a value in place: all members of an object, repeated keys included, and numbers with all digits. Only
//! requested parts are copied.

use std::borrow::Cow;

use super::read::{Next, Reader};
use crate::json::error::JsonError;

/// A value in a document that has been fully checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a>(&'a str);

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeKind<'a> {
    Null,
    Bool(bool),
    /// The text of a number, with all digits.
    Number(&'a str),
    String(Cow<'a, str>),
    Array,
    Object,
}

/// A token of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// The bracket that opens an object or an array.
    Begin {
        is_object: bool,
    },
    /// The bracket that closes the object or array opened last.
    End,
    Key(Cow<'a, str>),
    /// A string that is not a key.
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`.
    Scalar,
}

const SOUND: &str = "the document was checked";

impl<'a> Node<'a> {
    /// Parses and checks a document.
    pub(crate) fn parse(content: &'a [u8]) -> Result<Self, JsonError> {
        if let Some(error) = JsonError::for_byte_order_mark(content) {
            return Err(error);
        }
        let mut reader = Reader::new(content);
        reader.next()?;
        let start = reader.at();
        reader.skip()?;
        let end = reader.at();
        reader.end()?;
        Ok(Self(&reader.text()[start..end]))
    }

    /// Parses and checks a document that must be an object.
    pub(crate) fn object(content: &'a [u8]) -> Result<Self, JsonError> {
        let node = Self::parse(content)?;
        if node.is_object() {
            return Ok(node);
        }
        // This returns the error that names the actual type.
        super::from_json::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(content).map(|_| node)
    }

    /// Calls a function with every string in the value, keys included.
    pub(crate) fn each_text(self, mut each: impl FnMut(&str)) {
        for (_, token) in self.tokens() {
            if let Token::Key(text) | Token::Text(text) = token {
                each(&text);
            }
        }
    }

    /// Iterates over the tokens of the value and their offsets. The scan is linear at any depth.
    pub(crate) fn tokens(self) -> impl Iterator<Item = (usize, Token<'a>)> {
        let mut reader = self.reader();
        // For each open bracket, whether it is that of an object.
        let mut open = Vec::new();
        std::iter::from_fn(move || {
            loop {
                let first = reader.peek_token()?;
                let at = reader.at();
                match first {
                    b',' | b':' => reader.go_to(at + 1),
                    b'{' | b'[' => {
                        open.push(first == b'{');
                        reader.go_to(at + 1);
                        return Some((at, Token::Begin { is_object: first == b'{' }));
                    }
                    b'}' | b']' => {
                        open.pop();
                        reader.go_to(at + 1);
                        return Some((at, Token::End));
                    }
                    b'"' => {
                        let text = reader.string().expect(SOUND);
                        let is_key = open.last() == Some(&true) && reader.peek_token() == Some(b':');
                        return Some((at, if is_key { Token::Key(text) } else { Token::Text(text) }));
                    }
                    _ => {
                        reader.skip().expect(SOUND);
                        return Some((at, Token::Scalar));
                    }
                }
            }
        })
    }

    /// Returns the key at an offset from [`Node::tokens`].
    pub(crate) fn key_at(self, at: usize) -> Cow<'a, str> {
        let mut reader = self.reader();
        reader.go_to(at);
        reader.string().expect(SOUND)
    }

    fn reader(self) -> Reader<'a> {
        Reader::from_text(self.0).unbounded()
    }

    /// Returns the type of the value.
    pub(crate) fn kind(self) -> NodeKind<'a> {
        let mut reader = self.reader();
        match reader.next().expect(SOUND) {
            Next::Null => NodeKind::Null,
            Next::True => NodeKind::Bool(true),
            Next::False => NodeKind::Bool(false),
            Next::Number => NodeKind::Number(self.0),
            Next::String => NodeKind::String(reader.string().expect(SOUND)),
            Next::Array => NodeKind::Array,
            Next::Object => NodeKind::Object,
        }
    }

    /// Returns the text of the value.
    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub(crate) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(crate) fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    pub(crate) fn is_bool(self) -> bool {
        matches!(self.0, "true" | "false")
    }

    /// Returns whether the value is a number with exactly this text.
    pub(crate) fn is_number(self, digits: &str) -> bool {
        self.0 == digits
    }

    /// Returns the string, if the value is a string.
    pub(crate) fn as_str(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            NodeKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Iterates over the elements of an array. Empty if the value is not an array.
    pub(crate) fn elements(self) -> impl Iterator<Item = Node<'a>> {
        let mut reader = self.is_array().then(|| self.reader());
        if let Some(reader) = &mut reader {
            reader.enter().expect(SOUND);
        }
        let mut is_first = true;
        std::iter::from_fn(move || {
            let reader = reader.as_mut()?;
            if !reader.next_element(is_first).expect(SOUND) {
                return None;
            }
            is_first = false;
            Some(Self(value(reader)))
        })
    }

    /// Iterates over the members of an object, in order. Empty if the value is not an object.
    pub(crate) fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Node<'a>)> {
        let mut reader = self.is_object().then(|| self.reader());
        if let Some(reader) = &mut reader {
            reader.enter().expect(SOUND);
        }
        let mut is_first = true;
        std::iter::from_fn(move || {
            let reader = reader.as_mut()?;
            if !reader.next_key(is_first).expect(SOUND) {
                return None;
            }
            is_first = false;
            let key = reader.string().expect(SOUND);
            reader.colon().expect(SOUND);
            Some((key, Self(value(reader))))
        })
    }

    /// Returns the value of a key. The last value counts if the key is repeated, as in most readers.
    pub(crate) fn get(self, key: &str) -> Option<Node<'a>> {
        self.members().filter(|(name, _)| name == key).last().map(|(_, value)| value)
    }
}

/// Returns the text of the next value.
fn value<'a>(reader: &mut Reader<'a>) -> &'a str {
    reader.next().expect(SOUND);
    let start = reader.at();
    reader.skip().expect(SOUND);
    &reader.text()[start..reader.at()]
}
