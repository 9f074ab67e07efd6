//! Writes JSON, compact or indented by two spaces. Numbers stored as text are written unchanged.

use std::cell::Cell;
use std::io::Write;

use serde::ser::{self, Impossible, Serialize, Serializer};

use super::error::JsonError;
use super::read::Number;
use super::write_error::WriteError;

pub(crate) type Result<T, E = WriteError> = std::result::Result<T, E>;

impl From<WriteError> for JsonError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Io(error) => Self::new(error.to_string(), None),
            WriteError::Value(error) => error,
        }
    }
}

/// Writes a value without whitespace.
pub(super) fn compact(value: &(impl Serialize + ?Sized), out: &mut dyn Write) -> Result<()> {
    Writer::write(value, out, None)
}

/// Writes a value, indented by two spaces.
pub(super) fn pretty(value: &(impl Serialize + ?Sized), out: &mut dyn Write) -> Result<()> {
    Writer::write(value, out, Some(0))
}

/// The size of the output buffer.
const PIECE: usize = 16 * 1024;

struct Writer<'w> {
    out: &'w mut dyn Write,
    /// Buffered output. Most tokens are only a few bytes long.
    buffer: Vec<u8>,
    /// The depth of nesting; `None` for compact output.
    level: Option<usize>,
}

impl<'w> Writer<'w> {
    fn write(value: &(impl Serialize + ?Sized), out: &'w mut dyn Write, level: Option<usize>) -> Result<()> {
        let mut writer = Self { out, buffer: Vec::with_capacity(PIECE), level };
        value.serialize(&mut writer)?;
        writer.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn put(&mut self, text: &str) -> Result<()> {
        // The output is split only between characters.
        if self.buffer.len() + text.len() > PIECE {
            self.flush()?;
        }
        if text.len() > PIECE {
            self.out.write_all(text.as_bytes())?;
        } else {
            self.buffer.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    /// Starts a new line before an element or a closing bracket, unless the output is compact.
    fn line(&mut self) -> Result<()> {
        /// The indentation of the deepest value that can be read, because a document may consist mostly of indentation.
        const BLANKS: &str = match std::str::from_utf8(&[b' '; 256]) {
            Ok(blanks) => blanks,
            Err(_) => unreachable!(),
        };
        let Some(level) = self.level else { return Ok(()) };
        self.put("\n")?;
        let mut left = level * 2;
        while left > 0 {
            let now = left.min(BLANKS.len());
            self.put(&BLANKS[..now])?;
            left -= now;
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<()> {
        let mut start = 0;
        self.put("\"")?;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.put(&text[start..at])?;
            match byte {
                b'"' => self.put("\\\"")?,
                b'\\' => self.put("\\\\")?,
                0x8 => self.put("\\b")?,
                b'\t' => self.put("\\t")?,
                b'\n' => self.put("\\n")?,
                0xc => self.put("\\f")?,
                b'\r' => self.put("\\r")?,
                _ => write!(self.buffer, "\\u{byte:04x}")?,
            }
            start = at + 1;
        }
        self.put(&text[start..])?;
        self.put("\"")
    }

    fn open(&mut self, bracket: &str) -> Result<()> {
        self.level = self.level.map(|level| level + 1);
        self.put(bracket)
    }

    fn close(&mut self, is_empty: bool, bracket: &str) -> Result<()> {
        self.level = self.level.map(|level| level - 1);
        if !is_empty {
            self.line()?;
        }
        self.put(bracket)
    }
}

/// An array or an object in progress.
struct Compound<'c, 'w> {
    writer: &'c mut Writer<'w>,
    is_empty: bool,
    /// The closing bracket.
    end: &'static str,
}

impl<'c, 'w> Compound<'c, 'w> {
    fn begin(writer: &'c mut Writer<'w>, start: &'static str, end: &'static str) -> Result<Self> {
        writer.open(start)?;
        Ok(Self { writer, is_empty: true, end })
    }

    /// Starts the next element or member.
    fn next(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.put(",")?;
        }
        self.writer.line()
    }

    fn colon(&mut self) -> Result<()> {
        self.writer.put(if self.writer.level.is_some() { ": " } else { ":" })
    }

    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.next()?;
        value.serialize(&mut *self.writer)
    }

    fn member(&mut self, key: &'static str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.next()?;
        self.writer.string(key)?;
        self.colon()?;
        value.serialize(&mut *self.writer)
    }

    fn finish(self) -> Result<()> {
        self.writer.close(self.is_empty, self.end)?;
        Ok(())
    }
}

/// A variant with content: an object with a single member.
struct Variant<'c, 'w>(Compound<'c, 'w>);

impl<'c, 'w> Variant<'c, 'w> {
    fn begin(writer: &'c mut Writer<'w>, name: &str, start: &'static str, end: &'static str) -> Result<Self> {
        writer.open("{")?;
        writer.line()?;
        writer.string(name)?;
        writer.put(if writer.level.is_some() { ": " } else { ":" })?;
        Compound::begin(writer, start, end).map(Self)
    }

    fn finish(self) -> Result<()> {
        let Compound { writer, is_empty, end } = self.0;
        writer.close(is_empty, end)?;
        writer.close(false, "}")
    }
}

macro_rules! display {
    ($($method:ident $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<()> {
            Ok(write!(self.buffer, "{value}")?)
        })*
    };
}

impl<'c, 'w> Serializer for &'c mut Writer<'w> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Compound<'c, 'w>;
    type SerializeTuple = Compound<'c, 'w>;
    type SerializeTupleStruct = Compound<'c, 'w>;
    type SerializeTupleVariant = Variant<'c, 'w>;
    type SerializeMap = Compound<'c, 'w>;
    type SerializeStruct = Compound<'c, 'w>;
    type SerializeStructVariant = Variant<'c, 'w>;

    display!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128
    );

