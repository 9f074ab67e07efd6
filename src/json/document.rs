//! Reads JSON documents, and writes them compact or indented by two spaces.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::JsonError;
use super::read::Reader;
use super::text::Json;
use super::write;
use super::write_error::WriteError;

/// Deserializes a document.
///
/// Numbers in unknown fields keep all digits. `serde_json` supports that only with a feature that would also affect
/// other crates in the build.
///
/// ```
/// use regshape::oci::{Index, from_json, to_blob};
///
/// let index: Index = from_json(br#"{"schemaVersion":2,"manifests":[],"x":12345678901234567890123.50}"#)?;
/// assert_eq!(to_blob(&index), br#"{"manifests":[],"schemaVersion":2,"x":12345678901234567890123.50}"#);
/// # Ok::<(), regshape::oci::JsonError>(())
/// ```
///
/// # Errors
///
/// [`JsonError`] if the content is not JSON or not of the type, or if its values would take many times its size in
/// memory.
pub fn from_json<T: DeserializeOwned>(content: &[u8]) -> Result<T, JsonError> {
    if let Some(error) = JsonError::for_byte_order_mark(content) {
        return Err(error);
    }
    let mut reader = Reader::new(content);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Writes a document as the bytes of a blob: compact JSON with sorted keys.
///
/// Equal documents give equal bytes, and so equal digests. The output format is stable.
///
/// ```
/// let document = serde_json::json!({"b": 1, "a": [true]});
/// assert_eq!(regshape::oci::to_blob(&document), br#"{"a":[true],"b":1}"#);
/// ```
///
/// # Panics
///
/// If a map in the document has keys that are not strings. No document of the image-spec has one.
pub fn to_blob(document: &impl Serialize) -> Vec<u8> {
    Json::new(document).expect("documents have string keys only").into_string().into_bytes()
}

/// Writes a document without whitespace, the fields in declaration order.
pub(crate) fn write_compact(document: &impl Serialize, writer: &mut dyn std::io::Write) -> std::io::Result<()> {
    write::compact(document, writer).map_err(WriteError::into_io)
}

/// Returns the output of [`write_compact`].
pub(crate) fn to_compact(document: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    write::compact(document, &mut text).expect("documents have string keys only");
    text
}

/// Writes a document for people: indented by two spaces.
///
/// ```
/// assert_eq!(regshape::oci::to_json_pretty(&[1, 2])?, "[\n  1,\n  2\n]");
/// # Ok::<(), regshape::oci::JsonError>(())
/// ```
///
/// # Errors
///
/// [`JsonError`] if a key is not a string.
#[expect(clippy::missing_panics_doc, reason = "JSON is UTF-8")]
pub fn to_json_pretty(document: &(impl Serialize + ?Sized)) -> Result<String, JsonError> {
    let mut text = Vec::new();
    write::pretty(document, &mut text)?;
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}

/// Writes a document as [`to_json_pretty`] does, in small pieces.
///
/// # Errors
///
/// The error of the writer; [`InvalidData`](std::io::ErrorKind::InvalidData) if a key is not a string.
pub fn write_json_pretty(document: &(impl Serialize + ?Sized), writer: &mut dyn std::io::Write) -> std::io::Result<()> {
    write::pretty(document, writer).map_err(WriteError::into_io)
}
