//! The candidates for an ambiguous name.

use std::fmt;

use super::words::list;

use crate::oci::Digest;

/// One of several manifests with the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Candidate {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The image name of its entry.
    pub image_name: Option<String>,
    /// The platforms of the image.
    pub platforms: Vec<String>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.digest)?;
        let name = self.image_name.iter().map(|name| name.escape_debug().to_string());
        let told: Vec<String> = name.chain(self.platforms.iter().cloned()).collect();
        if told.is_empty() { Ok(()) } else { write!(f, " ({})", told.join(", ")) }
    }
}

/// Returns a list of candidates for a message. `count` is the number of all candidates.
pub(crate) fn described(candidates: &[Candidate], count: usize) -> String {
    let more = count - candidates.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", list(candidates))
}
