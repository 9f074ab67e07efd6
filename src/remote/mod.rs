//! Registries over HTTP: the client of the distribution-spec, with credentials, TLS, proxies and retries.
//!
//! This room knows nothing of layouts: `transfer` moves images between views, layouts and registries. All requests go through
//! `client`; `http`, `connect` and `tls` alone name the crates that speak HTTP and TLS. What a server says is not trusted: sizes are
//! bounded, digests are verified, text is made fit for one line, and no answer takes credentials to another host.

mod address;
pub(crate) mod auth;
mod calls;
pub(crate) mod client;
mod clock;
mod connect;
mod environment;
pub(crate) mod first_fault;
pub(crate) mod host;
pub(crate) mod http;
mod options;
mod proxy;
mod proxy_faults;
mod redirect;
pub(crate) mod reference;
mod reference_error;
mod refusal;
pub(crate) mod retry;
mod sent_body;
pub(crate) mod source;
mod stop;
mod system_errors;
mod text;
mod tls;
mod url;
mod wait_observer;
mod wire;

pub use auth::{
    AuthError, AuthPlace, Credential, CredentialLookup, CredentialStore, Credentials, HelperError, HelperErrorKind,
    RemovedCredentials, Secret, StoredCredential,
};
pub use calls::{Call, CallObserver};
pub use client::{Client, Ping};
pub use clock::Clock;
pub use environment::Environment;
pub use host::RegistryHost;
pub use options::ConnectionOptions;
pub use proxy::ProxyError;
pub use reference::RemoteReference;
pub use reference_error::ReferenceError;
pub use tls::ClientCertificate;
pub use wait_observer::{Wait, WaitObserver};
