//! Deflate streams (RFC 1951): reads them, and joins several into one.

mod bits;
mod codes;
mod inflate;
mod join;
mod tables;

pub(crate) use inflate::Inflater;
pub(crate) use join::{END, open_end, store};

mod tests;
