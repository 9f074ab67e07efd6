//! The client of a registry: one function for each endpoint of the distribution-spec.
//!
//! This file has what all endpoints need: credentials, redirects and retries. An endpoint asks once and says what the
//! answer means.

mod blobs;
mod lists;
mod manifests;
mod ping;
mod uploads;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use blobs::{BlobBody, BlobState};
pub(crate) use manifests::{Fetched, ManifestReference, ManifestState, Precondition};
pub use ping::Ping;
pub(crate) use uploads::{Started, UploadSession, UploadStatus};

use super::auth::Secret;
use super::auth::challenge::{Challenge, parse_challenges};
use super::auth::known::KnownSecrets;
use super::auth::scope::Scope;
use super::auth::session::Session;
use super::host::RegistryHost;
use super::http::{Answer, Body, Http, HttpError, HttpOptions, Method, Request, Rewind};
use super::options::ConnectionOptions;
use super::redirect::{Guard, MOST_REDIRECTS, is_redirect, keeps_method};
use super::refusal;
use super::retry::{Failure, Policy, Tries, is_transient, retry_after};
use super::stop::Stop;
use super::tls::{TlsError, TlsOptions};
use super::url::{Origin, Scheme, Url};
use super::wire::Wire;
use crate::error::RemoteError;
use crate::oci::RepositoryName;

/// A client of one registry. It can be used by many threads at once.
///
/// ```no_run
/// use regshape::remote::{Client, ConnectionOptions};
///
/// let client = Client::new("ghcr.io".parse()?, None, &ConnectionOptions::default());
/// println!("{:?}", client.ping()?.api_version);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    shared: Arc<Shared>,
    /// Whether the work that this client is for has ended.
    stop: Stop,
}

/// The part that the clients of one registry share.
struct Shared {
    host: RegistryHost,
    http: Http,
    session: Session,
    policy: Policy,
    /// Whether plain HTTP is spoken.
    is_plain: AtomicBool,
    may_become_plain: bool,
    /// Whether the registry has answered. Until then one request is sent at a time, so that those of many threads do not all
    /// come without credentials.
    has_answered: AtomicBool,
    first: Mutex<()>,
    requests: AtomicU64,
    secrets: KnownSecrets,
}

/// Why an answer may be a page.
const BEHIND_A_PAGE: &str = "a login page or a proxy may stand before the registry";

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("host", &self.shared.host).finish_non_exhaustive()
    }
}

/// A request, before credentials and redirects.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) scope: &'a Scope,
    /// How long the next byte may take, unless it is the stall timeout.
    pub(crate) patience: Option<Duration>,
    /// Whether the connection is closed afterwards.
    pub(crate) closes: bool,
}

impl<'a> Ask<'a> {
    fn new(method: Method, url: Url, scope: &'a Scope) -> Self {
        Self { method, url, headers: Vec::new(), scope, patience: None, closes: false }
    }

    fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The body of a request, which can be sent more than once.
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// Opens a reader of exactly so many bytes.
    Stream {
        length: u64,
        reader: &'a mut dyn Rewind,
    },
}

impl Client {
    /// Prepares a client. Nothing is connected yet. The repository chooses among credentials that are stored for parts of
    /// a registry.
    pub fn new(host: RegistryHost, repository: Option<&RepositoryName>, options: &ConnectionOptions) -> Self {
        let scheme = if options.insecure { Scheme::Http } else { Scheme::Https };
        let api = origin_of(&host, scheme);
        let secrets = KnownSecrets::default();
        let http = HttpOptions {
            tls: TlsOptions {
                ca_file: options.ca_file.clone(),
                client: options.client_certificate.clone(),
                directories: options.certificate_directories.clone(),
                trusts_all: options.skip_tls_verify,
            },
            environment: options.environment.clone(),
            stall: options.stall_timeout,
            deadline: options.document_timeout,
            connections: options.requests_at_once.max(1),
            observer: options.observer.clone(),
            secrets: secrets.clone(),
        };
        let (credentials, asked, repository) = (options.credentials.clone(), host.clone(), repository.cloned());
        let find = move || credentials.find(&asked, repository.as_ref());
        let shared = Shared {
            http: Http::new(&api.host, api.port, http),
            session: Session::new(host.to_string(), Box::new(find), secrets.clone()),
            policy: Policy::new(options.clock.clone(), options.retries, options.requests_at_once.max(1))
                .telling(host.to_string(), options.waits.clone()),
            is_plain: AtomicBool::new(options.insecure),
            has_answered: AtomicBool::new(false),
            first: Mutex::new(()),
            may_become_plain: !options.insecure && host.is_loopback(),
            requests: AtomicU64::new(0),
            secrets,
            host,
        };
        Self { shared: Arc::new(shared), stop: Stop::default() }
    }

