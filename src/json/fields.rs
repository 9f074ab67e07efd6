//! The unknown fields of an object, kept as text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::read::Reader;
use super::sort::{SortedObject, SortedText};
use super::text::{self, Json};
use crate::json::error::JsonError;

/// The fields of a document that this program does not know, without loss of digits.
///
/// Fields are stored as text, so they take no more memory than their bytes. A field is parsed when it is read.
///
/// ```
/// use regshape::oci::{Index, UnknownFields, from_json, to_blob};
///
/// let mut index: Index = from_json(br#"{"schemaVersion":2,"manifests":[],"x-count":3,"x-exact":1.50}"#)?;
/// assert_eq!(index.extra.get::<u32>("x-count")?, Some(3));
/// index.extra.insert("x-names", &["one", "two"])?;
/// index.extra.remove("x-count");
/// assert_eq!(to_blob(&index), br#"{"manifests":[],"schemaVersion":2,"x-exact":1.50,"x-names":["one","two"]}"#);
/// # Ok::<(), regshape::oci::JsonError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UnknownFields(
    /// An object in compact form with sorted keys; `None` if it is empty.
    Option<Box<str>>,
);

impl UnknownFields {
    /// Creates an empty set of fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Iterates over the names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Json)> {
        self.members().map(|(name, value)| (name, Json::from_sorted(value)))
    }

    /// Returns whether the field exists.
    pub fn contains_key(&self, name: &str) -> bool {
        self.text_of(name).is_some()
    }

    /// Deserializes a field. Any value can be read as [`Json`].
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the value is not of the type.
    pub fn get<'de, T: Deserialize<'de>>(&'de self, name: &str) -> Result<Option<T>, JsonError> {
        self.text_of(name).map(|value| T::deserialize(&mut Reader::from_text(value))).transpose()
    }

    /// Sets a field.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the value cannot be written as JSON because a key in it is not a string.
    pub fn insert(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), JsonError> {
        let value = Json::new(value)?;
        self.set([(Cow::Borrowed(name), value.as_str())]);
        Ok(())
    }

    /// Removes a field and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let removed = Json::from_sorted(self.text_of(name)?);
        let mut left = Builder::default();
        for (key, value) in self.members().filter(|(key, _)| key != name) {
            left.add(&key, value);
        }
        *self = left.finish();
        Some(removed)
    }

    /// Sets all fields of another set.
    pub fn extend(&mut self, others: &Self) {
        if !others.is_empty() {
            self.set(others.members());
        }
    }

    fn set<'a>(&mut self, fields: impl IntoIterator<Item = (Cow<'a, str>, &'a str)>) {
        let mut all = Builder::default();
        for (name, value) in self.members() {
            all.add(&name, value);
        }
        for (name, value) in fields {
            all.add(&name, value);
        }
        *self = all.finish();
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.members().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn members(&self) -> Members<'_> {
        Members(self.0.as_deref().map(|text| Reader::from_text(text).unbounded()))
    }
}

/// The members of a well-formed object.
struct Members<'a>(Option<Reader<'a>>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        const SOUND: &str = "the text is sound";
        let reader = self.0.as_mut()?;
        // Skip the bracket or the comma.
        reader.go_to(reader.at() + 1);
        if reader.at() >= reader.text().len() {
            return None;
        }
        let name = reader.string().expect(SOUND);
        reader.colon().expect(SOUND);
        let start = reader.at();
        reader.skip().expect(SOUND);
        Some((name, &reader.text()[start..reader.at()]))
    }
}

/// Builds a set of fields, in any order. The last field counts if a name is repeated.
#[derive(Default)]
pub(crate) struct Builder {
    text: SortedText,
    object: Option<SortedObject>,
}

impl Builder {
    fn key(&mut self, name: &str) {
        let object = self.object.get_or_insert_with(|| SortedObject::begin(&mut self.text));
        object.key(&mut self.text, name);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.key(name);
        self.text.push_str(value);
    }

    /// Adds a field with the value `null`.
    pub(crate) fn add_null(&mut self, name: &str) {
        self.add(name, "null");
    }

    /// Adds a field with the next value of a map.
    pub(crate) fn add_next<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.key(name);
        map.next_value_seed(text::Into(&mut self.text))
    }

    /// Returns the fields.
    pub(crate) fn finish(mut self) -> UnknownFields {
        UnknownFields(self.object.map(|object| {
            object.end(&mut self.text);
            self.text.finish()
        }))
    }
}

impl fmt::Display for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("{}"))
    }
}

impl fmt::Debug for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UnknownFields {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, JsonError> {
        super::from_json(text.as_bytes())
    }
}

impl Serialize for UnknownFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(text) => text::serialize(text, serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

impl UnknownFields {
    /// Writes the fields as members of an object, without those for which `is_written` returns true.
    pub(crate) fn serialize_into<M: serde::ser::SerializeMap>(
        &self,
        map: &mut M,
        is_written: impl Fn(&str) -> bool,
    ) -> Result<(), M::Error> {
        for (name, value) in self.members().filter(|(name, _)| !is_written(name)) {
            map.serialize_entry(&*name, &text::Text(value))?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for UnknownFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = UnknownFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UnknownFields, A::Error> {
                let mut fields = Builder::default();
                while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                    fields.add_next(&name, &mut map)?;
                }
                Ok(fields.finish())
            }
        }

        deserializer.deserialize_struct("UnknownFields", &[], Fields)
    }
}
