//! Handshakes of a rustls client with each of the certificates.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::fake_registry::{Action, Fake, Identity, Options, Rule, Tls, digest_of};
use crate::raw::{Connection, Reply, call};

fn start(tls: Tls) -> Fake {
    Fake::start(Options { tls, ..Options::default() })
}

/// Trusts the fake's authority and connects, perhaps with a client's certificate.
fn connect(
    fake: &Fake,
    name: &str,
    client: Option<&Identity>,
) -> io::Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(fake.tls().authority().as_bytes()).expect("PEM");
    roots.add(authority).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a fitting key")
        }
    };
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let socket = TcpStream::connect(fake.host()).expect("connected");
    let mut connection = Connection::over(StreamOwned::new(connection, socket), &fake.host());
    connection.handshake()?;
    Ok(connection)
}

/// Connects and sends a request. A server that dislikes the client's certificate says so after the handshake.
fn get(fake: &Fake, name: &str, client: Option<&Identity>) -> io::Result<Reply> {
    connect(fake, name, client)?.send(&call("GET", "/v2/"))
}

#[test]
fn the_good_certificate_has_all_names_of_this_host() {
    let fake = start(Tls::by_authority());
    for name in ["127.0.0.1", "localhost", "::1"] {
        assert_eq!(get(&fake, name, None).expect("an answer").status, 200, "{name}");
    }
    assert!(get(&fake, "example.com", None).is_err());
    assert!(fake.requests().iter().all(|request| request.status == 200));
}

#[test]
fn the_other_certificates_are_refused_for_their_fault() {
    let cases = [
        (Tls::expired(), "Expired"),
        (Tls::wrong_name(), "NotValidForName"),
        (Tls::common_name_only(), "NotValidForName"),
        (Tls::self_signed(), "CaUsedAsEndEntity"),
    ];
    for (tls, fault) in cases {
        let fake = start(tls);
        let error = get(&fake, "localhost", None).expect_err(fault);
        assert!(format!("{error:?}").contains(fault), "{error:?} is not {fault}");
        while fake.failed_handshakes() == 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_client_certificate_is_wanted() {
    let fake = start(Tls::wants_client_certificate());
    assert_eq!(get(&fake, "localhost", Some(fake.tls().client())).expect("an answer").status, 200);
    for client in [None, Some(fake.tls().foreign_client())] {
        assert!(get(&fake, "localhost", client).is_err());
    }
}

#[test]
fn http_on_a_tls_port_is_told_as_go_tells_it() {
    let fake = start(Tls::by_authority());
    let mut connection = Connection::open(&fake.host());
    connection.write(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let reply = connection.reply(false).expect("an answer");
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body, b"Client sent an HTTP request to an HTTPS server.\n");
}

#[test]
fn tls_on_a_http_port_gets_an_answer_that_is_no_tls() {
    let fake = start(Tls::none());
    let mut connection = Connection::open(&fake.host());
    connection.write(&[0x16, 3, 1, 0, 2, 1, 0, 10]).expect("sent");
    assert_eq!(connection.reply(false).expect("an answer").status, 400);
}

#[test]
fn blobs_go_through_tls_and_are_cut_there_too() {
    let fake = start(Tls::by_authority());
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let digest = digest_of(&bytes);
    let mut connection = connect(&fake, "localhost", None).expect("connected");
    let begun = connection.send(&call("POST", "/v2/a/blobs/uploads/").body("")).expect("an answer");
    let put = call("PUT", &format!("{}&digest={digest}", begun.needed("location"))).bytes(&bytes);
    assert_eq!(connection.send(&put).expect("an answer").status, 201);
    let read = call("GET", &format!("/v2/a/blobs/{digest}"));
    assert_eq!(connection.send(&read).expect("an answer").body, bytes);
    fake.rule(Rule::on("GET", "*"), Action::CutDown(300_000));
    let cut = connection.send(&read).expect("an answer");
    assert_eq!((cut.is_cut, cut.body.len()), (true, 300_000));
    assert_eq!(fake.connections(), 1);
}
