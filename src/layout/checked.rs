//! Documents as checks found them.
//!
//! Commands read documents before they ask or do long work, and again under the lock, when they are nearly always the same:
//! comparing bytes takes a fraction of the time of parsing them.

use std::sync::Mutex;

use super::stage::Stage;
use crate::oci::Index;

/// A document as a check found it.
#[derive(Debug)]
pub(super) struct Checked<T> {
    pub(super) content: Vec<u8>,
    pub(super) document: T,
}

/// The documents of a layout as checks found them.
#[derive(Debug, Default)]
pub(super) struct CheckedDocuments {
    pub(super) index: Mutex<Option<Checked<Index>>>,
    pub(super) stage: Mutex<Option<Checked<Stage>>>,
}
