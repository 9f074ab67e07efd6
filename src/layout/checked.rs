//! Documents as checks found them.
//!
//! Commands read documents before they ask or do long work, and again under the lock, when they are nearly always the same:
//! comparing bytes takes a fraction of the time of parsing them.

use std::sync::Mutex;

use super::stage::Stage;
use crate::oci::Index;

/// A document as a check found it.
#[derive(Debug)]
pub(crate) struct Checked<T> {
    pub(crate) content: Vec<u8>,
    pub(crate) document: T,
}

/// The documents of a layout as checks found them.
#[derive(Debug, Default)]
pub(crate) struct CheckedDocuments {
    pub(crate) index: Mutex<Option<Checked<Index>>>,
    pub(crate) stage: Mutex<Option<Checked<Stage>>>,
}
