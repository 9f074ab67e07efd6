//! Requests and answers of HTTP/1.1. With `connect`, `tls` and `proxy_faults`, the only file that names ureq.
//!
//! One request is one exchange: redirects, credentials and retries are for others. What the server sends is bounded, and
//! no exchange waits longer than the stall timeout for the next byte. The head of an answer and a body that is read at once
//! must be whole before a deadline; a body that is read piece by piece may take as long as bytes come.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request as HttpRequest};
use ureq::{Agent, SendBody, Timeout};

use super::auth::Credential;
use super::auth::known::KnownSecrets;
use super::calls::{Call, CallObserver};
use super::connect::{CONNECT_TIMEOUT, Line, RefusedAddress, RegistryPlace};
use super::environment::Environment;
use super::proxy::{ProxyScheme, proxy_for};
use super::proxy_faults::of_proxy;
use super::sent_body::{SentBody, SentFrom};
use super::stop::Stop;
use super::system_errors::{is_unknown_name, takes_none};
use super::text::on_one_line;
use super::tls::{Tls, TlsError, TlsOptions};
use super::url::{Origin, Scheme, Url};

/// How long the answer to a closing `PUT` may take: the server moves the blob to its place by then.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_mins(15);

/// The longest time that is waited for anything. The system's clock cannot count much longer ones, and none is meant.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// Bodies from this size on are sent after the server says that it wants them.
const EXPECT_FROM: u64 = 1024 * 1024;

/// How long the server may take to say that it wants a body.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// The size of the buffers of a connection. Bodies are read right into the outer one.
const BUFFER: usize = 256 * 1024;

/// The number of bytes of a document that are read at a time.
const DOCUMENT_PIECE: usize = 16 * 1024;

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The body of a request.
pub(crate) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// Exactly `length` bytes; a reader that ends earlier is an error.
    Stream {
        length: u64,
        reader: &'a mut dyn Read,
    },
}

/// A body that can be sent more than once.
pub(crate) trait Rewind: Read {
    /// Goes back to the first byte.
    fn rewind(&mut self);
}

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: &'a [(&'static str, String)],
    /// How long the next byte may take, unless it is the stall timeout.
    pub(crate) patience: Option<Duration>,
    /// Whether the connection is closed afterwards.
    pub(crate) closes: bool,
}

/// An exchange that brought no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("its address is not known")]
    UnknownHost,
    #[error("{0}")]
    Connect(#[source] io::Error),
    #[error("it sent nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    #[error("its answer was not whole after {} s", .0.as_secs())]
    Slow(Duration),
    /// The work that it was for has ended.
    #[error("the request was cancelled")]
    Stopped,
    #[error("it took no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    #[error("{0}")]
    Tls(TlsError),
    #[error("{host} is at {address}, where only a registry at such an address may lead")]
    Address { host: String, address: IpAddr },
    /// The proxy is at fault.
    #[error("{reason}")]
    Proxy { reason: String, is_transient: bool },
    /// The connection broke.
    #[error("{0}")]
    Broken(#[source] io::Error),
    #[error("its answer is not one of HTTP: {0}")]
    Malformed(String),
    /// The body of the request could not be read.
    #[error("{0}")]
    Body(#[source] io::Error),
}

impl HttpError {
    /// Returns whether another try may bring an answer.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::ConnectionRefused,
            Self::Stalled(_) | Self::ConnectTimeout | Self::Broken(_) => true,
            Self::Proxy { is_transient, .. } => *is_transient,
            Self::UnknownHost | Self::Tls(_) | Self::Address { .. } | Self::Malformed(_) => false,
            Self::Body(_) | Self::Slow(_) | Self::Stopped => false,
        }
    }
}

/// The connections to a registry, and to the hosts that its answers name.
pub(crate) struct Http {
    config: ureq::config::Config,
    line: Mutex<Arc<Line>>,
    registry: Arc<RegistryPlace>,
    tls: Arc<Tls>,
    environment: Environment,
    stall: Duration,
    deadline: Duration,
    observer: Option<CallObserver>,
    secrets: KnownSecrets,
    /// The servers that do not say whether they want a body.
    without_expect: Mutex<HashSet<Origin>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Http").finish_non_exhaustive()
    }
}

