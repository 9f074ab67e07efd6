//! Content digests (image-spec, descriptor.md, "Digests"). The only module that names the hash crates.

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use super::fields::Text;

/// A hash function that the image-spec registers for digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, which this program writes.
    Sha256,
    /// SHA-512: read and verified.
    Sha512,
    /// BLAKE3 with 256 bits: read and verified.
    Blake3,
}

impl Algorithm {
    /// Every algorithm.
    pub(crate) const ALL: [Self; 3] = [Self::Sha256, Self::Sha512, Self::Blake3];

    /// The name before the colon of a digest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// How many characters the hash takes in a digest.
    fn encoded_length(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The content address of a blob: `algorithm:encoded`.
///
/// A digest is valid from birth. Its grammar has no slash and no empty part, so a path made from it stays where it
/// belongs; for the registered algorithms the encoded part has exactly the length and the lower-case digits that the
/// image-spec asks for. An algorithm that is not registered is legal, but cannot be verified.
///
/// ```
/// use regshape::oci::Digest;
///
/// let digest = Digest::sha256_of(b"");
/// assert_eq!(digest.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// Shared: sets and queues of digests hold many copies.
    text: Arc<str>,
    /// Where the colon stands in `text`.
    colon: usize,
}

/// A string is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{text}' is not a digest: {reason}")]
pub struct DigestError {
    text: String,
    reason: &'static str,
}

impl Digest {
    /// Computes the SHA-256 digest of some bytes.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the part before the colon.
    pub fn algorithm_name(&self) -> &str {
        &self.text[..self.colon]
    }

    /// Returns the registered algorithm, or `None` if this digest cannot be verified.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.algorithm_name())
    }

    /// Returns the part after the colon: a blob's file name.
    pub fn encoded(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// Returns the digest as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = |reason| DigestError { text: text.escape_debug().to_string(), reason };
        let colon = text.find(':').ok_or_else(|| error("it has no colon"))?;
        let (algorithm, encoded) = (&text[..colon], &text[colon + 1..]);
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut components = algorithm.split(['+', '.', '_', '-']);
        if !components.all(|component| !component.is_empty() && component.bytes().all(lower)) {
            return Err(error("its algorithm is not of the form that the image-spec allows"));
        }
        match Algorithm::from_name(algorithm) {
            Some(known) if encoded.len() != known.encoded_length() => Err(error("its hash has the wrong length")),
            Some(_) if !encoded.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => {
                Err(error("its hash is not lower-case hexadecimal"))
            }
            None if encoded.is_empty() => Err(error("its hash is empty")),
            None if !encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-')) => {
                Err(error("its hash has a character that the image-spec does not allow"))
            }
            _ => Ok(Self { text: text.into(), colon }),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Hashes like the text, by which digests are found in maps.
impl Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer)?.as_str().parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a digest from bytes that come in pieces.
#[derive(Clone)]
pub struct Hasher(HashState);

#[derive(Clone)]
enum HashState {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Hasher {
    /// Starts a digest.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => HashState::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => HashState::Sha512(sha2::Sha512::new()),
            Algorithm::Blake3 => HashState::Blake3(Box::new(blake3::Hasher::new())),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            HashState::Sha256(state) => state.update(bytes),
            HashState::Sha512(state) => state.update(bytes),
            HashState::Blake3(state) => {
                state.update(bytes);
            }
        }
    }

    /// Ends the digest.
    pub fn finish(self) -> Digest {
        let (algorithm, encoded) = match self.0 {
            HashState::Sha256(state) => (Algorithm::Sha256, hex::encode(state.finalize())),
            HashState::Sha512(state) => (Algorithm::Sha512, hex::encode(state.finalize())),
            HashState::Blake3(state) => (Algorithm::Blake3, hex::encode(state.finalize().as_bytes())),
        };
        let name = algorithm.name();
        Digest { text: format!("{name}:{encoded}").into(), colon: name.len() }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// Returns whether a text can be the beginning of a digest: at least four hexadecimal digits, perhaps after an algorithm and a
/// colon. Fewer digits are more likely a mistyped name.
///
/// ```
/// use regshape::oci::is_short_digest;
///
/// assert!(is_short_digest("sha256:4dda") && is_short_digest("4dda0e58"));
/// assert!(!is_short_digest("4dd") && !is_short_digest("latest"));
/// ```
pub fn is_short_digest(text: &str) -> bool {
    const LEAST: usize = 4;
    let (algorithm, digits) = text.split_once(':').unwrap_or(("sha256", text));
    !algorithm.is_empty() && digits.len() >= LEAST && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_every_algorithm() {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(
            hasher.finish().as_str(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
        let mut hasher = Hasher::new(Algorithm::Blake3);
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish().as_str(), "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(
            Digest::sha256_of(b"abc").as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_digest_is_valid_from_birth() {
        let hash = "0".repeat(64);
        for good in [
            format!("sha256:{hash}"),
            format!("sha512:{hash}{hash}"),
            format!("blake3:{hash}"),
            "multihash+base58:QmRZxt2b".to_owned(),
        ] {
            assert_eq!(good.parse::<Digest>().expect("a legal digest").as_str(), good);
        }
        let bad = [
            String::new(),
            "sha256".to_owned(),
            "sha256:".to_owned(),
            format!(":{hash}"),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "0".repeat(63)),
            format!("sha256:{hash}\n"),
            format!("SHA256:{hash}"),
            format!("sha256+:{hash}"),
            format!("blake3:{hash}0"),
            "sha256:../../x".to_owned(),
            "x:../y".to_owned(),
            "..:y".to_owned(),
            format!("/sha256:{hash}"),
        ];
        for bad in bad {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }
}
