//! The server: a thread for each connection, the rules, and the log.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::body::{Body, BodyError, BodyPlan};
use super::http::{self, Answer, Framing, HeadError, Request, Stream};
use super::rules::{Effects, Rules};
use super::tls::{self, ServerConfig};
use super::wire;

/// The most of an unread body that is read before an early answer, as Go's server does.
const DRAINED: u64 = 256 * 1024;

/// How long a connection stays after an early answer, so that the client can read it.
const LINGER: Duration = Duration::from_millis(50);

/// The work behind the server.
pub(crate) trait Handler: Send + Sync {
    /// Answers a request. An error of the body needs no answer of its own.
    fn answer(&self, request: &Request, body: &mut Body<'_>) -> Answer;
}

/// A request that was answered, or cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logged {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The status of the answer; 0 if there was none.
    pub(crate) status: u16,
    pub(crate) body_bytes_received: u64,
    /// The number of the connection, from 1.
    pub(crate) connection: u64,
    pub(crate) authorization: Option<String>,
    pub(crate) port: u16,
    /// When the head had come, counted from the start of the server.
    pub(crate) at: Duration,
}

impl Logged {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the method, the path and the status on a line.
    pub(crate) fn line(&self) -> String {
        format!("{} {} {}", self.method, self.path, self.status)
    }
}

/// What the server itself does, apart from the handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How late every answer is.
    pub(crate) delay: Duration,
    /// The maximum length of a body; longer ones get 413 before anything else looks at them.
    pub(crate) body_limit: Option<u64>,
    /// Whether `Expect: 100-continue` is honoured.
    pub(crate) honours_expect: bool,
    /// The maximum number of requests on a connection.
    pub(crate) requests_per_connection: Option<u64>,
}

/// A flag that ends all waiting.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits, and returns whether the server goes on.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let is_set = lock(&self.is_set);
        let (is_set, _) = self.changed.wait_timeout_while(is_set, time, |is_set| !*is_set).expect("not poisoned");
        !*is_set
    }

    fn wait_for_ever(&self) {
        let is_set = lock(&self.is_set);
        drop(self.changed.wait_while(is_set, |is_set| !*is_set).expect("not poisoned"));
    }

    pub(crate) fn is_set(&self) -> bool {
        *lock(&self.is_set)
    }

    fn set(&self) {
        *lock(&self.is_set) = true;
        self.changed.notify_all();
    }
}

/// Locks a mutex. A panic of another thread does not matter: the test that caused it fails by itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Core {
    handler: Arc<dyn Handler>,
    tls: Option<Arc<ServerConfig>>,
    settings: Mutex<Settings>,
    rules: Mutex<Rules>,
    log: Mutex<Vec<Logged>>,
    received: AtomicU64,
    connections: AtomicU64,
    failed_handshakes: AtomicU64,
    active: AtomicU64,
    most_active: AtomicU64,
    start: Instant,
    open: Mutex<HashMap<u64, TcpStream>>,
    stop: Stop,
}

/// A running server. It stops when it is dropped.
pub(crate) struct Server {
    core: Arc<Core>,
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server on some ports.
    pub(crate) fn start(
        listeners: Vec<TcpListener>,
        tls: Option<Arc<ServerConfig>>,
        settings: Settings,
        handler: Arc<dyn Handler>,
    ) -> Self {
        let core = Arc::new(Core {
            handler,
            tls,
            settings: Mutex::new(settings),
            rules: Mutex::default(),
            log: Mutex::default(),
            received: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            active: AtomicU64::new(0),
            most_active: AtomicU64::new(0),
            start: Instant::now(),
            open: Mutex::default(),
            stop: Stop::default(),
        });
        let addresses = listeners.iter().map(|listener| listener.local_addr().expect("a bound port")).collect();
        let accepting = |listener| {
            let core = Arc::clone(&core);
            thread::spawn(move || accept(&core, &listener))
        };
        let threads = listeners.into_iter().map(accepting).collect();
        Self { core, addresses, threads }
    }

