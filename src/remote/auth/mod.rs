//! Credentials for registries: challenges of servers, auth files of Docker and of podman, credential helpers, tokens.
//!
//! Secrets live in [`Secret`], which no message prints.

pub(crate) mod challenge;
mod credentials;
mod edit;
mod error;
mod escapes;
mod files;
mod helper;
pub(crate) mod known;
mod lookup;
mod places;
pub(crate) mod scope;
mod secret;
pub(crate) mod session;
mod store;

pub use credentials::Credentials;
pub use error::{AuthError, HelperError, HelperErrorKind};
pub use lookup::{CredentialLookup, CredentialStore};
pub use places::AuthPlace;
pub use secret::{Credential, Secret};
pub use store::{RemovedCredentials, StoredCredential};

mod tests;
