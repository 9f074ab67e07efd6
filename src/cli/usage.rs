//! Errors in the words of a command line.

/// Words that contradict each other or are not enough, found by the command itself, not by its parser.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);
