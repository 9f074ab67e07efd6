//! JSON without loss of digits: reads documents into types, keeps values as text, and writes.
//!
//! serde has no type for arbitrary numbers. `serde_json` has a feature for them, but enabling it would affect all
//! dependents of this library. So numbers are text here: `read` scans, `de` passes values to serde, `text` keeps a
//! value as compact text with sorted keys, `node` reads a value in place, `write` writes. No key of a document is
//! special: between this reader, this writer and [`Json`], values are passed under the name of a Rust type, which no
//! document can contain.
//!
//! Values are parsed only on request. A document whose values would take many times its size in memory is an error.

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
