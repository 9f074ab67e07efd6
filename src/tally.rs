//! A count of objects and their total size.

/// A count of blobs or files, and their total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
}
