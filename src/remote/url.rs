//! URLs: those of the registry, and those that its answers name.
//!
//! A URL that is shown has no userinfo, and the values of its query are `<redacted>`: both can be secrets.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The longest URL that an answer may name.
const LENGTH_LIMIT: usize = 16 * 1024;

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A server: credentials belong to one of them, and go to no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// A name in lower case, or an address; an IPv6 address has no brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Returns the address, if the host is one in digits.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Returns the host, with the port unless it is the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// An absolute URL of HTTP. Its `Display` is for people; [`Url::as_request`] is for the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    /// Begins with `/`; characters that a URL cannot have are percent-encoded.
    path: String,
    query: Option<String>,
}

/// A text that is not a URL of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("it is not a URL of http or https")]
    Scheme,
    #[error("it names a user")]
    Userinfo,
    #[error("its host is not valid")]
    Host,
    #[error("its port is not valid")]
    Port,
    #[error("it is longer than {LENGTH_LIMIT} bytes")]
    Length,
}

impl Url {
    /// Makes the URL of a path of a server.
    pub(crate) fn new(origin: Origin, path: &str) -> Self {
        Self { origin, path: encoded(path), query: None }
    }

    /// Reads an absolute URL.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > LENGTH_LIMIT {
            return Err(UrlError::Length);
        }
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = target(rest);
        let path = if path.is_empty() { "/".to_owned() } else { encoded(&without_dots(path)) };
        Ok(Self { origin: origin(scheme, authority)?, path, query: query.map(encoded) })
    }

    /// Resolves a reference to a URL against this one (RFC 3986, 5.2).
    pub(crate) fn join(&self, reference: &str) -> Result<Self, UrlError> {
        if reference.len() > LENGTH_LIMIT {
            return Err(UrlError::Length);
        }
        let reference = reference.trim();
        let scheme_end = reference.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
        if scheme_end.is_some_and(|end| end > 0 && reference[end..].starts_with(':')) {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.origin.scheme.as_str()));
        }
        let (path, query) = target(reference);
        let (path, query) = match path {
            "" => (self.path.clone(), query.map(encoded).or_else(|| self.query.clone())),
            _ if path.starts_with('/') => (encoded(&without_dots(path)), query.map(encoded)),
            _ => {
                let directory = &self.path[..=self.path.rfind('/').expect("a path begins with a slash")];
                (encoded(&without_dots(&format!("{directory}{path}"))), query.map(encoded))
            }
        };
        Ok(Self { origin: self.origin.clone(), path, query })
    }

    /// Adds a parameter to the query, after those that are there.
    pub(crate) fn with_parameter(mut self, name: &str, value: &str) -> Self {
        let parameter = format!("{name}={}", encoded_value(value));
        self.query = Some(match self.query.take().filter(|query| !query.is_empty()) {
            Some(query) => format!("{}&{parameter}", query.trim_end_matches('&')),
            None => parameter,
        });
        self
    }

    /// Returns this URL at another server.
    pub(crate) fn at(&self, origin: Origin) -> Self {
        Self { origin, path: self.path.clone(), query: self.query.clone() }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the text that is sent.
    pub(crate) fn as_request(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{}{query}", self.origin, self.path)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.origin, self.path)?;
        for (at, parameter) in self.query.iter().flat_map(|query| query.split('&')).enumerate() {
            let name = parameter.split_once('=').map_or("", |(name, _)| name);
            let separator = if at == 0 { '?' } else { '&' };
            if name.is_empty() {
                write!(formatter, "{separator}<redacted>")?;
            } else {
                write!(formatter, "{separator}{name}=<redacted>")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Url({self})")
    }
}

/// Splits what follows the authority into path and query; a fragment is dropped.
fn target(text: &str) -> (&str, Option<&str>) {
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)))
}

fn origin(scheme: Scheme, authority: &str) -> Result<Origin, UrlError> {
    if authority.contains('@') {
        return Err(UrlError::Userinfo);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            address.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(UrlError::Port)?) };
            (address.to_ascii_lowercase(), port)
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if host.is_empty() || !host.chars().all(is_name) {
                return Err(UrlError::Host);
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port.filter(|port| !port.is_empty()) {
        None => scheme.default_port(),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?,
    };
    Ok(Origin { scheme, host, port })
}

