//! Credentials for registries: challenges of servers, auth files of Docker and of podman, credential helpers.
//!
//! Secrets live in [`Secret`], which no message prints.

mod challenge;
mod error;
mod files;
mod helper;
mod places;
mod secret;

#[allow(unused_imports, reason = "the client uses them")]
pub(super) use challenge::{Challenge, parse_challenges};
pub use error::{AuthError, HelperError, HelperErrorKind};
pub use places::AuthPlace;
pub use secret::{Credential, Secret};
