//! Tar archives: one decoder of headers, and its users: reading and checking a stream. Writing.

pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod extended;
pub(crate) mod fault;
pub(crate) mod header_fields;
pub(crate) mod layer;
pub(crate) mod outline;
pub(crate) mod raw_headers;
pub(crate) mod read_header;
pub(crate) mod reader;
pub(crate) mod retime;
pub(crate) mod sparse;
pub(crate) mod write;
pub(crate) mod written_entry;