/// The settings of connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpOptions {
    pub(crate) tls: TlsOptions,
    pub(crate) environment: Environment,
    /// How long the next byte may take.
    pub(crate) stall: Duration,
    /// How long the head of an answer, or a document, may take as a whole.
    pub(crate) deadline: Duration,
    /// How many idle connections to a host are kept.
    pub(crate) connections: usize,
    pub(crate) observer: Option<CallObserver>,
    /// Those that no text of a server may repeat.
    pub(crate) secrets: KnownSecrets,
}

impl Http {
    /// Prepares connections. `host` and `port` are the registry's; nothing is connected yet.
    pub(crate) fn new(host: &str, port: u16, options: HttpOptions) -> Self {
        let tls = Arc::new(Tls::new(options.tls, host, port));
        let (stall, deadline) = (options.stall.min(LONGEST_TIMEOUT), options.deadline.min(LONGEST_TIMEOUT));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("regshape/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .proxy(None)
            .no_delay(true)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(options.connections * 2)
            .max_idle_connections_per_host(options.connections)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_await_100(Some(CONTINUE_TIMEOUT))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .build();
        let registry = RegistryPlace::new(host, port);
        Self {
            line: Mutex::new(Arc::new(Line::new(config.clone(), &tls, &registry))),
            config,
            registry,
            tls,
            environment: options.environment,
            stall,
            deadline,
            observer: options.observer,
            secrets: options.secrets,
            without_expect: Mutex::default(),
        }
    }

    /// Cuts all exchanges that are on their way. Later ones have connections of their own.
    pub(crate) fn cut(&self) {
        let fresh = Arc::new(Line::new(self.config.clone(), &self.tls, &self.registry));
        let cut = std::mem::replace(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner), fresh);
        cut.cut();
    }

