//! The registry behind the server: its state, and the way from a path to an endpoint.

use std::sync::{Condvar, Mutex};

use super::body::Body;
use super::http::{Answer, Request};
use super::options::{Auth, Options};
use super::server::{Handler, lock};
use super::store::{State, is_digest, is_digest_like, is_name, is_tag};
use super::tokens::Issued;

/// The registry.
#[derive(Debug)]
pub(crate) struct Registry {
    options: Mutex<Options>,
    pub(crate) state: Mutex<State>,
    /// Signalled when a session is free again.
    pub(crate) changed: Condvar,
    pub(crate) issued: Mutex<Issued>,
    /// The port of the token server, if it has its own.
    pub(crate) token_port: Option<u16>,
}

/// An endpoint of the distribution-spec.
#[derive(Clone, Copy, Debug)]
enum Endpoint<'a> {
    Base,
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Tags(&'a str),
    Referrers(&'a str, &'a str),
}

/// Splits a path into an endpoint and its parts.
fn endpoint(path: &str) -> Option<Endpoint<'_>> {
    let rest = path.strip_prefix("/v2/")?;
    if rest.is_empty() {
        return Some(Endpoint::Base);
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Some(Endpoint::Tags(name));
    }
    let (before, last) = rest.rsplit_once('/')?;
    if let Some(name) = before.strip_suffix("/blobs/uploads") {
        return Some(if last.is_empty() { Endpoint::Uploads(name) } else { Endpoint::Upload(name, last) });
    }
    let (name, kind) = before.rsplit_once('/')?;
    match kind {
        "blobs" => Some(Endpoint::Blob(name, last)),
        "manifests" => Some(Endpoint::Manifest(name, last)),
        "referrers" => Some(Endpoint::Referrers(name, last)),
        _ => None,
    }
}

impl Endpoint<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Base => None,
            Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Manifest(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _) => Some(name),
        }
    }

    /// Returns why a part of the path is wrong, if one is.
    fn fault(&self) -> Option<Answer> {
        if self.name().is_some_and(|name| !is_name(name)) {
            return Some(Answer::error(400, "NAME_INVALID", "the name of the repository is wrong"));
        }
        match self {
            Self::Blob(_, digest) | Self::Referrers(_, digest) if !is_digest(digest) => {
                Some(Answer::error(400, "DIGEST_INVALID", "the digest is wrong"))
            }
            Self::Manifest(_, reference) if is_digest_like(reference) && !is_digest(reference) => {
                Some(Answer::error(400, "DIGEST_INVALID", "the digest is wrong"))
            }
            Self::Manifest(_, reference) if !is_digest_like(reference) && !is_tag(reference) => {
                Some(Answer::error(400, "MANIFEST_INVALID", "the tag is wrong"))
            }
            _ => None,
        }
    }
}

impl Registry {
    pub(crate) fn new(options: Options, token_port: Option<u16>) -> Self {
        Self {
            options: Mutex::new(options),
            state: Mutex::default(),
            changed: Condvar::new(),
            issued: Mutex::default(),
            token_port,
        }
    }

    /// Returns the options of this moment.
    pub(crate) fn options(&self) -> Options {
        lock(&self.options).clone()
    }

    /// Changes the options.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Options)) {
        change(&mut lock(&self.options));
    }

    /// Returns a Location as the options want it.
    pub(crate) fn location(&self, request: &Request, path: &str) -> String {
        if self.options().has_relative_locations { path.to_owned() } else { format!("{}{path}", request.base()) }
    }

    fn route(&self, request: &Request, body: &mut Body<'_>) -> Answer {
        let options = self.options();
        let is_token = request.path == "/token" && matches!(options.auth, Auth::Tokens(_));
        match self.token_port {
            Some(port) if request.port == port && is_token => return self.token(request, body),
            Some(port) if request.port == port => return Answer::new(404),
            None if is_token => return self.token(request, body),
            _ => {}
        }
        if request.path == "/v2" {
            return Answer::new(301).header("Location", "/v2/");
        }
        let Some(endpoint) = endpoint(&request.path) else {
            return Answer::new(404).header("Content-Type", "text/plain").body("404 page not found\n");
        };
        if let Some(answer) = endpoint.fault() {
            return answer;
        }
        if let Err(answer) = self.authorize(request, endpoint.name(), matches!(endpoint, Endpoint::Upload(..))) {
            return answer;
        }
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
        if options.is_read_only && !is_read {
            return Answer::error(405, "UNSUPPORTED", "the registry is read-only");
        }
        if request.method == "DELETE" && !options.has_deletes && !matches!(endpoint, Endpoint::Upload(..)) {
            return Answer::error(405, "UNSUPPORTED", "there are no deletions");
        }
        if let ("HEAD", Some(status)) = (request.method.as_str(), options.head_status) {
            return Answer::new(status);
        }
        match (endpoint, request.method.as_str()) {
            (Endpoint::Base, "GET" | "HEAD") => Answer::json(200, &serde_json::json!({})),
            (Endpoint::Blob(name, digest), "GET" | "HEAD") => self.blob(name, digest, request),
            (Endpoint::Blob(name, digest), "DELETE") => self.delete_blob(name, digest),
            (Endpoint::Uploads(name), "POST") => self.begin(name, request, body),
            (Endpoint::Upload(name, id), "PATCH") => self.patch(name, id, request, body),
            (Endpoint::Upload(name, id), "PUT") => self.finish(name, id, request, body),
            (Endpoint::Upload(name, id), "GET") => self.status(name, id, request),
            (Endpoint::Upload(name, id), "DELETE") => self.cancel(name, id, request),
            (Endpoint::Manifest(name, reference), "GET" | "HEAD") => self.manifest(name, reference, request),
            (Endpoint::Manifest(name, reference), "PUT") => self.put_manifest(name, reference, request, body),
            (Endpoint::Manifest(name, reference), "DELETE") => self.delete_manifest(name, reference),
            (Endpoint::Tags(name), "GET") => self.tags(name, request),
            (Endpoint::Referrers(..), _) if !options.has_referrers => Answer::new(404),
            (Endpoint::Referrers(name, digest), "GET") => self.referrers(name, digest, request),
            _ => Answer::error(405, "UNSUPPORTED", "the endpoint has no such method"),
        }
    }
}

impl Handler for Registry {
    fn answer(&self, request: &Request, body: &mut Body<'_>) -> Answer {
        let answer = self.route(request, body);
        if request.path.starts_with("/v2") {
            answer.header("Docker-Distribution-Api-Version", "registry/2.0")
        } else {
            answer
        }
    }
}
