//! SOCKS proxies: everything goes through them, and a proxy that fails is named as the one that failed.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::fake_registry::{Options, Tls};
use crate::lab::*;

/// A name that no client of these tests can resolve.
const NAME: &str = "registry.example.com";

/// An address that nothing answers at (RFC 5737).
const ADDRESS: &str = "192.0.2.7";

/// The manner of a proxy with its clients.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It takes everybody.
    Open,
    /// It wants a user and a password.
    Password(&'static str, &'static str),
    /// It refuses each connection with a code (RFC 1928, section 6).
    Refuses(u8),
    /// It takes none of the offered methods.
    NoMethod,
    /// It closes the connection after the first bytes.
    HangsUp,
    /// It is a web server.
    SpeaksHttp,
}

/// The target of a connection, as the client named it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Name(String, u16),
    Address(Ipv4Addr, u16),
}

/// A SOCKS5 proxy that passes all connections to one server, whatever their targets are.
struct Socks {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Target>>>,
}

impl Socks {
    fn start(to: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Target>>> = Arc::default();
        let (to, log) = (to.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (to, log) = (to.clone(), Arc::clone(&log));
                thread::spawn(move || serve(client, &to, manner, &log));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Target> {
        self.asked.lock().unwrap().clone()
    }
}

fn bytes_of<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).map(|()| bytes)
}

/// Reads bytes after their length.
fn text_of(client: &mut TcpStream) -> io::Result<String> {
    let [length] = bytes_of(client)?;
    let mut bytes = vec![0; length.into()];
    client.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn serve(mut client: TcpStream, to: &str, manner: Manner, log: &Mutex<Vec<Target>>) -> io::Result<()> {
    let [version, methods] = bytes_of(&mut client)?;
    assert_eq!(version, 5);
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered)?;
    match manner {
        Manner::HangsUp => return Ok(()),
        Manner::SpeaksHttp => return client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        Manner::NoMethod => return client.write_all(&[5, 0xff]),
        Manner::Password(..) if !offered.contains(&2) => return client.write_all(&[5, 0xff]),
        Manner::Password(user, password) => {
            client.write_all(&[5, 2])?;
            let [version] = bytes_of(&mut client)?;
            assert_eq!(version, 1);
            let is_right = (text_of(&mut client)?, text_of(&mut client)?) == (user.to_owned(), password.to_owned());
            client.write_all(&[1, u8::from(!is_right)])?;
            if !is_right {
                return Ok(());
            }
        }
        Manner::Open | Manner::Refuses(_) => client.write_all(&[5, 0])?,
    }
    let [version, command, _, kind] = bytes_of(&mut client)?;
    assert_eq!((version, command), (5, 1));
    let port = |client: &mut TcpStream| bytes_of(client).map(u16::from_be_bytes);
    let target = match kind {
        1 => Target::Address(bytes_of::<4>(&mut client)?.into(), port(&mut client)?),
        3 => Target::Name(text_of(&mut client)?, port(&mut client)?),
        kind => panic!("no test has addresses of kind {kind}"),
    };
    log.lock().unwrap().push(target);
    let code = if let Manner::Refuses(code) = manner { code } else { 0 };
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if code > 0 {
        return Ok(());
    }
    let mut server = TcpStream::connect(to)?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    let _ = io::copy(&mut client, &mut server);
    server.shutdown(Shutdown::Both)
}

/// Runs the program with a proxy for everything.
fn run(lab: &Lab, proxy: &str, words: &str) -> Ran {
    lab.program().env("ALL_PROXY", proxy).args(words.split_whitespace()).output().unwrap().into()
}

/// Pushes and pulls an image through a proxy.
fn moves_an_image(lab: &Lab, socks: &Socks, proxy: &str, registry: &str, flags: &str) {
    let proxy = proxy.replace("PROXY", &socks.address.to_string());
    run(lab, &proxy, &format!("push l {registry}/{REPOSITORY} {flags}")).succeeds();
    lab.has("v1");
    run(lab, &proxy, &format!("pull {registry}/{REPOSITORY}:v1 new {flags}")).succeeds();
    lab.is_valid("new");
    // The registry was reached in no other way.
    assert_eq!(socks.asked().len() as u64, lab.fake.connections());
}

#[test]
fn a_socks5h_proxy_resolves_the_name_of_the_registry() {
    for (proxy, manner) in [
        ("socks5h://PROXY", Manner::Open),
        ("SOCKS5H://PROXY/", Manner::Open),
        ("socks5h://me:secret@PROXY", Manner::Open),
        ("socks5h://m%40e:p%3A%2F@PROXY", Manner::Password("m@e", "p:/")),
    ] {
        let lab = Lab::new();
        lab.single(&[KIB, 2 * MIB]);
        let socks = Socks::start(&lab.fake.host(), manner);
        moves_an_image(&lab, &socks, proxy, &format!("{NAME}:5000"), "--insecure");
        assert!(socks.asked().iter().all(|target| *target == Target::Name(NAME.to_owned(), 5000)), "{proxy}");
    }
    // With TLS the name is the certificate's.
    let lab = Lab::with(Options { tls: Tls::wrong_name(), ..Options::default() });
    lab.single(&[KIB, 2 * MIB]);
    std::fs::write(lab.path("ca.pem"), lab.fake.tls().authority()).unwrap();
    let socks = Socks::start(&lab.fake.host(), Manner::Open);
    moves_an_image(&lab, &socks, "socks5h://PROXY", NAME, "--ca-file ca.pem");
    assert!(socks.asked().iter().all(|target| *target == Target::Name(NAME.to_owned(), 443)));
}