    fn serialize_f32(self, value: f32) -> Result<()> {
        let text = serde_json::to_string(&value).map_err(<WriteError as ser::Error>::custom)?;
        self.put(&text)
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        let text = serde_json::to_string(&value).map_err(<WriteError as ser::Error>::custom)?;
        self.put(&text)
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.string(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<()> {
        self.string(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        let mut array = Compound::begin(self, "[", "]")?;
        bytes.iter().try_for_each(|byte| array.element(byte))?;
        array.finish()
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.put("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        if name != NUMBER {
            return value.serialize(self);
        }
        WANTS_TEXT.set(true);
        let text = value.serialize(TextOnly);
        WANTS_TEXT.set(false);
        self.put(&text?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut object = Compound::begin(self, "{", "}")?;
        object.member(variant, value)?;
        object.finish()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'c, 'w>> {
        Compound::begin(self, "[", "]")
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'c, 'w>> {
        Compound::begin(self, "[", "]")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'c, 'w>> {
        Compound::begin(self, "[", "]")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Variant<'c, 'w>> {
        Variant::begin(self, variant, "[", "]")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'c, 'w>> {
        Compound::begin(self, "{", "}")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'c, 'w>> {
        Compound::begin(self, "{", "}")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Variant<'c, 'w>> {
        Variant::begin(self, variant, "{", "}")
    }
}

impl ser::SerializeSeq for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeTuple for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Variant<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.0.element(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.next()?;
        let key = key.serialize(KeyText)?;
        self.writer.string(&key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.colon()?;
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.member(key, value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Variant<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.0.member(key, value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

/// The type name under which a number is passed as text.
const NUMBER: &str = "regshape::oci::Json::Number";

thread_local! {
    /// Set by the writer of this module right before it serializes a number, to request its text. Other serializers do
    /// not support arbitrary numbers and get the nearest value.
    static WANTS_TEXT: Cell<bool> = const { Cell::new(false) };
}

/// Serializes a number: exactly with the writer of this module, or as the nearest value with any other serializer.
pub(super) fn serialize_number<S: Serializer>(number: Number<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    struct Exact<'a>(Number<'a>);

    impl Serialize for Exact<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let Number(text) = self.0;
            if WANTS_TEXT.take() {
                return serializer.serialize_str(text);
            }
            if self.0.is_integer() && text != "-0" {
                if let Ok(value) = text.parse() {
                    return serializer.serialize_u64(value);
                }
                if let Ok(value) = text.parse() {
                    return serializer.serialize_i64(value);
                }
            }
            serializer.serialize_f64(text.parse().map_err(ser::Error::custom)?)
        }
    }

    serializer.serialize_newtype_struct(NUMBER, &Exact(number))
}

/// Serializes only strings.
struct TextOnly;

/// Serializes the values that can be keys: strings, and values written as strings.
struct KeyText;

macro_rules! refuse {
    ($message:literal: $($method:ident($($type:ty),*))*) => {
        $(fn $method(self $(, _: $type)*) -> Result<String> {
            Err(ser::Error::custom($message))
        })*
    };
}

macro_rules! text_serializer {
    ($type:ident, $message:literal, { $($own:item)* }, $($refused:ident($argument:ty))*) => {
        impl Serializer for $type {
            type Ok = String;
            type Error = WriteError;
            type SerializeSeq = Impossible<String, WriteError>;
            type SerializeTuple = Impossible<String, WriteError>;
            type SerializeTupleStruct = Impossible<String, WriteError>;
            type SerializeTupleVariant = Impossible<String, WriteError>;
            type SerializeMap = Impossible<String, WriteError>;
            type SerializeStruct = Impossible<String, WriteError>;
            type SerializeStructVariant = Impossible<String, WriteError>;

            fn serialize_str(self, text: &str) -> Result<String> {
                Ok(text.to_owned())
            }

            fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<String> {
                value.serialize(self)
            }

            $($own)*

            refuse! { $message: $($refused($argument))* serialize_f32(f32) serialize_f64(f64) serialize_bytes(&[u8])
                serialize_none() serialize_unit() serialize_unit_struct(&'static str) }

            fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<String> {
                Err(ser::Error::custom($message))
            }

            fn serialize_newtype_variant<T: Serialize + ?Sized>(
                self,
                _: &'static str,
                _: u32,
                _: &'static str,
                _: &T,
            ) -> Result<String> {
                Err(ser::Error::custom($message))
            }

            fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq> {
                Err(ser::Error::custom($message))
            }

            fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple> {
                Err(ser::Error::custom($message))
            }

            fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct> {
                Err(ser::Error::custom($message))
            }

            fn serialize_tuple_variant(
                self,
                _: &'static str,
                _: u32,
                _: &'static str,
                _: usize,
            ) -> Result<Self::SerializeTupleVariant> {
                Err(ser::Error::custom($message))
            }

            fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap> {
                Err(ser::Error::custom($message))
            }

            fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct> {
                Err(ser::Error::custom($message))
            }

            fn serialize_struct_variant(
                self,
                _: &'static str,
                _: u32,
                _: &'static str,
                _: usize,
            ) -> Result<Self::SerializeStructVariant> {
                Err(ser::Error::custom($message))
            }
        }
    };
}

text_serializer!(TextOnly, "a number is not text", {
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<String> {
        Err(ser::Error::custom("a number is not text"))
    }
}, serialize_bool(bool) serialize_char(char) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
    serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64));

macro_rules! key_text {
    ($($method:ident $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<String> {
            Ok(value.to_string())
        })*
    };
}

text_serializer!(KeyText, "key must be a string", {
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<String> {
        Ok(variant.to_owned())
    }
    key_text!(
        serialize_bool bool, serialize_char char, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64
    );
},);
