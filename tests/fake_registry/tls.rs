//! Certificates made for a test, and the server's side of TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConnection, StreamOwned};

pub(crate) use rustls::ServerConfig;

/// The first byte of a TLS handshake.
pub(crate) const HANDSHAKE: u8 = 0x16;

/// The names of a good certificate.
const NAMES: &[&str] = &["127.0.0.1", "localhost", "::1"];

/// A connection that has shaken hands.
#[derive(Debug)]
pub(crate) struct Session(Box<StreamOwned<ServerConnection, TcpStream>>);

impl std::ops::Deref for Session {
    type Target = StreamOwned<ServerConnection, TcpStream>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Read for Session {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Session {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Shakes hands; none if the client and the server do not agree.
pub(crate) fn accept(config: Arc<ServerConfig>, mut socket: TcpStream) -> Option<Session> {
    let mut connection = ServerConnection::new(config).ok()?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).ok()?;
    }
    Some(Session(Box::new(StreamOwned::new(connection, socket))))
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Whether and how the server speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Option<Made>);

#[derive(Clone, Debug)]
struct Made {
    config: Arc<ServerConfig>,
    authority: String,
    client: Identity,
    foreign_client: Identity,
}

/// A made authority.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = key();
        let certificate = parameters.self_signed(&key).expect("signed");
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    fn sign(&self, parameters: &CertificateParams, key: &KeyPair) -> Certificate {
        parameters.signed_by(key, &self.issuer).expect("signed")
    }

    fn client(&self, name: &str) -> Identity {
        let mut parameters = leaf(&[]);
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        Identity { certificate: self.sign(&parameters, &key).pem(), key: key.serialize_pem() }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).expect("good names");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

impl Tls {
    /// Speaks plain HTTP.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Shows a good certificate for 127.0.0.1, localhost and `::1`, signed by an authority.
    pub(crate) fn by_authority() -> Self {
        Self::signed(leaf(NAMES), false)
    }

    /// Shows a certificate that expired in 2001.
    pub(crate) fn expired() -> Self {
        let mut parameters = leaf(NAMES);
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(2001, 1, 1);
        Self::signed(parameters, false)
    }

    /// Shows a certificate that has its name in the common name alone.
    pub(crate) fn common_name_only() -> Self {
        let mut parameters = leaf(&[]);
        parameters.distinguished_name.push(DnType::CommonName, "localhost");
        Self::signed(parameters, false)
    }

    /// Shows a certificate for another host.
    pub(crate) fn wrong_name() -> Self {
        Self::signed(leaf(&["registry.example.com"]), false)
    }

    /// Shows a good certificate and wants one of the client, signed by the same authority.
    pub(crate) fn wants_client_certificate() -> Self {
        Self::signed(leaf(NAMES), true)
    }

    /// Shows a self-signed certificate with `CA:TRUE`, as `openssl req -x509` makes them.
    pub(crate) fn self_signed() -> Self {
        let mut parameters = leaf(NAMES);
        parameters.distinguished_name.push(DnType::CommonName, "self-signed");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let certificate = parameters.self_signed(&key).expect("signed");
        Self::with(&Authority::new("unused"), &certificate, &key, certificate.pem(), false)
    }

    fn signed(parameters: CertificateParams, wants_client: bool) -> Self {
        let authority = Authority::new("the test's authority");
        let key = key();
        let certificate = authority.sign(&parameters, &key);
        Self::with(&authority, &certificate, &key, authority.certificate.pem(), wants_client)
    }

    fn with(authority: &Authority, certificate: &Certificate, key: &KeyPair, pem: String, wants_client: bool) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has them");
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.der().clone()).expect("a good root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = builder.with_single_cert(vec![certificate.der().clone()], private).expect("a fitting key");
        Self(Some(Made {
            config: Arc::new(config),
            authority: pem,
            client: authority.client("client"),
            foreign_client: Authority::new("another authority").client("client"),
        }))
    }

    /// Returns the server's configuration.
    pub(crate) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.0.as_ref().map(|made| Arc::clone(&made.config))
    }

    fn made(&self) -> &Made {
        self.0.as_ref().expect("the server speaks TLS")
    }

    /// Returns what the client has to trust, as PEM: the authority, or the self-signed certificate.
    pub(crate) fn authority(&self) -> &str {
        &self.made().authority
    }

    /// Returns a client's certificate by the server's authority.
    pub(crate) fn client(&self) -> &Identity {
        &self.made().client
    }

    /// Returns a client's certificate by another authority. Its key does not fit that of [`Tls::client`].
    pub(crate) fn foreign_client(&self) -> &Identity {
        &self.made().foreign_client
    }
}