#[test]
fn before_a_socks5_proxy_the_client_resolves_the_name() {
    for (proxy, manner) in
        [("socks5://PROXY", Manner::Open), ("socks5://me:secret@PROXY", Manner::Password("me", "secret"))]
    {
        let lab = Lab::new();
        lab.single(&[KIB, 2 * MIB]);
        let socks = Socks::start(&lab.fake.host(), manner);
        moves_an_image(&lab, &socks, proxy, &format!("{ADDRESS}:5000"), "--insecure");
        assert!(socks.asked().iter().all(|target| *target == Target::Address(ADDRESS.parse().unwrap(), 5000)));
    }
    let lab = Lab::new();
    lab.single(&[KIB]);
    let socks = Socks::start(&lab.fake.host(), Manner::Open);
    let proxy = format!("socks5://{}", socks.address);
    // A name that this machine does not know never reaches the proxy.
    run(&lab, &proxy, "pull registry.invalid/app:v1 new")
        .fails(1, "Error: registry.invalid is not reachable: its address is not known\n");
    assert!(socks.asked().is_empty());
    // A name of this machine that is not of its loopback, if it has one.
    let Some((name, address)) = name_of_this_machine() else {
        eprintln!("not tried with a name: this machine knows none that leads elsewhere than to its loopback");
        return;
    };
    moves_an_image(&lab, &socks, &proxy, &format!("{name}:5000"), "--insecure");
    assert!(socks.asked().iter().all(|target| *target == Target::Address(address, 5000)), "{:?}", socks.asked());
}

/// Returns the name of this machine and its address, if it has one that a registry can have.
fn name_of_this_machine() -> Option<(String, Ipv4Addr)> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok()?;
    let name = name.to_ascii_lowercase();
    format!("{name}:5000/app").parse::<regshape::remote::RemoteReference>().ok()?;
    // The first address is the one that is used.
    match (name.as_str(), 5000).to_socket_addrs().ok()?.next()? {
        SocketAddr::V4(address) if !address.ip().is_loopback() => Some((name, *address.ip())),
        _ => None,
    }
}

#[test]
fn a_registry_on_this_machine_is_reached_without_the_proxy() {
    let lab = Lab::new();
    lab.single(&[KIB]);
    let socks = Socks::start(&lab.fake.host(), Manner::Open);
    run(&lab, &format!("socks5h://{}", socks.address), &format!("push l {}/{REPOSITORY}", lab.fake.host())).succeeds();
    lab.has("v1");
    assert!(socks.asked().is_empty());
}

#[test]
fn a_socks_proxy_that_fails_is_named_without_its_password() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hint = "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY";
    for scheme in ["socks5h", "socks5"] {
        for (manner, did) in [
            (Some(Manner::Refuses(1)), "refused: general SOCKS server failure"),
            (Some(Manner::Refuses(2)), "refused: connection not allowed by ruleset"),
            (Some(Manner::Refuses(4)), "refused: host unreachable"),
            (Some(Manner::Refuses(5)), "refused: connection refused"),
            (Some(Manner::Password("me", "other")), "refused: password authentication failed"),
            (Some(Manner::NoMethod), "refused: no acceptable auth methods"),
            (Some(Manner::HangsUp), "closed the connection"),
            (Some(Manner::SpeaksHttp), "does not speak SOCKS5"),
            (None, "takes no connection: Connection refused"),
        ] {
            let lab = Lab::new();
            lab.single(&[KIB]);
            let address = manner.map_or(closed, |manner| Socks::start(&lab.fake.host(), manner).address);
            let proxy = format!("{scheme}://me:hunter2@{address}");
            let error = format!("{ADDRESS}:5000 is not reachable: the proxy {scheme}://{address} {did}");
            for words in ["pull 192.0.2.7:5000/app:v1 new", "push l 192.0.2.7:5000/app"] {
                run(&lab, &proxy, &format!("{words} --insecure --retries 0"))
                    .fails(1, &format!("Error: {error}; {hint}\n"));
            }
            run(&lab, &proxy, "ping -r 192.0.2.7:5000 --insecure").fails(1, &format!("Error: Registry {error}\n"));
            assert!(!lab.path("new").exists() && lab.fake.requests().is_empty());
        }
    }
    // A refusal is final, and is not waited for.
    let lab = Lab::new();
    lab.single(&[KIB]);
    let socks = Socks::start(&lab.fake.host(), Manner::Refuses(2));
    assert_eq!(run(&lab, &format!("socks5h://{}", socks.address), "ping -r 192.0.2.7:5000").status, Some(1));
    assert_eq!(socks.asked().len(), 1);
    // Nothing listens at a proxy of another kind.
    let error = format!("the proxy http://{closed} takes no connection: Connection refused");
    run(&lab, &format!("http://me:hunter2@{closed}"), "ping -r 192.0.2.7:5000")
        .fails(1, &format!("Error: Registry 192.0.2.7:5000 is not reachable: {error}\n"));
    // A name of a proxy that has no address.
    for proxy in ["socks5h://proxy.invalid:1080", "socks5://proxy.invalid:1080", "http://proxy.invalid:1080"] {
        let error = format!("Registry 192.0.2.7:5000 is not reachable: the proxy {proxy} has no known address");
        run(&lab, proxy, "ping -r 192.0.2.7:5000").fails(1, &format!("Error: {error}\n"));
    }
    let error = "registry.invalid is not reachable: its address is not known";
    lab.run("ping -r registry.invalid").fails(1, &format!("Error: Registry {error}\n"));
}
