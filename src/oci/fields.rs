//! Reading and writing documents whose unknown fields are kept.
//!
//! serde's `flatten` does this too, but holds every value twice while it reads: an `index.json` of many entries takes
//! four times as long.

/// Implements `Serialize` and `Deserialize` for a struct of known fields and `extra`, the others.
///
/// Each field has its name in the document and its rule for absence: `required` fields must be there; `default` ones
/// take their type's default value; `optional` ones are an `Option`, whose `None` is not written. An optional field
/// that is `null` in a document is `None`, and is kept among the unknown fields until it gets a value. A value that is
/// checked by another type names that type: the value is its field 0.
macro_rules! document_fields {
    ($type:ident { $($field:ident: $presence:ident $name:literal $(via $via:ident)?),* $(,)? }) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $($crate::oci::fields::document_fields!(@write $presence map, $name, &self.$field);)*
                self.extra.serialize_into(&mut map, |name| match name {
                    $($name => $crate::oci::fields::document_fields!(@is_written $presence self.$field),)*
                    _ => false,
                })?;
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $type;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str(concat!("struct ", stringify!($type)))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        $(let mut $field = None;)*
                        let mut extra = $crate::json::UnknownFieldsBuilder::default();
                        while let Some(name) = map.next_key::<$crate::oci::fields::Text<'de>>()? {
                            match name.as_str() {
                                $($name => {
                                    if $field.is_some() {
                                        return Err(serde::de::Error::duplicate_field($name));
                                    }
                                    let value = $crate::oci::fields::document_fields!(@read map $($via)?);
                                    $crate::oci::fields::document_fields!(@keep_null $presence value, extra, $name);
                                    $field = Some(value);
                                })*
                                name => extra.add_next(name, &mut map)?,
                            }
                        }
                        Ok($type {
                            $($field: $crate::oci::fields::document_fields!(@found $presence $field, $name),)*
                            extra: extra.finish(),
                        })
                    }
                }

                deserializer.deserialize_struct(stringify!($type), &[$($name),*], Visitor)
            }
        }
    };
    (@write optional $map:ident, $name:literal, $value:expr) => {
        if let Some(value) = $value {
            $map.serialize_entry($name, value)?;
        }
    };
    (@write $presence:ident $map:ident, $name:literal, $value:expr) => {
        $map.serialize_entry($name, $value)?
    };
    (@is_written optional $value:expr) => {
        $value.is_some()
    };
    (@is_written $presence:ident $value:expr) => {
        true
    };
    (@keep_null optional $value:ident, $extra:ident, $name:literal) => {
        if Option::is_none(&$value) {
            $extra.add_null($name);
        }
    };
    (@keep_null $presence:ident $value:ident, $extra:ident, $name:literal) => {};
    (@read $map:ident) => {
        $map.next_value()?
    };
    (@read $map:ident $via:ident) => {
        $map.next_value::<$via>()?.0
    };
    (@found required $field:ident, $name:literal) => {
        $field.ok_or_else(|| serde::de::Error::missing_field($name))?
    };
    (@found optional $field:ident, $name:literal) => {
        $field.flatten()
    };
    (@found default $field:ident, $name:literal) => {
        $field.unwrap_or_default()
    };
}

pub(crate) use document_fields;

/// A string of a document, copied only where it is written with escapes.
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Owned(String),
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}
