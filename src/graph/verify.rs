//! Comparing content with its digest.

use crate::error::{Error, Result};
use crate::oci::{Digest, Hasher};

/// Compares a digest that was computed with the one that it should be.
///
/// # Errors
///
/// [`Error::DigestMismatch`].
pub(crate) fn expect_digest(digest: &Digest, actual: Digest) -> Result<()> {
    if actual == *digest { Ok(()) } else { Err(Error::DigestMismatch { digest: digest.clone(), actual }) }
}

/// Compares a digest as [`expect_digest`] does, if its algorithm is registered; other digests are passed on unverified.
///
/// # Errors
///
/// [`Error::DigestMismatch`].
pub(crate) fn expect_digest_if_possible(digest: &Digest, actual: Digest) -> Result<()> {
    if digest.algorithm().is_some() { expect_digest(digest, actual) } else { Ok(()) }
}

/// Compares the digest of some bytes with the expected one, if its algorithm is registered.
///
/// # Errors
///
/// [`Error::DigestMismatch`].
pub(crate) fn verify_if_possible(digest: &Digest, bytes: &[u8]) -> Result<()> {
    if digest.algorithm().is_some() { verify_bytes(digest, bytes) } else { Ok(()) }
}

/// Compares the digest of some bytes with the expected one.
///
/// # Errors
///
/// [`Error::DigestMismatch`]; [`Error::UnsupportedAlgorithm`].
pub(crate) fn verify_bytes(digest: &Digest, bytes: &[u8]) -> Result<()> {
    let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    expect_digest(digest, hasher.finish())
}
