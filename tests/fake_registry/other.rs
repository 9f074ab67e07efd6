//! A second host, for blobs that the registry redirects to. Credentials that reach it are a fault.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::blobs;
use super::body::Body;
use super::http::{Answer, Request};
use super::rules::{Action, Rule};
use super::server::{Handler, Logged, Server, Settings, lock};
use super::store::{Content, digest_of};
use super::tls::Tls;

/// A host of blobs at `/blobs/DIGEST`.
#[derive(Debug)]
pub(crate) struct Other {
    server: Server,
    files: Arc<Files>,
    is_secure: bool,
}

#[derive(Debug, Default)]
struct Files(Mutex<HashMap<String, Content>>);

impl Handler for Files {
    fn answer(&self, request: &Request, body: &mut Body<'_>) -> Answer {
        if request.header("authorization").is_some() || request.header("cookie").is_some() {
            return Answer::error(400, "DENIED", "credentials were sent to another host");
        }
        let Some(key) = request.path.strip_prefix("/blobs/") else { return Answer::new(404) };
        match request.method.as_str() {
            "GET" | "HEAD" => match lock(&self.0).get(key) {
                Some(content) => blobs::serve(request, content, true),
                None => Answer::new(404),
            },
            "PUT" => match body.read_all(u64::MAX) {
                Ok(bytes) => {
                    lock(&self.0).insert(key.to_owned(), Content::Bytes(Arc::new(bytes)));
                    Answer::new(201)
                }
                Err(_) => Answer::new(400),
            },
            _ => Answer::new(405),
        }
    }
}

impl Other {
    /// Starts it with plain HTTP.
    pub(crate) fn start() -> Self {
        Self::start_with(&Tls::none())
    }

    /// Starts it with TLS or without.
    pub(crate) fn start_with(tls: &Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let settings =
            Settings { delay: Duration::ZERO, body_limit: None, honours_expect: true, requests_per_connection: None };
        let files = Arc::new(Files::default());
        let handler: Arc<dyn Handler> = Arc::clone(&files) as Arc<dyn Handler>;
        let server = Server::start(vec![listener], tls.config(), settings, handler);
        Self { server, files, is_secure: tls.config().is_some() }
    }

    /// Returns the address and port.
    pub(crate) fn host(&self) -> String {
        self.server.addresses()[0].to_string()
    }

    /// Returns the URL of a path, which may hold the placeholders of [`Action::RedirectTo`].
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_secure { "https" } else { "http" }, self.host())
    }

    /// Stores a blob and returns its digest.
    pub(crate) fn add_blob(&self, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        lock(&self.files.0).insert(digest.clone(), Content::Bytes(Arc::new(bytes)));
        digest
    }

    /// Serves a file as the blob of a digest.
    pub(crate) fn add_file(&self, digest: &str, path: &Path) {
        let length = path.metadata().expect("a file").len();
        lock(&self.files.0).insert(digest.to_owned(), Content::File(path.to_owned(), length));
    }

    /// Returns what was stored by PUT or [`Other::add_blob`].
    pub(crate) fn blob(&self, key: &str) -> Option<Vec<u8>> {
        match lock(&self.files.0).get(key)? {
            Content::Bytes(bytes) => Some(bytes.to_vec()),
            Content::File(..) | Content::Gone(_) => None,
        }
    }

    /// Returns the requests so far.
    pub(crate) fn requests(&self) -> Vec<Logged> {
        self.server.log().clone()
    }

    /// Adds a rule and returns its number.
    pub(crate) fn rule(&self, rule: Rule, action: Action) -> usize {
        self.server.rules().add(rule, action)
    }
}