    /// Sends a request and returns the head of the answer. The body is read from the answer.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; [`HttpError::Stopped`] without a request if `stop` is set.
    pub(crate) fn send(&self, request: &Request<'_>, body: Body<'_>, stop: &Stop) -> Result<Answer, HttpError> {
        let line = Arc::clone(&*self.line.lock().unwrap_or_else(PoisonError::into_inner));
        // Looked at after the connections were taken: if it is set later, these are cut.
        if stop.is_set() {
            return Err(HttpError::Stopped);
        }
        if request.url.origin.scheme == Scheme::Https {
            self.tls.check().map_err(HttpError::Tls)?;
        }
        let length = match &body {
            Body::None => None,
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Stream { length, .. } => Some(*length),
        };
        let expects = length.is_some_and(|length| length >= EXPECT_FROM) && self.expects(&request.url.origin);
        let mut head = HttpRequest::builder().method(request.method.as_str()).uri(request.url.as_request());
        for (name, value) in request.headers {
            head = head.header(*name, value);
        }
        if let Some(length) = length {
            head = head.header("content-length", length);
        }
        if expects {
            head = head.header("expect", "100-continue");
        }
        if request.closes {
            head = head.header("connection", "close");
        }
        let start = Instant::now();
        let mut reader = match body {
            Body::None => None,
            Body::Bytes(bytes) => Some(SentBody::new(SentFrom::Bytes(bytes), bytes.len() as u64)),
            Body::Stream { length, reader } => Some(SentBody::new(SentFrom::Reader(reader), length)),
        };
        let proxy = self.proxy(&request.url.origin)?;
        let result = self.exchange(&line.agent, head, reader.as_mut(), proxy.clone(), request.patience);
        let sent = reader.as_ref().map_or(0, |reader| reader.sent);
        if expects {
            let first_read = reader.as_ref().and_then(|reader| reader.first_read);
            let was_silent = match (&result, first_read) {
                (_, Some(first_read)) => first_read.duration_since(start) >= CONTINUE_TIMEOUT,
                (Ok(answer), None) => answer.status().as_u16() == 417,
                (Err(error), None) => matches!(error, ureq::Error::Timeout(_)) || is_odd_continue(error),
            };
            if was_silent {
                self.without_expect.lock().unwrap_or_else(PoisonError::into_inner).insert(request.url.origin.clone());
            }
        }
        let failed_body = reader.and_then(|reader| reader.failed);
        let mut call = Call::begun(request.method.as_str(), request.url.to_string(), request.headers, start);
        call.bytes_sent = sent;
        match result {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                call.answered(parts.status.as_u16(), &parts.headers);
                Ok(Answer {
                    status: parts.status.as_u16(),
                    headers: parts.headers,
                    body: Some(body),
                    report: self.report(call),
                    url: request.url.clone(),
                    stall: self.stall,
                    deadline: self.deadline,
                })
            }
            Err(error) => {
                let error = match failed_body {
                    Some(error) => HttpError::Body(error),
                    None => match proxy.and_then(|proxy| of_proxy(&error, &proxy)) {
                        Some((reason, is_transient)) => HttpError::Proxy { reason, is_transient },
                        None => self.failure(error, request.patience.unwrap_or(self.stall)),
                    },
                };
                call.failed(error.to_string());
                self.report(call).send();
                Err(error)
            }
        }
    }

    fn exchange(
        &self,
        agent: &Agent,
        head: ureq::http::request::Builder,
        reader: Option<&mut SentBody<'_>>,
        proxy: Option<ureq::Proxy>,
        patience: Option<Duration>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let patience = patience.unwrap_or(self.stall);
        let whole = self.deadline.max(patience);
        match reader {
            None => {
                let request = agent.configure_request(head.body(())?).proxy(proxy);
                agent.run(request.timeout_per_read(Some(patience)).timeout_recv_response(Some(whole)).build())
            }
            Some(reader) => {
                let request = agent.configure_request(head.body(SendBody::from_reader(reader))?).proxy(proxy);
                agent.run(request.timeout_per_read(Some(patience)).timeout_recv_response(Some(whole)).build())
            }
        }
    }

    fn report(&self, call: Call) -> Report {
        Report { call, observer: self.observer.clone(), secrets: self.secrets.clone() }
    }

    /// Returns the proxy for a server, if there is one.
    fn proxy(&self, origin: &Origin) -> Result<Option<ureq::Proxy>, HttpError> {
        let unusable = |reason: String| HttpError::Proxy { reason, is_transient: false };
        let found = proxy_for(origin.scheme.as_str(), &origin.host, origin.port, &self.environment);
        let Some(found) = found.map_err(|error| unusable(error.to_string()))? else { return Ok(None) };
        let protocol = match found.scheme {
            ProxyScheme::Http => ureq::ProxyProtocol::Http,
            ProxyScheme::Https => ureq::ProxyProtocol::Https,
            ProxyScheme::Socks5 => ureq::ProxyProtocol::Socks5,
            ProxyScheme::Socks5h => ureq::ProxyProtocol::Socks5h,
        };
        let mut proxy = ureq::Proxy::builder(protocol).host(&found.host).port(found.port);
        if !found.user.is_empty() || found.password.is_some() {
            proxy = proxy.username(&found.user);
        }
        if let Some(password) = &found.password {
            let (user, secret) = (found.user.clone(), password.clone());
            self.secrets.learn_credential(&Credential::Password { user, password: secret });
            proxy = proxy.password(password.expose());
        }
        proxy.build().map(Some).map_err(|error| unusable(error.to_string()))
    }

    fn expects(&self, origin: &Origin) -> bool {
        !self.without_expect.lock().unwrap_or_else(PoisonError::into_inner).contains(origin)
    }

    fn failure(&self, error: ureq::Error, patience: Duration) -> HttpError {
        match error {
            ureq::Error::HostNotFound | ureq::Error::Timeout(Timeout::Resolve) => HttpError::UnknownHost,
            ureq::Error::Timeout(Timeout::Connect) => HttpError::ConnectTimeout,
            ureq::Error::Timeout(Timeout::RecvResponse) => HttpError::Slow(self.deadline.max(patience)),
            ureq::Error::Timeout(_) => HttpError::Stalled(patience),
            ureq::Error::Io(error) => of_io(error),
            ureq::Error::ConnectionFailed => HttpError::Connect(io::ErrorKind::NotConnected.into()),
            // The next try does not ask.
            error if is_odd_continue(&error) => HttpError::Broken(io::ErrorKind::ConnectionReset.into()),
            ureq::Error::BodyStalled => HttpError::Stalled(patience),
            ureq::Error::Protocol(error) => HttpError::Malformed(error.to_string()),
            ureq::Error::LargeResponseHeader(..) => HttpError::Malformed("its headers are too large".to_owned()),
            error => HttpError::Malformed(error.to_string()),
        }
    }
}

