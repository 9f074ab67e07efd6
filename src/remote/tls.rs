//! TLS: which certificates are trusted, and the client's own. The only file that names rustls.
//!
//! Roots are those of the system (or of `SSL_CERT_FILE` and `SSL_CERT_DIR`), of `--ca-file`, and of the directories of
//! containers/image and Docker. They are read with the first connection that needs them. The client's certificate is
//! shown to the registry alone.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, InvalidMessage,
    RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::url::{Origin, Scheme};

/// The largest file of certificates or keys that is read.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The client's certificate and its key, in files in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a certificate has one key")]
pub struct ClientCertificate {
    /// The certificate, with those between it and the authority.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The certificates that a connection uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    /// Certificates to trust beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// The client's certificate and key.
    pub(crate) client: Option<ClientCertificate>,
    /// Directories with `*.crt`, `*.cert` and `*.key` for the registry.
    pub(crate) directories: Vec<PathBuf>,
    /// Whether any certificate will do.
    pub(crate) trusts_all: bool,
}

/// A fault in the files of certificates and keys, or in a handshake.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("failed to read {}: {reason}", .path.display())]
    File { path: PathBuf, reason: String },
    #[error("{} holds no certificate in PEM", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no private key in PEM", .path.display())]
    NoKey { path: PathBuf },
    #[error("the key in {} does not belong to the certificate in {}", .key.display(), .certificate.display())]
    OtherKey { certificate: PathBuf, key: PathBuf },
    #[error("{} has no key: {} is missing", .certificate.display(), .key.display())]
    NoKeyFile { certificate: PathBuf, key: PathBuf },
    #[error("the system has no certificates of authorities to trust")]
    NoRoots,
    /// The server does not speak TLS.
    #[error("it answers in plain HTTP, not TLS")]
    PlainHttp,
    #[error("its certificate is signed by an authority that is not trusted")]
    UnknownAuthority,
    #[error("its certificate has expired")]
    Expired,
    #[error("its certificate is not valid yet")]
    NotYetValid,
    #[error("its certificate is for another name")]
    OtherName,
    #[error("its certificate is one of an authority, not of a server")]
    Authority,
    #[error("it refused the client's certificate, or wants one")]
    ClientRefused,
    #[error("{0}")]
    Other(String),
}

/// Reads certificates and keys once, with the first connection that needs them.
pub(crate) struct Tls {
    options: TlsOptions,
    /// The registry: it alone sees the client's certificate.
    registry: (String, u16),
    made: OnceLock<Result<Configs, TlsError>>,
}

#[derive(Clone)]
struct Configs {
    registry: Arc<ClientConfig>,
    others: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(options: TlsOptions, host: &str, port: u16) -> Self {
        Self { options, registry: (host.to_owned(), port), made: OnceLock::new() }
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// The fault of a file. Nothing was sent by then.
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        self.configs().map(drop)
    }

    fn config_for(&self, origin: &Origin) -> Result<Arc<ClientConfig>, TlsError> {
        let configs = self.configs()?;
        let is_registry = (origin.host.as_str(), origin.port) == (self.registry.0.as_str(), self.registry.1);
        Ok(Arc::clone(if is_registry { &configs.registry } else { &configs.others }))
    }

    fn configs(&self) -> Result<&Configs, TlsError> {
        self.made.get_or_init(|| make(&self.options)).as_ref().map_err(Clone::clone)
    }
}

/// Returns the ciphers that are offered: AES with keys of 128 bits first, as browsers and Go have it. It is faster than with 256, and
/// no weaker for connections that last minutes.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let is_first = |suite: CipherSuite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(|suite| !is_first(suite.suite()));
    provider
}

fn make(options: &TlsOptions) -> Result<Configs, TlsError> {
    let provider = Arc::new(provider());
    let found = Directory::read_all(&options.directories)?;
    let mut named = options.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
    named.extend(found.authorities);
    let client = match &options.client {
        Some(client) => Some(client.clone()),
        None => found.client,
    };
    let verifier: Arc<dyn ServerCertVerifier> = if options.trusts_all {
        Arc::new(TrustsAll { provider: Arc::clone(&provider) })
    } else {
        Arc::new(Verifier::new(named, Arc::clone(&provider))?)
    };
    let builder = || {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.expect("ring has ciphers for each version").dangerous();
        builder.with_custom_certificate_verifier(Arc::clone(&verifier))
    };
    let others = Arc::new(builder().with_no_client_auth());
    let registry = match client {
        Some(client) => Arc::new(with_client(&client, builder())?),
        None => Arc::clone(&others),
    };
    Ok(Configs { registry, others })
}

/// Adds the client's certificate to a configuration.
fn with_client(
    client: &ClientCertificate,
    builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
) -> Result<ClientConfig, TlsError> {
    let ClientCertificate { certificate, key } = client;
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| TlsError::NoKey { path: key.clone() })?;
    builder.with_client_auth_cert(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::OtherKey { certificate: certificate.clone(), key: key.clone() },
        error => TlsError::File { path: key.clone(), reason: error.to_string() },
    })
}

/// The content of the directories of certificates.
#[derive(Default)]
struct Directory {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<ClientCertificate>,
}

