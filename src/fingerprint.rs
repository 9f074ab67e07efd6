//! Short keyed hashes for finding equal values. They are not digests of documents, and they differ between processes.

/// A short keyed hash for finding equal values. It is not a digest of a document.
pub(crate) struct Fingerprint(Box<blake3::Hasher>);

impl Fingerprint {
    /// Starts a fingerprint. Fingerprints with different keys cannot be compared.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Box::new(blake3::Hasher::new_keyed(key)))
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the fingerprint of the bytes added.
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
