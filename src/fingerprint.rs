//! Short keyed hashes by which equal things are found: no digests of documents, and the same in no two processes.

/// A short hash by which equal things are found, and which is no digest of any document.
pub(crate) struct Fingerprint(Box<blake3::Hasher>);

impl Fingerprint {
    /// Starts a fingerprint. Those of different keys have nothing to do with each other.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Box::new(blake3::Hasher::new_keyed(key)))
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Ends the fingerprint.
    pub(crate) fn finish<const N: usize>(self) -> [u8; N] {
        cut(self.0.finalize())
    }

    /// Returns the fingerprint of some bytes.
    pub(crate) fn of<const N: usize>(key: &[u8; 32], bytes: &[u8]) -> [u8; N] {
        cut(blake3::keyed_hash(key, bytes))
    }
}

fn cut<const N: usize>(hash: blake3::Hash) -> [u8; N] {
    *hash.as_bytes().first_chunk().expect("a fingerprint has at most 32 bytes")
}
