//! Tar archives: numbers, checksums and PAX records, and checking them while their bytes go by.

pub(crate) mod check;
pub(crate) mod extended;
pub(crate) mod fault;
pub(crate) mod header;
pub(crate) mod layer;
pub(crate) mod write;