    /// Returns a client for a piece of work, whose requests can be ended together. It shares everything else with this one.
    pub(crate) fn stoppable(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), stop: Stop::default() }
    }

    /// Ends the work of this client: no request begins any more, and those on their way are cut. Requests of other work
    /// that are cut with them are sent again. Returns whether it had ended before.
    pub(crate) fn stop(&self) -> bool {
        let had_ended = self.stop.set();
        if !had_ended {
            self.shared.http.cut();
            self.shared.policy.look_up();
        }
        had_ended
    }

    /// Returns whether the work of this client has ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    fn wire(&self) -> Wire<'_> {
        Wire { http: &self.shared.http, stop: &self.stop }
    }

    /// Returns the registry.
    pub fn host(&self) -> &RegistryHost {
        &self.shared.host
    }

    /// Returns how many requests were sent, those for tokens not counted.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Returns how many requests were sent again.
    pub fn retries(&self) -> u64 {
        self.shared.policy.retried()
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    fn origin(&self) -> Origin {
        let scheme = if self.is_plain() { Scheme::Http } else { Scheme::Https };
        origin_of(&self.shared.host, scheme)
    }

    fn is_plain(&self) -> bool {
        self.shared.is_plain.load(Ordering::Relaxed)
    }

    /// Speaks plain HTTP from now on.
    fn become_plain(&self) {
        self.shared.is_plain.store(true, Ordering::Relaxed);
    }

    fn guard(&self) -> Guard {
        Guard { registry: self.origin(), secrets: self.shared.secrets.clone() }
    }

    /// Returns a URL as the registry is connected to by now: one that was made before it was known to speak plain HTTP is
    /// changed.
    fn at_registry(&self, url: &Url) -> Url {
        if self.is_plain() && self.shared.may_become_plain && self.is_https_of_registry(url) {
            return url.at(self.origin());
        }
        url.clone()
    }

    fn is_https_of_registry(&self, url: &Url) -> bool {
        url.origin == origin_of(&self.shared.host, Scheme::Https)
    }

    /// Returns the URL of a path of the registry.
    fn url(&self, path: &str) -> Url {
        Url::new(self.origin(), path)
    }

    /// Begins to count the tries of a request.
    pub(crate) fn tries(&self) -> Tries {
        self.shared.policy.tries()
    }

    /// Waits before a request is sent again; the error, if it will last or there were enough tries.
    pub(crate) fn pause(&self, tries: &mut Tries, failure: Failure) -> Result<(), RemoteError> {
        self.shared.policy.pause(tries, failure, &self.shared.host.to_string(), &self.stop)
    }

    /// Takes another try of a request whose error is no fault of the connection. Returns whether one is left.
    pub(crate) fn takes_another(&self, tries: &mut Tries) -> bool {
        !self.is_stopped() && self.shared.policy.takes_another(tries)
    }

    /// Waits for a registry that does not see yet what it took.
    pub(crate) fn wait_for_registry(&self, attempt: usize) {
        let pause = Duration::from_millis(500) * u32::try_from(attempt).unwrap_or(u32::MAX);
        self.shared.policy.clock().sleep_unless(pause, &|| self.is_stopped());
    }

    /// Waits because another client changed what this one wanted to change.
    pub(crate) fn pause_for_others(&self, attempt: usize) {
        self.shared.policy.pause_for_others(attempt, &self.stop);
    }

    /// Asks until there is an answer that will not be another one after a while.
    fn ask(&self, ask: &Ask<'_>, payload: &[u8], tries: &mut Tries) -> Result<Answer, RemoteError> {
        loop {
            let payload = if payload.is_empty() { Payload::None } else { Payload::Bytes(payload) };
            match self.ask_once(ask, payload) {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause(tries, failure)?,
            }
        }
    }

    /// Asks once: with credentials, and along redirects. An answer that may be another one after a while is a failure.
    pub(crate) fn ask_once(&self, ask: &Ask<'_>, payload: Payload<'_>) -> Result<Answer, Failure> {
        if self.shared.has_answered.load(Ordering::Relaxed) {
            return self.ask_along(ask, payload);
        }
        let first = self.shared.first.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.has_answered.load(Ordering::Relaxed) {
            drop(first);
            return self.ask_along(ask, payload);
        }
        let answer = self.ask_along(ask, payload)?;
        self.shared.has_answered.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Asks with credentials, and along redirects.
    fn ask_along(&self, ask: &Ask<'_>, mut payload: Payload<'_>) -> Result<Answer, Failure> {
        let _slot = self.shared.policy.slot(&self.stop);
        let mut url = self.at_registry(&ask.url);
        let mut redirects = 0;
        let mut was_unexpected = false;
        let mut refusals = 0;
        loop {
            let guard = self.guard();
            let is_registry = guard.is_registry(&url);
            let authorization = if is_registry {
                self.shared.session.authorization(ask.scope, self.shared.policy.clock(), self.wire(), &guard)?
            } else {
                None
            };
            let mut headers = ask.headers.clone();
            headers.extend(authorization.iter().map(|value| ("authorization", value.expose().to_owned())));
            let request = Request {
                method: ask.method,
                url: &url,
                headers: &headers,
                patience: ask.patience,
                closes: ask.closes,
            };
            self.shared.requests.fetch_add(1, Ordering::Relaxed);
            let sent = match &mut payload {
                Payload::None => self.wire().send(&request, Body::None),
                Payload::Bytes(bytes) => self.wire().send(&request, Body::Bytes(bytes)),
                Payload::Stream { length, reader } => {
                    reader.rewind();
                    self.wire().send(&request, Body::Stream { length: *length, reader })
                }
            };
            let answer = match sent {
                Ok(answer) => answer,
                Err(HttpError::Tls(TlsError::PlainHttp))
                    if self.shared.may_become_plain && self.is_https_of_registry(&url) =>
                {
                    // Nothing was asked yet.
                    self.shared.requests.fetch_sub(1, Ordering::Relaxed);
                    self.become_plain();
                    url = self.at_registry(&url);
                    continue;
                }
                Err(error) => return Err(guard.unreachable(&url, error)),
            };
            let status = answer.status;
            let wait = self.retry_after(&answer);
            if is_registry {
                self.shared.policy.answered(status, wait);
            }
            if status == 401 && is_registry {
                if refusals < 2 && self.renew(ask, &answer, authorization.as_ref(), &guard)? {
                    refusals += 1;
                    continue;
                }
                return Err(Failure::lasting(self.unauthorized(answer, authorization.is_some())));
            }
            if status == 417 && !was_unexpected {
                // The server does not know Expect; it is not sent again.
                was_unexpected = true;
                continue;
            }
            if is_redirect(status) && keeps_method(status, ask.method) {
                redirects += 1;
                let location = answer.header("location").map(str::to_owned);
                let Some(location) = location.filter(|_| redirects <= MOST_REDIRECTS) else {
                    return Err(Failure::lasting(self.odd(match redirects {
                        0..=MOST_REDIRECTS => "redirects without saying where".to_owned(),
                        _ => format!("redirects more than {MOST_REDIRECTS} times"),
                    })));
                };
                url = guard.location(&url, &location).map_err(Failure::lasting)?;
                continue;
            }
            if matches!(status, 200..=299) && ask.method != Method::Get && is_page(&answer) {
                // A page confirms nothing: the server did not do it.
                return Err(Failure::lasting(self.page(ask.method, answer.url.path())));
            }
            if is_transient(status) {
                let failure = Failure::lasting(self.refusal(answer, ask.method));
                return Err(Failure { is_transient: true, retry_after: wait, status: Some(status), ..failure });
            }
            return Ok(answer);
        }
    }

    /// Returns how long an answer asks to wait before the next request.
    fn retry_after(&self, answer: &Answer) -> Option<Duration> {
        answer.header("retry-after").and_then(|value| retry_after(value, self.shared.policy.clock().date()))
    }

    /// Learns from a 401. Returns whether another try makes sense.
    fn renew(&self, ask: &Ask<'_>, answer: &Answer, refused: Option<&Secret>, guard: &Guard) -> Result<bool, Failure> {
        let mut challenges = parse_challenges(answer.all_bytes("www-authenticate"));
        if challenges.is_empty() && ask.url.path() != "/v2/" {
            // Some registries name the realm at their root only.
            let url = self.url("/v2/");
            let request = Request { method: Method::Get, url: &url, headers: &[], patience: None, closes: false };
            self.shared.requests.fetch_add(1, Ordering::Relaxed);
            let root = self.wire().send(&request, Body::None).map_err(|error| guard.unreachable(&url, error))?;
            challenges = parse_challenges(root.all_bytes("www-authenticate"));
        }
        self.shared.session.challenged(&challenges, ask.scope, refused, guard).map_err(Failure::lasting)
    }

    fn unauthorized(&self, answer: Answer, sent_credentials: bool) -> RemoteError {
        let had_credentials = self.shared.session.has_credential();
        let challenges = parse_challenges(answer.all_bytes("www-authenticate"));
        let names_scope = |challenge: &Challenge| matches!(challenge, Challenge::Bearer { error: Some(error), .. } if error == "insufficient_scope");
        let said = refusal::said(answer).message;
        let reason = match (had_credentials, said) {
            (true, _) if challenges.iter().any(names_scope) => "the credentials do not allow this".to_owned(),
            (_, Some(said)) => said,
            (true, None) => "authentication rejected".to_owned(),
            (false, None) if sent_credentials => "anonymous access is not enough".to_owned(),
            (false, None) => "it wants credentials".to_owned(),
        };
        RemoteError::Unauthorized { host: self.shared.host.to_string(), reason, had_credentials }
    }

    /// Makes the error of an answer that was not expected.
    fn refusal(&self, answer: Answer, method: Method) -> RemoteError {
        let url = answer.url.clone();
        let guard = self.guard();
        let host = if guard.is_registry(&url) { self.shared.host.to_string() } else { url.origin.authority() };
        refusal::error(answer, &host, method, &url)
    }

    /// Makes the error of an answer that no registry gives.
    fn odd(&self, problem: impl Into<String>) -> RemoteError {
        let problem = self.shared.secrets.redact(&problem.into()).into_owned();
        RemoteError::Answer { host: self.shared.host.to_string(), problem }
    }

    /// Makes the error of an answer that is a page for browsers.
    fn page(&self, method: Method, path: &str) -> RemoteError {
        self.odd(format!("answered {} {path} with a page; {BEHIND_A_PAGE}", method.as_str()))
    }

    /// Returns the error of an absent thing, or that of a host that is no registry.
    pub(crate) fn absent(&self, error: RemoteError) -> RemoteError {
        match self.ping_once().map_err(|failure| *failure.error) {
            Err(no_registry @ RemoteError::NotARegistry { .. }) => no_registry,
            _ => error,
        }
    }

    /// Makes the error of a body that could not be read.
    fn broken(&self, url: &Url, error: HttpError) -> Failure {
        self.guard().unreachable(url, error)
    }
}

/// The headers with which a registry confirms an upload, a manifest or a blob. No page has them.
const CONFIRMATIONS: [&str; 3] = ["location", "docker-upload-uuid", "docker-content-digest"];

/// Returns whether an answer to another method than GET is a page for browsers. The type alone does not tell: Quay answers
/// uploads with that of HTML.
fn is_page(answer: &Answer) -> bool {
    is_html(answer) && CONFIRMATIONS.iter().all(|name| answer.header(name).is_none())
}

/// Returns whether the type of an answer is that of a page.
fn is_html(answer: &Answer) -> bool {
    answer
        .header("content-type")
        .is_some_and(|media_type| media_type.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

/// Returns the server of the API of a registry.
fn origin_of(host: &RegistryHost, scheme: Scheme) -> Origin {
    let url = Url::parse(&format!("{}://{}/", scheme.as_str(), host.authority()));
    url.expect("a registry has a host that a URL can have").origin
}