impl Directory {
    /// Reads directories: `*.crt` are authorities, `*.cert` with `*.key` is the client's. The first pair counts.
    fn read_all(directories: &[PathBuf]) -> Result<Self, TlsError> {
        let mut found = Self::default();
        for directory in directories {
            let entries = match fs::read_dir(directory) {
                Ok(entries) => entries,
                // One without a directory is the usual case, and another user's is none of this one's.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                    continue;
                }
                Err(error) => return Err(failed(directory, &error)),
            };
            let mut paths = entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
                .map_err(|error| failed(directory, &error))?;
            paths.sort();
            for path in paths {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => found.authorities.extend(certificates(&path)?),
                    Some("cert") if found.client.is_none() => {
                        let key = path.with_extension("key");
                        if !key.is_file() {
                            return Err(TlsError::NoKeyFile { certificate: path, key });
                        }
                        found.client = Some(ClientCertificate { certificate: path, key });
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

fn failed(path: &Path, error: &io::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: error.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let metadata = fs::metadata(path).map_err(|error| failed(path, &error))?;
    let reason = match () {
        () if metadata.is_dir() => "it is a directory",
        () if !metadata.is_file() => "it is not a file",
        () if metadata.len() > FILE_LIMIT => "it is too large",
        () => return fs::read(path).map_err(|error| failed(path, &error)),
    };
    Err(TlsError::File { path: path.to_owned(), reason: reason.to_owned() })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::File { path: path.to_owned(), reason: format!("not valid PEM: {error}") })?;
    if certificates.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(certificates) }
}

/// Trusts what the system and the named files trust, and a certificate that is in a named file itself: the usual
/// self-signed one says that it is an authority, which webpki does not take for a server's.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(named: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(named.iter().cloned());
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { inner: inner.map_err(|error| TlsError::Other(error.to_string()))?, named })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self.inner.verify_server_cert(certificate, intermediates, name, ocsp, now);
        match &result {
            // The dates have been checked by then.
            Err(rustls::Error::InvalidCertificate(error))
                if is_authority(error) && self.named.iter().any(|named| named == certificate) =>
            {
                let fits = webpki::EndEntityCert::try_from(certificate)
                    .and_then(|certificate| certificate.verify_is_valid_for_subject_name(name));
                match fits {
                    Ok(()) => Ok(ServerCertVerified::assertion()),
                    Err(_) => Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName)),
                }
            }
            _ => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Returns whether a certificate was refused only because it says that it is an authority.
fn is_authority(error: &CertificateError) -> bool {
    match error {
        CertificateError::Other(other) => {
            matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

/// Trusts any certificate: `--skip-tls-verify`.
#[derive(Debug)]
struct TrustsAll {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl TlsError {
    /// Finds the fault of a handshake in the error of a connection.
    pub(crate) fn of_handshake(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?;
        if let Some(error) = error.downcast_ref::<Self>() {
            return Some(error.clone());
        }
        Some(match error.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::PlainHttp,
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Self::UnknownAuthority,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
                error if is_authority(error) => Self::Authority,
                error => Self::Other(format!("its certificate is not valid: {error}")),
            },
            rustls::Error::AlertReceived(alert) => match alert {
                rustls::AlertDescription::BadCertificate
                | rustls::AlertDescription::CertificateRequired
                | rustls::AlertDescription::CertificateUnknown
                | rustls::AlertDescription::UnknownCA
                | rustls::AlertDescription::AccessDenied
                | rustls::AlertDescription::HandshakeFailure => Self::ClientRefused,
                alert => Self::Other(format!("it ended the TLS handshake: {alert:?}")),
            },
            error => Self::Other(format!("TLS: {error}")),
        })
    }
}

/// Puts TLS on the connections that need it.
#[derive(Clone, Debug)]
pub(crate) struct TlsConnector(pub(crate) Arc<Tls>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let failed = |error: TlsError| ureq::Error::Io(io::Error::other(error));
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let origin =
            Origin { scheme: Scheme::Https, host: host.to_owned(), port: details.uri.port_u16().unwrap_or(443) };
        let config = self.0.config_for(&origin).map_err(failed)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(TlsError::Other(format!("'{host}' cannot be the name of a certificate"))))?;
        let mut connection =
            ClientConnection::new(config, name).map_err(|error| failed(TlsError::Other(format!("TLS: {error}"))))?;
        let mut socket = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket).map_err(ureq::Error::Io)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn: connection, sock: socket } })))
    }
}

/// A connection with TLS.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        io::Write::write_all(&mut self.stream, &self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = io::Read::read(&mut self.stream, self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Shows input once more that was looked at and not taken.
///
/// After a wait for `100 Continue` that brought another answer, ureq waits on a new connection for more bytes than that answer
/// has, before it looks at it.
#[derive(Debug)]
pub(crate) struct PatientConnector;

impl<In: Transport> Connector<In> for PatientConnector {
    type Out = PatientTransport<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|inner| PatientTransport { inner, shown: 0 }))
    }
}

/// A connection whose input is shown twice before more is waited for.
#[derive(Debug)]
pub(crate) struct PatientTransport<T> {
    inner: T,
    /// The number of bytes that were shown twice.
    shown: usize,
}

impl<T: Transport> Transport for PatientTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let held = self.inner.buffers().input().len();
        if held > 0 && held != self.shown {
            self.shown = held;
            return Ok(true);
        }
        self.shown = 0;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
