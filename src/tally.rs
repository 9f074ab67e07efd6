//! A count of objects and their total size.

use serde::{Serialize, Serializer};

/// A count of blobs or files, and their total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// The number of objects.
    pub count: u64,
    /// The total size in bytes.
    pub bytes: u64,
}

impl Tally {
    /// Creates a tally from a count and a total size.
    pub fn new(count: u64, bytes: u64) -> Self {
        Self { count, bytes }
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Writes a tally of blobs with the keys `blobs` and `bytes`.
    pub(crate) fn serialize_blobs<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Blobs {
            blobs: u64,
            bytes: u64,
        }
        Blobs { blobs: self.count, bytes: self.bytes }.serialize(serializer)
    }

    /// Writes an optional tally of blobs as [`Tally::serialize_blobs`] does.
    pub(crate) fn serialize_blobs_if_known<S: Serializer>(
        tally: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match tally {
            Some(tally) => tally.serialize_blobs(serializer),
            None => serializer.serialize_none(),
        }
    }
}
