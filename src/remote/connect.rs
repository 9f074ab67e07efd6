//! Making connections: the addresses that they may lead to, and how one that is not wanted any more is given up.
//!
//! The system neither resolves a name nor connects within a time that can be cut short, and a handshake may drip. So all of it
//! happens on a thread of its own, which is left alone when its result is not wanted any more.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, TcpConnector};
use ureq::{Agent, Error};

use super::address::AddressClass;
use super::proxy_faults::NamedSocksConnector;
use super::tls::{PatientConnector, Tls, TlsConnector};

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a thread that waits looks whether its result is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Connections that are cut together.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) agent: Agent,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    /// Prepares connections. `host` and `port` are the registry's, whose place decides where others may be.
    pub(super) fn new(config: Config, tls: &Arc<Tls>, registry: &Arc<RegistryPlace>) -> Self {
        let is_cut = Arc::new(AtomicBool::new(false));
        let resolver = GuardedResolver { registry: Arc::clone(registry), is_cut: Arc::clone(&is_cut) };
        let chain =
            ().chain(NamedSocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(TlsConnector(Arc::clone(tls)))
                .chain(PatientConnector);
        let connector = Apart { inner: Arc::new(chain), resolver: resolver.clone(), is_cut: Arc::clone(&is_cut) };
        Self { agent: Agent::with_parts(config, connector, resolver), is_cut }
    }

    /// Cuts all connections, those that are being made included. None is made any more.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.agent.clone().shutdown();
    }
}

/// The registry, and where it is once that is known.
#[derive(Debug)]
pub(super) struct RegistryPlace {
    host: String,
    port: u16,
    class: OnceLock<AddressClass>,
}

impl RegistryPlace {
    pub(super) fn new(host: &str, port: u16) -> Arc<Self> {
        Arc::new(Self { host: host.to_owned(), port, class: OnceLock::new() })
    }
}

/// An address that an answer leads to, and that it may not lead to.
#[derive(Debug, thiserror::Error)]
#[error("{host} is at {address}")]
pub(super) struct RefusedAddress {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// Finds addresses. Hosts that answers name are not looked for on this machine and its links, unless the registry is there.
#[derive(Clone, Debug)]
struct GuardedResolver {
    registry: Arc<RegistryPlace>,
    is_cut: Arc<AtomicBool>,
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        // Without a timeout, the resolver of ureq starts no thread.
        let found = if host.parse::<IpAddr>().is_ok() {
            DefaultResolver::default().resolve(uri, config, NextTimeout::default())?
        } else {
            let (uri, config) = (uri.clone(), config.clone());
            let resolve = move || DefaultResolver::default().resolve(&uri, &config, NextTimeout::default());
            apart(&self.is_cut, timeout, resolve)?
        };
        if config.proxy().is_some_and(|proxy| proxy.uri() == uri) {
            return Ok(found);
        }
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        if (host, uri.port_u16().unwrap_or(default_port)) == (self.registry.host.as_str(), self.registry.port) {
            let class = found.iter().map(|address| AddressClass::of(address.ip())).max();
            let _ = self.registry.class.set(class.unwrap_or(AddressClass::Public));
            return Ok(found);
        }
        let registry = self.registry.class.get().copied().unwrap_or(AddressClass::Public);
        match found.iter().find(|address| !AddressClass::of(address.ip()).may_be_reached_from(registry)) {
            Some(address) => {
                Err(Error::Io(io::Error::other(RefusedAddress { host: host.to_owned(), address: address.ip() })))
            }
            None => Ok(found),
        }
    }
}

/// Makes connections on threads of their own.
#[derive(Debug)]
struct Apart<C> {
    inner: Arc<C>,
    resolver: GuardedResolver,
    is_cut: Arc<AtomicBool>,
}

impl<C: Connector> Connector for Apart<C> {
    type Out = C::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        let (inner, resolver) = (Arc::clone(&self.inner), self.resolver.clone());
        let (uri, config, addrs) = (details.uri.clone(), details.config.clone(), details.addrs.clone());
        let (request_level, now, timeout) = (details.request_level, details.now, details.timeout);
        let (current_time, run_connector) = (Arc::clone(&details.current_time), Arc::clone(&details.run_connector));
        let register_shutdown = Arc::clone(&details.register_shutdown);
        let connect = move || {
            let details = ConnectionDetails {
                uri: &uri,
                addrs,
                config: &config,
                request_level,
                resolver: &resolver,
                now,
                timeout,
                current_time,
                run_connector,
                register_shutdown,
            };
            inner.connect(&details, None)
        };
        apart(&self.is_cut, details.timeout, connect)
    }
}

/// Does work that cannot be cut short on a thread of its own, and leaves it alone when it is not wanted any more.
fn apart<T: Send + 'static>(
    is_cut: &AtomicBool,
    timeout: NextTimeout,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let start = Instant::now();
    let (sender, receiver) = sync_channel(1);
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&work);
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let thread = Builder::new().spawn(move || {
        if let Some(work) = take(&theirs) {
            // Nothing receives a result that comes too late.
            let _ = sender.send(work());
        }
    });
    if thread.is_err()
        && let Some(work) = take(&work)
    {
        return work();
    }
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::ConnectionFailed),
            Err(RecvTimeoutError::Timeout) if is_cut.load(Ordering::Relaxed) => {
                return Err(Error::Io(io::ErrorKind::NotConnected.into()));
            }
            // A single step of it ends at the timeout by itself; several of them together end here.
            Err(RecvTimeoutError::Timeout) if start.elapsed() > *timeout.after + LOOK * 10 => {
                return Err(Error::Timeout(timeout.reason));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ureq::Timeout;

    use super::*;

    fn within(limit: Duration) -> NextTimeout {
        NextTimeout { after: limit.into(), reason: Timeout::Connect, ..NextTimeout::default() }
    }

    /// Blocks for as long as a test may last.
    fn hang() -> Result<(), Error> {
        std::thread::park_timeout(Duration::from_secs(60));
        Ok(())
    }

    #[test]
    fn work_that_is_cut_or_takes_too_long_is_left_alone() {
        let start = Instant::now();
        let is_cut = Arc::new(AtomicBool::new(false));
        assert_eq!(apart(&is_cut, within(Duration::from_secs(9)), || Ok(1)).expect("a result"), 1);
        let slow = apart(&is_cut, within(Duration::from_millis(1)), hang);
        assert!(matches!(slow, Err(Error::Timeout(Timeout::Connect))), "{slow:?}");
        let cutter = Arc::clone(&is_cut);
        std::thread::spawn(move || cutter.store(true, Ordering::Relaxed));
        let cut = apart(&is_cut, within(Duration::from_secs(60)), hang);
        assert!(matches!(&cut, Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotConnected), "{cut:?}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
