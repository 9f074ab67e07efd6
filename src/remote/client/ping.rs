//! Asking whether a registry is there (distribution-spec, end-1).

use std::time::Duration;

use serde::de::IgnoredAny;

use super::{Ask, Client, Payload, is_html};
use crate::error::RemoteError;
use crate::remote::auth::scope::Scope;
use crate::remote::http::{Answer, Body, HttpError, Method, Request};
use crate::remote::retry::{Failure, is_transient};
use crate::remote::tls::TlsError;

/// The header with the version of the API.
const API_VERSION: &str = "docker-distribution-api-version";

/// The most bytes that are read of the answer of `/v2/`.
const ROOT_LIMIT: u64 = 64 * 1024;

/// A registry that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// The status: 200, or 401 if the registry wants credentials.
    pub status: u16,
    /// The version of the API, if the registry says it.
    pub api_version: Option<String>,
    /// The time until the answer.
    pub latency: Duration,
}

impl Client {
    /// Asks whether the registry is there, without credentials. It is asked again after a failure that may pass, as often as
    /// [`ConnectionOptions::retries`](crate::remote::ConnectionOptions::retries) says.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Unreachable`]; [`RemoteError::Status`]; [`RemoteError::NotARegistry`]; [`RemoteError::Later`].
    pub fn ping(&self) -> Result<Ping, RemoteError> {
        let mut tries = self.tries();
        loop {
            match self.ping_once() {
                Ok(ping) => return Ok(ping),
                Err(failure) => self.pause(&mut tries, failure)?,
            }
        }
    }

    /// Asks once whether the registry is there, without credentials.
    ///
    /// # Errors
    ///
    /// A failure.
    pub(super) fn ping_once(&self) -> Result<Ping, Failure> {
        loop {
            let url = self.url("/v2/");
            let start = self.shared.policy.clock().now();
            let request = Request { method: Method::Get, url: &url, headers: &[], patience: None, closes: false };
            let answer = match self.wire().send(&request, Body::None) {
                Ok(answer) => answer,
                Err(HttpError::Tls(TlsError::PlainHttp)) if self.shared.may_become_plain && !self.is_plain() => {
                    self.become_plain();
                    continue;
                }
                Err(error) => return Err(self.guard().unreachable(&url, error)),
            };
            let latency = self.shared.policy.clock().now().saturating_sub(start);
            let api_version = answer.header(API_VERSION).map(|version| answer.shown(version));
            let (status, retry_after) = (answer.status, self.retry_after(&answer));
            let result = match status {
                200 => self.expect_no_page(answer).map(|()| Ping { status, api_version, latency }),
                401 => Ok(Ping { status, api_version, latency }),
                404 => Err(RemoteError::NotARegistry { host: self.shared.host.to_string() }),
                _ => Err(self.refusal(answer, Method::Get)),
            };
            let is_transient = is_transient(status);
            return result.map_err(|error| Failure {
                is_transient,
                retry_after,
                status: Some(status),
                ..Failure::lasting(error)
            });
        }
    }

    /// Proves that the registry accepts the credentials.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Unauthorized`]; the errors of [`Client::ping`].
    pub fn authenticate(&self) -> Result<(), RemoteError> {
        let scope = Scope::default();
        let ask = Ask::new(Method::Get, self.url("/v2/"), &scope);
        let mut tries = self.tries();
        let answer = loop {
            match self.ask_once(&ask, Payload::None) {
                Ok(answer) => break answer,
                Err(failure) => self.pause(&mut tries, failure)?,
            }
        };
        match answer.status {
            200 => self.expect_no_page(answer),
            404 => Err(RemoteError::NotARegistry { host: self.shared.host.to_string() }),
            _ => Err(self.refusal(answer, Method::Get)),
        }
    }

    /// Checks that the answer of `/v2/` is that of a registry. Its type alone does not tell: Quay answers `true` with that of
    /// HTML. Nor does the version of the API: a proxy adds it to its own pages, too.
    fn expect_no_page(&self, answer: Answer) -> Result<(), RemoteError> {
        if !is_html(&answer) {
            return Ok(());
        }
        let (names_version, path) = (answer.header(API_VERSION).is_some(), answer.url.path().to_owned());
        let body = answer.beginning(ROOT_LIMIT);
        let body = body.trim_ascii();
        let is_terse = !body.starts_with(b"<") && (names_version || body.is_empty());
        if is_terse || serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            Ok(())
        } else {
            Err(self.page(Method::Get, &path))
        }
    }
}
