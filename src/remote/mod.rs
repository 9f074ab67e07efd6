//! Registries over HTTP.

#[allow(dead_code, reason = "the client uses it")]
mod auth;
mod host;
mod reference;
mod reference_error;

pub use auth::{Credential, Secret};
pub use host::RegistryHost;
pub use reference::RemoteReference;
pub use reference_error::ReferenceError;
