//! A value as compact text with sorted keys, the form of blobs. Equal values have equal text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::read::{Next, Reader};
use super::sort::{SortedObject, SortedText};
use super::write;
use crate::json::error::JsonError;

/// The type name under which the reader passes a value as text.
pub(super) const JSON: &str = "regshape::oci::Json";

/// A JSON value as compact text with sorted keys, without loss of digits.
///
/// Can be read from and written to any serde format. Numbers beyond the machine types are exact only with
/// [`from_json`](super::from_json), [`to_blob`](super::to_blob) and [`to_json_pretty`](super::to_json_pretty); other
/// readers and writers of JSON may round them.
///
/// ```
/// use regshape::oci::Json;
///
/// let value: Json = r#"{"b": 1.50, "a": [1e400]}"#.parse()?;
/// assert_eq!(value.as_str(), r#"{"a":[1e+400],"b":1.50}"#);
/// # Ok::<(), regshape::oci::JsonError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// Converts a value to JSON.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if a key is not a string.
    pub fn new(value: &(impl Serialize + ?Sized)) -> Result<Self, JsonError> {
        let mut text = Vec::new();
        write::compact(value, &mut text)?;
        let mut sorted = SortedText::with_capacity(text.len());
        // A value written here may be nested deeper than the limit for reading.
        Reader::new(&text).unbounded().copy_sorted(&mut sorted)?;
        drop(text);
        Ok(Self(sorted.finish()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    pub fn into_string(self) -> String {
        self.0.into()
    }

    /// Deserializes the value.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the value is not of the type.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, JsonError> {
        T::deserialize(&mut Reader::from_text(&self.0))
    }

    /// Wraps text that is already compact and sorted.
    pub(super) fn from_sorted(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Json {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader::from_text(text);
        let mut sorted = SortedText::default();
        reader.copy_sorted(&mut sorted)?;
        reader.end()?;
        Ok(Self(sorted.finish()))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = SortedText::default();
        de::DeserializeSeed::deserialize(Into(&mut text), deserializer)?;
        Ok(Self(text.finish()))
    }
}

/// Appends a deserialized value to a text.
pub(super) struct Into<'a>(pub(super) &'a mut SortedText);

impl<'de> de::DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        struct Handed<'a>(&'a mut SortedText);

        impl<'de> Visitor<'de> for Handed<'_> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            /// Only the reader of this module passes bytes. Bytes from other deserializers are checked too.
            fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<(), E> {
                let mut reader = Reader::new(text);
                reader.copy_sorted(self.0).and_then(|()| reader.end()).map_err(E::custom)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(AnyInto(self.0))
            }

            fn visit_unit<E: de::Error>(self) -> Result<(), E> {
                AnyInto(self.0).visit_unit()
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
                AnyInto(self.0).visit_bool(value)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
                AnyInto(self.0).visit_u64(value)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
                AnyInto(self.0).visit_i64(value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
                AnyInto(self.0).visit_f64(value)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
                AnyInto(self.0).visit_str(value)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
                AnyInto(self.0).visit_seq(elements)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
                AnyInto(self.0).visit_map(members)
            }
        }

        deserializer.deserialize_newtype_struct(JSON, Handed(self.0))
    }
}

/// Appends a value from any other deserializer.
struct AnyInto<'a>(&'a mut SortedText);

impl<'de> Visitor<'de> for AnyInto<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push_str(&value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push_str(&value.to_string());
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        // Infinity and NaN become null, as usual in JSON.
        self.0.push_str(&serde_json::to_string(&value).map_err(E::custom)?);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_string(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let start = self.0.len();
        self.0.push_str("[");
        loop {
            let before = self.0.len();
            if before > start + 1 {
                self.0.push_str(",");
            }
            if elements.next_element_seed(Into(self.0))?.is_none() {
                self.0.truncate(before);
                break;
            }
        }
        self.0.push_str("]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut object = SortedObject::begin(self.0);
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            object.key(self.0, &key);
            members.next_value_seed(Into(self.0))?;
        }
        object.end(self.0);
        Ok(())
    }
}

/// Serializes a value that is stored as text.
pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serialize_next(&mut Reader::from_text(text).unbounded(), serializer)
}

fn serialize_next<S: Serializer>(reader: &mut Reader<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    const SOUND: &str = "the text is sound";
    match reader.next().expect(SOUND) {
        Next::Null => {
            reader.word("null").expect(SOUND);
            serializer.serialize_unit()
        }
        Next::True => {
            reader.word("true").expect(SOUND);
            serializer.serialize_bool(true)
        }
        Next::False => {
            reader.word("false").expect(SOUND);
            serializer.serialize_bool(false)
        }
        Next::Number => write::serialize_number(reader.number().expect(SOUND), serializer),
        Next::String => serializer.serialize_str(&reader.string().expect(SOUND)),
        Next::Array => {
            reader.enter().expect(SOUND);
            let mut elements = serializer.serialize_seq(None)?;
            let mut is_first = true;
            while reader.next_element(is_first).expect(SOUND) {
                is_first = false;
                elements.serialize_element(&NextOf::new(reader))?;
            }
            reader.leave(b']').expect(SOUND);
            elements.end()
        }
        Next::Object => {
            reader.enter().expect(SOUND);
            let mut members = serializer.serialize_map(None)?;
            let mut is_first = true;
            while reader.next_key(is_first).expect(SOUND) {
                is_first = false;
                members.serialize_key(&*reader.string().expect(SOUND))?;
                reader.colon().expect(SOUND);
                members.serialize_value(&NextOf::new(reader))?;
            }
            reader.leave(b'}').expect(SOUND);
            members.end()
        }
    }
}

/// The next value of a reader. Can be serialized only once.
struct NextOf<'r, 'a>(std::cell::RefCell<&'r mut Reader<'a>>);

impl<'r, 'a> NextOf<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>) -> Self {
        Self(std::cell::RefCell::new(reader))
    }
}

impl Serialize for NextOf<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_next(&mut self.0.borrow_mut(), serializer)
    }
}

/// The text of a value, to be serialized.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}
