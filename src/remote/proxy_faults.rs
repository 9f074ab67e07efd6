//! The faults of proxies, told from those of the registries behind them.
//!
//! With `connect`, `http` and `tls`, the only file that names ureq.

use std::fmt;
use std::io;

use ureq::unversioned::transport::{ConnectionDetails, Connector, SocksConnector, Transport};
use ureq::{Error, Proxy, ProxyProtocol, Timeout};

use super::system_errors::{is_cut, is_unknown_name, plain, takes_none};

/// The fault of a proxy whose name has no address.
const UNKNOWN: &str = "has no known address";

/// Connects through a SOCKS proxy, if one is set. Faults of its handshake are [`SocksFault`]s.
#[derive(Debug, Default)]
pub(crate) struct NamedSocksConnector(SocksConnector);

impl<In: Transport> Connector<In> for NamedSocksConnector {
    type Out = <SocksConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained).map_err(|error| match error {
            // It took no connection.
            Error::Io(error) if error.raw_os_error().is_some() && !is_cut(&error) => Error::Io(error),
            Error::Io(error) => Error::Io(io::Error::other(SocksFault(error))),
            error => error,
        })
    }
}

/// The fault of a SOCKS proxy that did not connect.
#[derive(Debug)]
struct SocksFault(io::Error);

impl fmt::Display for SocksFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            error if is_unknown_name(error) => f.write_str(UNKNOWN),
            error if is_cut(error) => f.write_str("closed the connection"),
            error if error.kind() == io::ErrorKind::InvalidData => f.write_str("does not speak SOCKS5"),
            error => write!(f, "refused: {error}"),
        }
    }
}

impl std::error::Error for SocksFault {}

/// Returns the fault of the proxy of an exchange, without its password, and whether another try may succeed; `None` if
/// the fault is not the proxy's.
pub(crate) fn of_proxy(error: &Error, proxy: &Proxy) -> Option<(String, bool)> {
    let (scheme, resolves_here) = match proxy.protocol() {
        ProxyProtocol::Https => ("https", false),
        ProxyProtocol::Socks5 => ("socks5", true),
        ProxyProtocol::Socks5h => ("socks5h", false),
        _ => ("http", false),
    };
    let (did, is_transient) = match error {
        Error::ConnectProxyFailed(reason) => (format!("refused: {reason}"), false),
        Error::Timeout(Timeout::Connect) => ("made no connection in time".to_owned(), true),
        // With SOCKS5 the name is the registry's.
        Error::HostNotFound | Error::Timeout(Timeout::Resolve) if !resolves_here => (UNKNOWN.to_owned(), false),
        Error::Io(error) if is_unknown_name(error) && !resolves_here => (UNKNOWN.to_owned(), false),
        Error::Io(error) if takes_none(error) => {
            (format!("takes no connection: {}", plain(error)), error.kind() != io::ErrorKind::ConnectionRefused)
        }
        Error::Io(error) => {
            let fault: &SocksFault = error.get_ref()?.downcast_ref()?;
            (fault.to_string(), is_cut(&fault.0))
        }
        _ => return None,
    };
    Some((format!("the proxy {scheme}://{}:{} {did}", proxy.host(), proxy.port()), is_transient))
}
