//! Tar archives: header fields, streaming checks, and writing.

pub(crate) mod check;
pub(crate) mod entry;
pub(crate) mod extended;
pub(crate) mod fault;
pub(crate) mod header;
pub(crate) mod layer;
pub(crate) mod reader;
pub(crate) mod write;