/// Resolves `.` and `..` in an absolute path (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(usize::from(path.starts_with('/'))).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." if is_last => parts.push(""),
            "." => {}
            ".." => {
                parts.pop();
                if is_last {
                    parts.push("");
                }
            }
            segment => parts.push(segment),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Percent-encodes those characters that a URL cannot have; what is encoded already stays as it is.
fn encoded(text: &str) -> String {
    let allowed = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    percent_encoded(text, allowed)
}

/// Percent-encodes the value of a parameter.
pub(crate) fn encoded_value(text: &str) -> String {
    percent_encoded(text, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b',')
    })
}

fn percent_encoded(text: &str, allowed: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if allowed(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (text, expected) in [
            ("https://r.example/v2/", "https://r.example/v2/"),
            ("HTTPS://R.Example:443/v2/a?x=1", "https://r.example/v2/a?x=1"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("http://[::1]:80/a", "http://[::1]/a"),
            ("https://h/a b?n=\"q\" 1#fragment", "https://h/a%20b?n=%22q%22%201"),
            ("https://h/a%2Fb?_state=a%2Bb==", "https://h/a%2Fb?_state=a%2Bb=="),
            ("https://h?x", "https://h/?x"),
        ] {
            assert_eq!(Url::parse(text).expect(text).as_request(), expected, "{text}");
        }
        for (text, expected) in [
            ("ftp://h/", UrlError::Scheme),
            ("/v2/", UrlError::Scheme),
            ("https://user:secret@h/", UrlError::Userinfo),
            ("https:///v2/", UrlError::Host),
            ("https://a b/", UrlError::Host),
            ("https://[::1/", UrlError::Host),
            ("https://[fe80::1%25eth0]/", UrlError::Host),
            ("https://h:0/", UrlError::Port),
            ("https://h:65536/", UrlError::Port),
            ("https://[::1]5000/", UrlError::Port),
        ] {
            assert_eq!(Url::parse(text).expect_err(text), expected, "{text}");
        }
        assert_eq!(Url::parse(&format!("https://h/{}", "a".repeat(LENGTH_LIMIT))).expect_err("long"), UrlError::Length);
    }

    #[test]
    fn references_are_resolved() {
        let base = Url::parse("https://r.example:5000/v2/a/b/blobs/uploads/1?state=x").expect("a URL");
        for (reference, expected) in [
            ("/v2/a/b/blobs/uploads/2?state=y", "https://r.example:5000/v2/a/b/blobs/uploads/2?state=y"),
            ("2", "https://r.example:5000/v2/a/b/blobs/uploads/2"),
            ("../manifests/./v1", "https://r.example:5000/v2/a/b/blobs/manifests/v1"),
            ("../../..", "https://r.example:5000/v2/a/"),
            ("/../../etc", "https://r.example:5000/etc"),
            ("?state=z", "https://r.example:5000/v2/a/b/blobs/uploads/1?state=z"),
            ("", "https://r.example:5000/v2/a/b/blobs/uploads/1?state=x"),
            ("//other.example/x", "https://other.example/x"),
            ("http://other.example/x", "http://other.example/x"),
            ("a:b", "it is not a URL of http or https"),
            ("https://u@h/", "it names a user"),
        ] {
            let joined = base.join(reference).map_or_else(|error| error.to_string(), |url| url.as_request());
            assert_eq!(joined, expected, "{reference}");
        }
    }

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        let url = Url::parse("https://s3.example/b?X-Amz-Signature=abc&token&=x").expect("a URL");
        let shown = "https://s3.example/b?X-Amz-Signature=<redacted>&<redacted>&<redacted>";
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("Url({shown})"));
    }

    #[test]
    fn parameters_are_added() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("https://h/u", format!("https://h/u?digest={digest}")),
            ("https://h/u?_state=a%3D", format!("https://h/u?_state=a%3D&digest={digest}")),
            ("https://h/u?a&", format!("https://h/u?a&digest={digest}")),
        ] {
            assert_eq!(Url::parse(text).expect("a URL").with_parameter("digest", &digest).as_request(), expected);
        }
        let url = Url::parse("https://h/t").expect("a URL").with_parameter("scope", "repository:a/b:pull,push");
        assert_eq!(url.as_request(), "https://h/t?scope=repository:a/b:pull,push");
        assert_eq!(url.with_parameter("service", "a&b c").as_request().rsplit('&').next(), Some("service=a%26b%20c"));
    }
}
