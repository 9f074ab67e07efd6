//! JSON to the last digit: reading documents into types, keeping values as text, writing.
//!
//! serde has no word for a number that fits no machine type, and the feature of `serde_json` that has one changes the
//! builds of every dependent of this library. So numbers are text here: `read` scans, `de` passes scanned values to
//! serde, `text` keeps a value as compact text with sorted keys, `node` reads a value in place, `write` writes. No key
//! of a document has a meaning of its own: between this reader, this writer and [`Json`] a value is passed under the
//! name of a type, which no document can contain.
//!
//! A value that the caller does not ask for is not built, and a document whose values would take many times its size in
//! memory is an error.

mod de;
mod document;
mod error;
mod fields;
mod node;
mod read;
mod sort;
mod text;
mod write;
mod write_error;

pub use document::{from_json, to_blob, to_json_pretty, write_json_pretty};
pub(crate) use document::{to_compact, write_compact};
pub use error::JsonError;

pub(crate) use fields::Builder as UnknownFieldsBuilder;
pub use fields::UnknownFields;
pub(crate) use node::{Node, NodeKind, Token};
pub use text::Json;

mod tests;
