//! Comparing content with its digest.

use crate::error::{Error, Result};
use crate::oci::{Digest, Hasher};

/// Compares the digest of some bytes with what it should be, if its algorithm is registered.
///
/// # Errors
///
/// [`Error::DigestMismatch`].
pub(crate) fn verify_if_possible(digest: &Digest, bytes: &[u8]) -> Result<()> {
    if digest.algorithm().is_some() { verify_bytes(digest, bytes) } else { Ok(()) }
}

/// Compares the digest of some bytes with what it should be.
///
/// # Errors
///
/// [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`].
pub(crate) fn verify_bytes(digest: &Digest, bytes: &[u8]) -> Result<()> {
    let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual == *digest { Ok(()) } else { Err(Error::DigestMismatch { digest: digest.clone(), actual }) }
}
