//! What was asked and answered, for `--debug-calls`: without secrets and without bodies.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::HeaderMap;

use super::auth::known::KnownSecrets;

/// The headers whose values are secrets.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// What stands for a secret.
const REDACTED: &str = "<redacted>";

/// Is called with each exchange when its answer has been read.
#[derive(Clone)]
pub struct CallObserver(Arc<dyn Fn(&Call) + Send + Sync>);

impl CallObserver {
    /// Makes an observer of a function.
    pub fn new(observe: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn observe(&self, call: &Call) {
        (self.0)(call);
    }
}

impl fmt::Debug for CallObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CallObserver")
    }
}

/// One exchange. Values of secret headers and of queries are `<redacted>`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The URL, without userinfo and without values in its query.
    pub url: String,
    /// The headers of the request; names are in lower case.
    pub request_headers: Vec<(String, String)>,
    /// The number of bytes of the body that were sent.
    pub bytes_sent: u64,
    /// The status of the answer; `None` if there is none.
    pub status: Option<u16>,
    /// The headers of the answer.
    pub response_headers: Vec<(String, String)>,
    /// The number of bytes of the answer's body that were read.
    pub bytes_received: u64,
    /// The time from the request to the end of the answer.
    pub duration: Duration,
    /// Why there is no answer.
    pub error: Option<String>,
    start: Instant,
}

impl Call {
    /// Notes a request of some URL, as it is shown.
    pub(crate) fn begun(method: &'static str, url: String, headers: &[(&'static str, String)], start: Instant) -> Self {
        let headers = headers.iter().map(|(name, value)| header(name, value));
        Self {
            method,
            url,
            request_headers: headers.collect(),
            bytes_sent: 0,
            status: None,
            response_headers: Vec::new(),
            bytes_received: 0,
            duration: Duration::ZERO,
            error: None,
            start,
        }
    }

    pub(crate) fn answered(&mut self, status: u16, headers: &HeaderMap) {
        self.status = Some(status);
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.response_headers = headers.iter().map(|(name, value)| header(name.as_str(), &text(value))).collect();
    }

    pub(crate) fn failed(&mut self, error: String) {
        self.error = Some(error);
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.bytes_received += bytes as u64;
    }

    /// Leaves out the secrets that servers repeat in places that are none for secrets.
    pub(crate) fn redact(&mut self, secrets: &KnownSecrets) {
        let headers = self.request_headers.iter_mut().chain(&mut self.response_headers);
        let texts = headers.map(|(_, value)| value).chain([&mut self.url]).chain(&mut self.error);
        for text in texts {
            if let Cow::Owned(redacted) = secrets.redact(text) {
                *text = redacted;
            }
        }
    }

    pub(crate) fn end(&mut self) {
        self.duration = self.start.elapsed();
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    let name = name.to_ascii_lowercase();
    let value = match name.as_str() {
        name if SECRET_HEADERS.contains(&name) => REDACTED.to_owned(),
        // They have URLs, and parts of these can be secrets.
        "location" | "content-location" | "link" | "refresh" | "referer" => without_secrets(value),
        _ => value.to_owned(),
    };
    (name, value)
}

/// Leaves userinfo and queries out of the URLs in a value.
fn without_secrets(value: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '>' | '"' | '\'');
    let mut shown = String::new();
    for part in value.split_inclusive(is_end) {
        let (url, end) = part.strip_suffix(is_end).map_or((part, ""), |url| (url, &part[url.len()..]));
        let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
        match before.split_once("://") {
            Some((scheme, rest)) => {
                let authority_end = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at(authority_end);
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                shown.push_str(&format!("{scheme}://{host}{path}"));
            }
            None => shown.push_str(before),
        }
        if query.is_some() {
            shown.push_str(&format!("?{REDACTED}"));
        }
        shown.push_str(end);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_shown_without_their_secrets() {
        for (name, value, expected) in [
            ("Authorization", "Bearer x", "<redacted>"),
            ("Location", "https://u:p@h/x?state=s", "https://h/x?<redacted>"),
            ("Link", "</x?token=s>; rel=\"next\", </y>; rel=a", "</x?<redacted>>; rel=\"next\", </y>; rel=a"),
            ("Content-Location", "/x?sig=s#f", "/x?<redacted>"),
            ("Docker-Content-Digest", "sha256:a?b", "sha256:a?b"),
        ] {
            assert_eq!(header(name, value), (name.to_ascii_lowercase(), expected.to_owned()));
        }
    }
}
