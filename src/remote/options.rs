//! The settings of a connection to a registry.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::auth::Credentials;
use super::calls::CallObserver;
use super::clock::{Clock, SystemClock};
use super::environment::Environment;
use super::tls::ClientCertificate;
use super::wait_observer::WaitObserver;
use crate::options::setters;

/// The settings of a connection to a registry.
///
/// ```
/// use std::time::Duration;
///
/// use regshape::remote::ConnectionOptions;
///
/// let options = ConnectionOptions::default().retries(2).stall_timeout(Duration::from_secs(10));
/// assert!(!options.insecure);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionOptions {
    /// Whether plain HTTP is spoken. Without it, HTTP is spoken only to a registry on this machine that does not know TLS.
    pub insecure: bool,
    /// Whether any certificate will do.
    pub skip_tls_verify: bool,
    /// Certificates of authorities in PEM, to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate. It is shown to the registry alone.
    pub client_certificate: Option<ClientCertificate>,
    /// Directories with `*.crt`, and `*.cert` with `*.key`, for the registry.
    pub certificate_directories: Vec<PathBuf>,
    /// Where credentials are found.
    pub credentials: Credentials,
    /// The variables that name proxies.
    pub environment: Environment,
    /// How often a request is sent again.
    pub retries: u32,
    /// How long the next byte may take, at most a year.
    pub stall_timeout: Duration,
    /// How long the head of an answer, or a document (a manifest, a config, a list, a token, the body of an error), may take
    /// as a whole. Blobs may take as long as bytes come.
    pub document_timeout: Duration,
    /// How many requests are sent at once.
    pub requests_at_once: usize,
    /// Is told of each exchange.
    pub observer: Option<CallObserver>,
    /// Is told of long waits.
    pub waits: Option<WaitObserver>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            insecure: false,
            skip_tls_verify: false,
            ca_file: None,
            client_certificate: None,
            certificate_directories: Vec::new(),
            credentials: Credentials::anonymous(),
            environment: Environment::default(),
            retries: 5,
            stall_timeout: Duration::from_mins(1),
            document_timeout: Duration::from_mins(10),
            requests_at_once: 16,
            observer: None,
            waits: None,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl ConnectionOptions {
    setters! {
        insecure: [bool],
        skip_tls_verify: [bool],
        ca_file: [some PathBuf],
        client_certificate: [option ClientCertificate],
        certificate_directories: [Vec<PathBuf>],
        credentials: [Credentials],
        environment: [Environment],
        retries: [u32],
        stall_timeout: [Duration],
        document_timeout: [Duration],
        requests_at_once: [usize],
        observer: [option CallObserver],
        waits: [option WaitObserver],
        clock: [Arc<dyn Clock>],
    }
}
