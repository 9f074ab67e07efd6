//! Registries over HTTP.

#[allow(dead_code, reason = "the client uses it")]
mod auth;
mod environment;
mod host;
mod reference;
mod reference_error;

pub use auth::{AuthError, AuthPlace, Credential, HelperError, HelperErrorKind, Secret};
pub use environment::Environment;
pub use host::RegistryHost;
pub use reference::RemoteReference;
pub use reference_error::ReferenceError;
