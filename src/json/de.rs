//! Passes scanned values to serde.

use std::borrow::Cow;
use std::fmt::Display;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::read::{Next, Number, Reader};
use super::text::JSON;
use crate::json::error::JsonError;

type Result<T> = std::result::Result<T, JsonError>;

/// The approximate memory use of a struct of a document.
const STRUCT: usize = 320;

/// The memory use of the first and of each further entry of a map, without its strings.
const FIRST_ENTRY: usize = 500;
const ENTRY: usize = 50;

/// The memory use of a string or an element of a list, without its bytes.
const ELEMENT: usize = 24;

/// The size of the smallest allocation, and the overhead of each allocation.
const SMALLEST: usize = 32;
const HEADER: usize = 16;

impl de::Error for JsonError {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string(), None)
    }

    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match found {
            Unexpected::Unit => Self::custom(format_args!("invalid type: null, expected {expected}")),
            found => Self::custom(format_args!("invalid type: {found}, expected {expected}")),
        }
    }
}

impl<'de> Reader<'de> {
    /// Passes the next value to a visitor.
    fn hand<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let handed = match self.next()? {
            Next::Null => {
                self.word("null")?;
                visitor.visit_unit()
            }
            Next::True => {
                self.word("true")?;
                visitor.visit_bool(true)
            }
            Next::False => {
                self.word("false")?;
                visitor.visit_bool(false)
            }
            Next::Number => {
                self.charge(ELEMENT)?;
                hand_number(self.number()?, visitor)
            }
            Next::String => {
                let text = self.string()?;
                let heap = if text.is_empty() { 0 } else { (text.len() + HEADER).max(SMALLEST) };
                self.charge(ELEMENT + heap)?;
                match text {
                    Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                    Cow::Owned(text) => visitor.visit_string(text),
                }
            }
            Next::Array => {
                let start = self.begin()?;
                let handed = visitor.visit_seq(Elements { reader: self, is_first: true });
                self.left(start, b']', handed)
            }
            Next::Object => {
                let start = self.begin()?;
                let handed = visitor.visit_map(Members { reader: self, is_first: true, is_map: true });
                self.left(start, b'}', handed)
            }
        };
        handed.map_err(|error| error.at(|| self.last_place()))
    }

    /// Enters an array or an object. Returns the offset of its start.
    fn begin(&mut self) -> Result<usize> {
        let start = self.at();
        self.enter()?;
        self.set_asked(false);
        Ok(start)
    }

    /// Leaves an array or an object that a visitor has read.
    fn left<T>(&mut self, start: usize, bracket: u8, handed: Result<T>) -> Result<T> {
        let is_unseen = !self.set_asked(true);
        match (handed, self.leave(bracket)) {
            (Ok(value), Ok(())) => Ok(value),
            // The visitor refused the value without reading from it, so the error is at its start.
            (Err(error), _) if is_unseen => Err(error.at(|| self.place(start))),
            (Err(error), _) | (_, Err(error)) => Err(error.at(|| self.last_place())),
        }
    }
}

fn hand_number<'de, V: Visitor<'de>>(number: Number<'_>, visitor: V) -> Result<V::Value> {
    let Number(text) = number;
    if number.is_integer() && text != "-0" {
        if let Ok(value) = text.parse() {
            return visitor.visit_u64(value);
        }
        if let Ok(value) = text.parse() {
            return visitor.visit_i64(value);
        }
    }
    match text.parse::<f64>().expect("a number of JSON is one of Rust") {
        value if value.is_finite() => visitor.visit_f64(value),
        _ => Err(JsonError::new("number out of range", None)),
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.hand(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next()? {
            Next::Null => {
                self.word("null")?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name != JSON {
            return visitor.visit_newtype_struct(self);
        }
        self.next()?;
        let start = self.at();
        self.skip()?;
        visitor.visit_bytes(&self.text().as_bytes()[start..self.at()])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if self.next()? != Next::Object {
            return self.hand(visitor);
        }
        self.charge(STRUCT)?;
        let start = self.begin()?;
        let handed = visitor.visit_map(Members { reader: self, is_first: true, is_map: false });
        self.left(start, b'}', handed)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if self.next()? == Next::String {
            let text = self.string()?.into_owned();
            return visitor
                .visit_enum(text.into_deserializer())
                .map_err(|error: JsonError| error.at(|| self.last_place()));
        }
        // A variant with content is an object with a single member.
        if self.next()? != Next::Object {
            return Err(self.error("expected a value"));
        }
        let start = self.begin()?;
        let members = Members { reader: self, is_first: true, is_map: false };
        let handed = visitor.visit_enum(de::value::MapAccessDeserializer::new(members));
        self.left(start, b'}', handed)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if !self.reader.next_element(self.is_first)? {
            return Ok(None);
        }
        self.is_first = false;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
    /// Whether the object becomes a map, not the fields of a struct.
    is_map: bool,
}

impl<'de> de::MapAccess<'de> for Members<'_, 'de> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if !self.reader.next_key(self.is_first)? {
            return Ok(None);
        }
        let key = self.reader.string()?;
        if self.is_map {
            let heap = if key.is_empty() { 0 } else { (key.len() + HEADER).max(SMALLEST) };
            self.reader.charge(ELEMENT + heap + if self.is_first { FIRST_ENTRY } else { ENTRY })?;
        }
        self.is_first = false;
        let read = match key {
            Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(StringDeserializer::new(key)),
        };
        read.map(Some).map_err(|error: JsonError| error.at(|| self.reader.last_place()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.colon()?;
        seed.deserialize(&mut *self.reader)
    }
}
