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
        "location" | "content-location" | "referer" => url_without_secrets(value),
        "link" | "refresh" | "www-authenticate" | "proxy-authenticate" => without_secrets(value),
        _ => value.to_owned(),
    };
    (name, value)
}

/// Leaves out the parts of the URLs in a value that can be secrets.
fn without_secrets(value: &str) -> String {
    let is_end = |c: char| matches!(c, '>' | '"');
    let parts = value.split_inclusive(is_end).map(|part| {
        let (url, end) = part.strip_suffix(is_end).map_or((part, ""), |url| (url, &part[url.len()..]));
        url_without_secrets(url) + end
    });
    parts.collect()
}

/// Leaves userinfo, query and fragment out of a URL, and all that follows an authority that is none.
fn url_without_secrets(url: &str) -> String {
    let (before, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let mut shown = match before.split_once("//") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            if is_host(host) { format!("{scheme}//{host}{path}") } else { format!("{scheme}//{REDACTED}") }
        }
        None if before.contains('@') && !before.starts_with('/') => REDACTED.to_owned(),
        None => before.to_owned(),
    };
    if let Some(mark) = rest.chars().next() {
        shown.push(mark);
        shown.push_str(REDACTED);
    }
    shown
}

/// Returns whether a text is a host, perhaps with a port: a user and a password before a misplaced character are none.
fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').filter(|_| !text.ends_with(']')).unwrap_or((text, ""));
    let is_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
        None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    };
    is_valid && port.bytes().all(|byte| byte.is_ascii_digit())
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
            ("Location", "//u:p@h:5000/x#token=s", "//h:5000/x#<redacted>"),
            ("Location", "https://[::1]:5000/x/2", "https://[::1]:5000/x/2"),
            ("Location", "https://[::1]/x", "https://[::1]/x"),
            // These are no URLs, and a secret may be anywhere in them.
            ("Location", "https://u:p?w@h/x", "https://<redacted>?<redacted>"),
            ("Location", "https://u:p/w@h/x", "https://<redacted>"),
            ("Location", "https://u:p w@h/x", "https://h/x"),
            ("Location", "https:u:p@h/x", "<redacted>"),
            ("Content-Location", "/x?sig=s#f", "/x?<redacted>"),
            ("Content-Location", "x/2#f", "x/2#<redacted>"),
            ("Refresh", "0; url=https://u:p@h/x?s", "0; url=https://h/x?<redacted>"),
            (
                "WWW-Authenticate",
                "Bearer realm=\"https://u:p@h/t?key=s\",service=\"r.example\"",
                "Bearer realm=\"https://h/t?<redacted>\",service=\"r.example\"",
            ),
            ("WWW-Authenticate", "Bearer realm=https://h/t?key=s,service=r", "Bearer realm=https://h/t?<redacted>"),
            ("Proxy-Authenticate", "Basic realm=\"a proxy\"", "Basic realm=\"a proxy\""),
            ("Docker-Content-Digest", "sha256:a?b", "sha256:a?b"),
        ] {
            assert_eq!(header(name, value), (name.to_ascii_lowercase(), expected.to_owned()));
        }
    }
}
