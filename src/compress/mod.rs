//! Compressed streams: telling them apart, reading them, writing them.
//!
//! The only module that names a compression crate. The parameters that fix the bytes of a compressed layer stand here,
//! and nowhere else: equal input and equal parameters give equal bytes on every machine, for pieces of any size.

mod bounds;
mod decode;
mod deflate;
mod detect;
mod encoding;
mod gzip;
mod members;
mod parallel;
pub(crate) mod remember;

pub use bounds::{BoundError, Bounds};
pub(crate) use bounds::{bound_of, bounded_decoder, bounded_padded_decoder};
pub(crate) use decode::decoder;
pub(crate) use deflate::open_end;
pub(crate) use detect::{Detected, Peeked, peek};
pub(crate) use encoding::BUFFER;
pub use encoding::{CompressFormat, Compression, Encoding, LevelError};

pub use members::TrailingBytes;
pub(crate) use members::trailing_of;
pub(crate) use parallel::{Compressing, Failure, Pool, compress};
pub(crate) use remember::Remembering;

mod tests;
