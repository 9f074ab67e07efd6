//! Credentials for registries: challenges of servers, auth files of Docker and of podman, credential helpers.
//!
//! Secrets live in [`Secret`], which no message prints.

mod challenge;
mod edit;
mod error;
mod files;
mod helper;
mod lookup;
mod places;
mod secret;
mod store;

#[allow(unused_imports, reason = "the client uses them")]
pub(super) use challenge::{Challenge, parse_challenges};
pub use error::{AuthError, HelperError, HelperErrorKind};
pub use lookup::{CredentialLookup, CredentialStore};
pub use places::AuthPlace;
pub use secret::{Credential, Secret};
pub use store::{RemovedCredentials, StoredCredential};

mod tests;
