//! Registries over HTTP.

#[allow(dead_code, reason = "the client uses it")]
mod auth;
mod environment;
mod host;
#[allow(dead_code, reason = "the client uses it")]
mod proxy;
mod reference;
mod reference_error;

pub use auth::{
    AuthError, AuthPlace, Credential, CredentialLookup, CredentialStore, HelperError, HelperErrorKind,
    RemovedCredentials, Secret, StoredCredential,
};
pub use environment::Environment;
pub use host::RegistryHost;
pub use proxy::ProxyError;
pub use reference::RemoteReference;
pub use reference_error::ReferenceError;
