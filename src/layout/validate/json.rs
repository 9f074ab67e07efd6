//! JSON documents as they stand: every member of an object, with keys that occur twice, and numbers to the last digit.
//!
//! What the rest of the program reads with `serde` into types, a validation reads into a tree: one fault must not hide the
//! others.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::layout::error::Reason;

/// A JSON value. The parser bounds how deep values nest: 128 levels.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// To the last digit.
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Node>),
    /// In the order of the document.
    Object(Vec<(Box<str>, Node)>),
}

impl Node {
    /// Reads a document.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Reason> {
        match content {
            [0xef, 0xbb, 0xbf, ..] => return Err(Reason::new("it begins with a byte order mark")),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
                return Err(Reason::new("it is not UTF-8 (UTF-16 or UTF-32)"));
            }
            _ => {}
        }
        let node = serde_json::from_slice(content).map_err(|error| {
            let text = error.to_string();
            // The parser's word for its own bound says nothing about the document.
            match text.strip_prefix("recursion limit exceeded") {
                Some(place) => Reason::new(format!("its values are nested too deeply{place}")),
                None => Reason::new(text),
            }
        })?;
        // Asked for bytes, as for keys above, the parser lets control characters pass.
        serde_json::from_slice::<IgnoredAny>(content)?;
        Ok(node)
    }

    /// Returns the value of a key; of several the last, as most readers do.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// Returns the text, if this is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// Returns the elements, if this is an array.
    pub(super) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// Returns the value or its kind as a message says it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => shortened(text),
            Self::String(text) => format!("'{}'", shortened(text)),
            Self::Array(_) => "an array".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

/// Returns text as a message shows it: on one line, without what a terminal would obey, and not endless.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).collect::<String>().escape_debug().to_string();
    if text.chars().nth(LONGEST).is_some() { shown + "…" } else { shown }
}

/// Returns the keys that occur more than once in an object.
pub(super) fn repeated(members: &[(Box<str>, Node)]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let mut told = HashSet::new();
    let twice = members.iter().filter(|(key, _)| !seen.insert(&**key));
    twice.map(|(key, _)| &**key).filter(|key| told.insert(*key)).collect()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(key) = members.next_key()? {
            match key {
                Key::Name(name) => object.push((name, members.next_value()?)),
                Key::Number => return Ok(Node::Number(members.next_value::<Box<str>>()?)),
            }
        }
        Ok(Node::Object(object))
    }
}

/// What the parser gives as a key: one of the document, or the mark under which it hands on numbers other than integers
/// (`arbitrary_precision`). It is told apart by its type: a document can have the same text as a key.
enum Key {
    Name(Box<str>),
    Number,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, _: &str) -> Result<Key, E> {
                Ok(Key::Number)
            }

            fn visit_bytes<E: serde::de::Error>(self, name: &[u8]) -> Result<Key, E> {
                // Asked for bytes, the parser lets lone surrogates pass.
                let name = std::str::from_utf8(name).map_err(|_| E::custom("invalid unicode code point in a key"))?;
                Ok(Key::Name(name.into()))
            }
        }

        deserializer.deserialize_bytes(KeyVisitor).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(content: impl AsRef<[u8]>) -> String {
        Node::parse(content.as_ref()).expect_err("not JSON").to_string()
    }

    #[test]
    fn a_document_is_read_as_it_stands() {
        let node = Node::parse(br#" {"a":1e999,"\u0061":[-0,null,true],"$serde_json::private::Number":"1"} "#);
        let number = |text: &str| Node::Number(text.into());
        let members = vec![
            ("a".into(), number("1e+999")),
            ("a".into(), Node::Array(vec![number("-0"), Node::Null, Node::Bool(true)])),
            ("$serde_json::private::Number".into(), Node::String("1".into())),
        ];
        assert_eq!(repeated(&members), ["a"]);
        assert_eq!(node.expect("JSON"), Node::Object(members));
    }

    #[test]
    fn what_is_not_json_is_refused_in_one_line() {
        for (content, expected) in [
            (b"\xef\xbb\xbf{}".to_vec(), "it begins with a byte order mark"),
            (b"\xff\xfe{\0}\0".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"\0{\0}".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"{\0}\0".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"{} x".to_vec(), "trailing characters at line 1 column 4"),
            (b"NaN".to_vec(), "expected value at line 1 column 1"),
            (b"[-Infinity]".to_vec(), "invalid number at line 1 column 3"),
            (b"\"\xff\"".to_vec(), "invalid unicode code point at line 1 column 2"),
            (br#"["\ud800"]"#.to_vec(), "unexpected end of hex escape at line 1 column 9"),
            (br#"{"\ud800":1}"#.to_vec(), "invalid unicode code point in a key at line 1 column 9"),
            (
                b"{\"a\\n\n\":1}".to_vec(),
                "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 5",
            ),
            (b"[".repeat(100_000), "its values are nested too deeply at line 1 column 128"),
        ] {
            assert_eq!(reason(&content), expected, "{:?}", String::from_utf8_lossy(&content));
        }
    }
}
