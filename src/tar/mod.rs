//! Tar archives: one decoder of headers, and its users: reading and checking a stream. Writing.

pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod entry;
pub(crate) mod entry_header;
pub(crate) mod extended;
pub(crate) mod fault;
pub(crate) mod header;
pub(crate) mod layer;
pub(crate) mod reader;
pub(crate) mod write;
