//! Numbers of blobs or files and their size, in the results of several commands.

use std::fmt;

use indicatif::HumanBytes;
use regshape::Tally;
use serde::Serialize;

/// A tally with the keys `count` and `bytes`.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct ShownTally {
    pub(crate) count: u64,
    bytes: u64,
}

impl From<&Tally> for ShownTally {
    fn from(tally: &Tally) -> Self {
        Self { count: tally.count, bytes: tally.bytes }
    }
}

impl fmt::Display for ShownTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.count, HumanBytes(self.bytes))
    }
}

/// A tally of blobs, with the keys `blobs` and `bytes`.
#[derive(Serialize)]
pub(crate) struct ShownBlobs {
    blobs: u64,
    bytes: u64,
}

impl From<&Tally> for ShownBlobs {
    fn from(tally: &Tally) -> Self {
        Self { blobs: tally.count, bytes: tally.bytes }
    }
}