    /// Returns the addresses, in the order of the listeners.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.core.rules)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Vec<Logged>> {
        lock(&self.core.log)
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.core.settings)
    }

    /// Returns the bytes of all bodies so far, of those under way and of cut ones too.
    pub(crate) fn bytes_received(&self) -> u64 {
        self.core.received.load(Ordering::Relaxed)
    }

    /// Returns the number of connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.core.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of TLS handshakes that failed.
    pub(crate) fn failed_handshakes(&self) -> u64 {
        self.core.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Returns the maximum number of requests that were under way at once since the last call.
    pub(crate) fn take_most_active(&self) -> u64 {
        self.core.most_active.swap(self.core.active.load(Ordering::SeqCst), Ordering::SeqCst)
    }

    /// Closes all connections; new ones are accepted.
    pub(crate) fn cut_connections(&self) {
        for stream in lock(&self.core.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until the server is stopped, which is never.
    pub(crate) fn wait(mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.core.stop.set();
        for address in &self.addresses {
            // Wakes the thread that accepts. Not every system connects to the unspecified address.
            let mut address = *address;
            if address.ip().is_unspecified() {
                address.set_ip(if address.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() });
            }
            let _ = TcpStream::connect(address);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.cut_connections();
    }
}

fn accept(core: &Arc<Core>, listener: &TcpListener) {
    let port = listener.local_addr().expect("a bound port").port();
    loop {
        let Ok((stream, _)) = listener.accept() else { continue };
        if core.stop.is_set() {
            return;
        }
        let number = core.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(clone) = stream.try_clone() else { continue };
        lock(&core.open).insert(number, clone);
        let core = Arc::clone(core);
        thread::spawn(move || {
            let _open = Open { core: &core, number };
            let _ = stream.set_nodelay(true);
            if let Some(stream) = secured(&core, stream) {
                serve(&core, BufReader::with_capacity(64 * 1024, stream), number, port);
            }
        });
    }
}

/// A connection in the list of open ones.
struct Open<'a> {
    core: &'a Core,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(stream) = lock(&self.core.open).remove(&self.number) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Shakes hands if the server speaks TLS, and tells a client that does not as Go's server does.
fn secured(core: &Core, mut stream: TcpStream) -> Option<Stream> {
    let Some(config) = &core.tls else { return Some(Stream::Plain(stream)) };
    let mut first = [0];
    if stream.peek(&mut first).ok()? == 0 {
        return None;
    }
    if first[0] != tls::HANDSHAKE {
        let text = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        core.stop.wait(LINGER);
        return None;
    }
    let session = tls::accept(Arc::clone(config), stream);
    if session.is_none() {
        core.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }
    session.map(Stream::Tls)
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Active<'a>(Option<&'a AtomicU64>);

impl<'a> Active<'a> {
    fn new(core: &'a Core) -> Self {
        let count = core.active.fetch_add(1, Ordering::SeqCst) + 1;
        core.most_active.fetch_max(count, Ordering::SeqCst);
        Self(Some(&core.active))
    }

    /// Ends the request, before its last bytes are sent: the client's next one may come before the write returns.
    pub(crate) fn end(&mut self) {
        if let Some(active) = self.0.take() {
            active.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a connection goes on after a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Request,
    Close,
    /// The client gets some time to read the answer.
    Linger,
    /// The connection stays open and silent.
    Hold,
}

fn serve(core: &Core, mut reader: BufReader<Stream>, number: u64, port: u16) {
    let mut count = 0;
    let next = loop {
        let mut request = match http::read_head(&mut reader) {
            Ok(Some(request)) => request,
            Ok(None) | Err(HeadError::Lost) => return,
            Err(HeadError::Bad(status, reason)) => {
                log(core, &Request { connection: number, port, ..Request::default() }, status, 0);
                let answer = Answer::new(status).header("Content-Type", "text/plain").body(format!("{reason}\n"));
                let _ = wire::send(
                    reader.get_mut(),
                    &answer,
                    &Effects::default(),
                    false,
                    true,
                    &core.stop,
                    &mut Active(None),
                );
                break Next::Linger;
            }
        };
        count += 1;
        request.connection = number;
        request.port = port;
        request.at = core.start.elapsed();
        request.is_secure = core.tls.is_some();
        let is_last = lock(&core.settings).requests_per_connection.is_some_and(|most| count >= most);
        match exchange(core, &mut reader, request, is_last) {
            Next::Request => {}
            next => break next,
        }
    };
    match next {
        Next::Hold => core.stop.wait_for_ever(),
        Next::Linger => {
            wire::close(reader.get_mut());
            core.stop.wait(LINGER);
        }
        Next::Request | Next::Close => {}
    }
}

/// Answers one request.
fn exchange(core: &Core, reader: &mut BufReader<Stream>, mut request: Request, is_last: bool) -> Next {
    let mut active = Active::new(core);
    let settings = *lock(&core.settings);
    let effects = lock(&core.rules).fire(&request);
    request.expires_token = effects.expires_token;
    if !core.stop.wait(settings.delay + effects.delay) {
        return Next::Close;
    }
    if effects.stalls {
        log(core, &request, 0, 0);
        return Next::Hold;
    }
    if effects.sends_continue_headers {
        let text = b"HTTP/1.1 100 Continue\r\nX-Reason: none\r\nX-Other: 1\r\n\r\n";
        if reader.get_mut().write_all(text).and_then(|()| reader.get_mut().flush()).is_err() {
            return Next::Close;
        }
    }
    let plan = BodyPlan {
        cut_after: effects.cut_up.filter(|after| request.framing() != Framing::Length(*after)),
        stall_after: effects.stall_up,
        limit: settings.body_limit,
        drip: effects.drip_up,
        sends_continue: request.expects_continue()
            && settings.honours_expect
            && !effects.withholds_continue
            && !effects.sends_continue_headers,
    };
    let is_too_large =
        matches!((plan.limit, request.framing()), (Some(limit), Framing::Length(length)) if length > limit);
    let mut body = Body::new(reader, &request, plan, &core.received);
    let too_large =
        || Answer::new(413).header("Content-Type", "text/html").body("<html>413 Request Entity Too Large</html>");
    let mut answer = match &effects.instead {
        Some(answer) if plan.cut_after.is_none() && plan.stall_after.is_none() => answer.clone(),
        // A status and a cut together: the body is read up to the cut, and thrown away.
        Some(answer) => {
            let mut buffer = vec![0; 64 * 1024];
            while body.read(&mut buffer).is_ok_and(|read| read > 0) {}
            answer.clone()
        }
        None if is_too_large => too_large(),
        None => core.handler.answer(&request, &mut body),
    };
    // A client that waits for `100 Continue` sends no body after another answer.
    if !body.is_awaited() {
        let mut buffer = vec![0; 64 * 1024];
        let mut drained = 0;
        while !body.is_done() && drained < DRAINED {
            match body.read(&mut buffer) {
                Ok(read) => drained += read as u64,
                Err(_) => break,
            }
        }
    }
    match body.failure() {
        Some(BodyError::Cut) => {
            log(core, &request, 0, body.bytes_read());
            return Next::Close;
        }
        Some(BodyError::Stalled) => {
            log(core, &request, 0, body.bytes_read());
            return Next::Hold;
        }
        Some(BodyError::TooLarge) => answer = too_large(),
        Some(BodyError::Malformed) => answer = Answer::new(400),
        None => {}
    }
    let (bytes_read, is_whole) = (body.bytes_read(), body.is_done());
    if effects.drops_answer {
        log(core, &request, 0, bytes_read);
        return Next::Close;
    }
    effects.apply(&mut answer, &request);
    log(core, &request, answer.status, bytes_read);
    if !core.stop.wait(effects.answer_delay) {
        return Next::Close;
    }
    let closes = is_last || !is_whole || request.closes();
    match wire::send(reader.get_mut(), &answer, &effects, request.method == "HEAD", closes, &core.stop, &mut active) {
        Ok(wire::End::Whole) if !is_whole => Next::Linger,
        Ok(wire::End::Whole) if closes => {
            wire::close(reader.get_mut());
            Next::Close
        }
        Ok(wire::End::Whole) => Next::Request,
        Ok(wire::End::Held) => Next::Hold,
        Ok(wire::End::Cut) | Err(_) => Next::Close,
    }
}

fn log(core: &Core, request: &Request, status: u16, body_bytes_received: u64) {
    lock(&core.log).push(Logged {
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        headers: request.headers.clone(),
        status,
        body_bytes_received,
        connection: request.connection,
        authorization: request.header("authorization").map(str::to_owned),
        port: request.port,
        at: request.at,
    });
}
