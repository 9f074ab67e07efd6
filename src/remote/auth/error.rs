//! Errors of auth files and credential helpers. No message contains a secret.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::places::AuthPlace;
use crate::json::JsonError;

/// Credentials cannot be read or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The auth file that was named does not exist.
    #[error("auth file {} does not exist", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// An auth file cannot be read, or is not a regular file.
    #[error("cannot read auth file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// An auth file cannot be written.
    #[error("cannot write auth file {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// An auth file is larger than any should be.
    #[error("{place} is larger than 1 MiB, so it is no auth file")]
    TooLarge {
        /// The place.
        place: AuthPlace,
    },
    /// An auth file is not JSON.
    #[error("{place} is not JSON")]
    Json {
        /// The place.
        place: AuthPlace,
        /// The first fault.
        source: JsonError,
    },
    /// A value in an auth file has another type than it must have.
    #[error("{place}: {field} is not {expected}")]
    Field {
        /// The place.
        place: AuthPlace,
        /// The field, such as `auths`.
        field: String,
        /// The type that it must have, with an article.
        expected: &'static str,
    },
    /// The credentials of a registry in an auth file cannot be decoded.
    #[error("{place}: the credentials of '{key}' are not USER:PASSWORD in base64")]
    Encoding {
        /// The place.
        place: AuthPlace,
        /// The key of the registry in the file.
        key: String,
    },
    /// No place is known in which credentials could be stored: there is no home directory.
    #[error("no auth file to write: there is no home directory")]
    NoPlace,
    /// A user name contains a colon, which ends it in the `Basic` scheme.
    #[error("a user name cannot contain ':'")]
    UserName,
    /// A credential helper failed.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

/// A credential helper failed.
#[derive(Debug, thiserror::Error)]
#[error("credential helper 'docker-credential-{name}' {kind}")]
pub struct HelperError {
    name: String,
    kind: HelperErrorKind,
}

impl HelperError {
    pub(super) fn new(name: &str, kind: HelperErrorKind) -> Self {
        Self { name: crate::text::shortened(name), kind }
    }

    /// Returns how the helper failed.
    pub fn kind(&self) -> &HelperErrorKind {
        &self.kind
    }
}

/// How a credential helper failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperErrorKind {
    /// Its name has characters that no helper may have.
    #[error("is not run: a name has letters, digits and . _ - only")]
    Name,
    /// No program of its name is in a directory of PATH.
    #[error("is not in PATH")]
    NotFound,
    /// It cannot be started or read.
    #[error("cannot be run: {0}")]
    Run(io::Error),
    /// It ended with an error.
    #[error("failed ({status}){}", reason_after(.reason))]
    Failed {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it printed, shortened; empty if it printed nothing.
        reason: String,
    },
    /// It was stopped because it took too long.
    #[error("took longer than {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It printed more than 1 MiB.
    #[error("printed more than 1 MiB")]
    TooLarge,
    /// Its output is not the JSON that helpers print.
    #[error("printed no credentials: its output is not JSON with Username and Secret")]
    Output,
}

fn reason_after(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
