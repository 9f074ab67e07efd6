//! Detects, reads and writes compressed streams.
//!
//! Only this module refers to compression crates and holds the parameters that determine the bytes of a compressed
//! layer. The same content and parameters give the same bytes on every machine, no matter in which pieces the content
//! is read.

mod alone;
mod bounds;
mod decode;
mod deflate;
mod detect;
mod encoding;
mod gunzip;
mod gzip;
mod members;
mod parallel;
pub(crate) mod remember;
mod zstd_stream;

pub(crate) use alone::Compressing;
pub use bounds::{BoundError, Bounds};
pub(crate) use bounds::{bound_of, bounded_decoder, bounded_padded_decoder};
pub(crate) use decode::decoder;
pub(crate) use deflate::open_end;
pub(crate) use detect::{Detected, Peeked, peek};
pub(crate) use encoding::BUFFER;
pub use encoding::{CompressFormat, Compression, Encoding, LevelError};

pub use members::TrailingBytes;
pub(crate) use members::trailing_of;
pub(crate) use parallel::{Failure, compress};
pub(crate) use remember::Remembering;

mod tests;
