//! Deflate streams (RFC 1951).

mod join;

pub(crate) use join::{END, open_end, store};
