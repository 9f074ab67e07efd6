//! Registries over HTTP.

mod host;
mod reference;
mod reference_error;

pub use host::RegistryHost;
pub use reference::RemoteReference;
pub use reference_error::ReferenceError;
