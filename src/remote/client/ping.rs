//! Asking whether a registry is there (distribution-spec, end-1).

use std::time::Duration;

use super::{Ask, Client, Payload, is_page};
use crate::error::RemoteError;
use crate::remote::auth::scope::Scope;
use crate::remote::http::{Body, HttpError, Method, Request};
use crate::remote::tls::TlsError;

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
    /// Asks once whether the registry is there, without credentials.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Unreachable`]; [`RemoteError::Status`]; [`RemoteError::NotARegistry`].
    pub fn ping(&self) -> Result<Ping, RemoteError> {
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
                Err(error) => return Err(self.guard().unreachable_error(&url, &error)),
            };
            let latency = self.shared.policy.clock().now().saturating_sub(start);
            let api_version = answer.header("docker-distribution-api-version").map(|version| answer.shown(version));
            return match answer.status {
                200 if is_page(&answer) => Err(self.page(&answer, Method::Get)),
                status @ (200 | 401) => Ok(Ping { status, api_version, latency }),
                404 => Err(RemoteError::NotARegistry { host: self.shared.host.to_string() }),
                _ => Err(self.refusal(answer, Method::Get)),
            };
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
            200 if is_page(&answer) => Err(self.page(&answer, Method::Get)),
            200 => Ok(()),
            404 => Err(RemoteError::NotARegistry { host: self.shared.host.to_string() }),
            _ => Err(self.refusal(answer, Method::Get)),
        }
    }
}