/// Returns whether a server said that it wants a body in a way that ureq does not take: with headers.
fn is_odd_continue(error: &ureq::Error) -> bool {
    // ureq does not export the type of this error.
    matches!(error, ureq::Error::Protocol(error) if error.to_string().contains("100-continue"))
}

fn of_io(error: io::Error) -> HttpError {
    if let Some(tls) = TlsError::of_handshake(&error) {
        return HttpError::Tls(tls);
    }
    if let Some(refused) = error.get_ref().and_then(|inner| inner.downcast_ref::<RefusedAddress>()) {
        return HttpError::Address { host: refused.host.clone(), address: refused.address };
    }
    if is_unknown_name(&error) {
        return HttpError::UnknownHost;
    }
    if takes_none(&error) { HttpError::Connect(error) } else { HttpError::Broken(error) }
}

/// An answer. Its body is read once.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Option<ureq::Body>,
    report: Report,
    /// The URL that answered.
    pub(crate) url: Url,
    stall: Duration,
    deadline: Duration,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// Returns the value of a header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the secrets that no text of this answer may repeat.
    pub(crate) fn secrets(&self) -> KnownSecrets {
        self.report.secrets.clone()
    }

    /// Returns text of this answer as an error may repeat it: on one line, without secrets.
    pub(crate) fn shown(&self, text: &str) -> String {
        on_one_line(&self.report.secrets.redact(text))
    }

    /// Returns the values of a header that can stand more than once.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the bytes of a header that can stand more than once.
    pub(crate) fn all_bytes(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(name).iter().map(ureq::http::HeaderValue::as_bytes)
    }

    /// Returns the length of the body, if the server says it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length").and_then(|length| length.trim().parse().ok())
    }

    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; `None` if it has more than `limit` bytes.
    pub(crate) fn bytes(mut self, limit: u64) -> Result<Option<Vec<u8>>, HttpError> {
        let mut bytes = Vec::new();
        self.read_body(limit + 1, &mut bytes)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Reads the beginning of the body; what fails is left out.
    pub(crate) fn beginning(mut self, limit: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.read_body(limit, &mut bytes);
        bytes
    }

    fn read_body(&mut self, limit: u64, bytes: &mut Vec<u8>) -> Result<(), HttpError> {
        let Some(body) = self.body.take() else { return Ok(()) };
        let mut reader = body.into_reader().take(limit);
        let (start, mut buffer) = (Instant::now(), vec![0; DOCUMENT_PIECE]);
        loop {
            let read = reader.read(&mut buffer).map_err(|error| of_body(error, self.stall))?;
            bytes.extend_from_slice(&buffer[..read]);
            self.report.call.received(read);
            if read == 0 {
                return Ok(());
            }
            if start.elapsed() > self.deadline {
                return Err(HttpError::Slow(self.deadline));
            }
        }
    }

    /// Returns a reader of the body, whose errors carry [`HttpError`].
    pub(crate) fn reader(mut self) -> AnswerReader {
        let reader = self.body.take().map(ureq::Body::into_reader);
        AnswerReader { reader, answer: self, document_since: None }
    }
}

fn of_body(error: io::Error, stall: Duration) -> HttpError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => HttpError::Stalled(stall),
        _ => of_io(error),
    }
}

/// Reads the body of an answer.
pub(crate) struct AnswerReader {
    reader: Option<ureq::BodyReader<'static>>,
    answer: Answer,
    /// When the reading began, if the body must be whole before the deadline of documents.
    document_since: Option<Instant>,
}

impl AnswerReader {
    /// Has the body be whole before the deadline of documents.
    pub(crate) fn into_document(self) -> Self {
        Self { document_since: Some(Instant::now()), ..self }
    }

    /// Reads the next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Result<usize, HttpError> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let read = reader.read(buffer).map_err(|error| of_body(error, self.answer.stall))?;
        self.answer.report.call.received(read);
        let deadline = self.answer.deadline;
        if read > 0 && self.document_since.is_some_and(|since| since.elapsed() > deadline) {
            return Err(HttpError::Slow(deadline));
        }
        Ok(read)
    }
}

/// Reports an exchange when its answer has been read.
struct Report {
    call: Call,
    observer: Option<CallObserver>,
    secrets: KnownSecrets,
}

impl Report {
    fn send(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if let Some(observer) = self.observer.take() {
            self.call.end();
            self.call.redact(&self.secrets);
            observer.observe(&self.call);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.finish();
    }
}
