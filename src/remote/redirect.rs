//! Where the answers of a registry may lead, and what goes there.
//!
//! Credentials go to the registry's own host and port, and to the realm of its own challenges. HTTPS never becomes HTTP.
//! Hosts on this machine, on its links and private addresses in digits are for registries that are there themselves.

use std::net::IpAddr;

use super::address::AddressClass;
use super::auth::known::KnownSecrets;
use super::http::{HttpError, Method};
use super::refusal;
use super::retry::Failure;
use super::text::on_one_line;
use super::url::{Origin, Scheme, Url, UrlError};
use crate::error::RemoteError;

/// The most redirects in a row.
pub(crate) const MOST_REDIRECTS: usize = 10;

/// The rules for the URLs that the answers of one registry name.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// The registry, as it is connected to.
    pub(crate) registry: Origin,
    /// Those that no error may repeat.
    pub(crate) secrets: KnownSecrets,
}

impl Guard {
    /// Returns whether a URL is the registry's own, so that credentials go there.
    pub(crate) fn is_registry(&self, url: &Url) -> bool {
        url.origin == self.registry
    }

    /// Resolves the `Location` of an answer.
    ///
    /// A location with the registry's own host name and HTTP, or without its port, comes from a registry behind a proxy that
    /// does not know how it is called: the registry's scheme and port are used.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Redirect`].
    pub(crate) fn location(&self, from: &Url, location: &str) -> Result<Url, RemoteError> {
        let url = from.join(location).map_err(|error| self.malformed(from, location, error))?;
        let is_own_name = url.origin.host == self.registry.host && from.origin == self.registry;
        let is_default_port = url.origin.port == url.origin.scheme.default_port();
        let lost_tls = self.registry.scheme == Scheme::Https && url.origin.scheme == Scheme::Http;
        let url = if is_own_name
            && (lost_tls && (is_default_port || url.origin.port == self.registry.port)
                || is_default_port && url.origin.scheme == self.registry.scheme)
        {
            url.at(self.registry.clone())
        } else {
            url
        };
        self.check(&from.origin, &url)?;
        Ok(url)
    }

    /// Reads the realm of a challenge.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Redirect`].
    pub(crate) fn realm(&self, realm: &str) -> Result<Url, RemoteError> {
        let registry = Url::new(self.registry.clone(), "/");
        let url = registry.join(realm).map_err(|error| self.malformed(&registry, realm, error))?;
        self.check(&self.registry, &url)?;
        Ok(url)
    }

    fn check(&self, from: &Origin, url: &Url) -> Result<(), RemoteError> {
        let refused = |reason: &str| {
            let (host, url) = (from.authority(), self.secrets.redact(&url.to_string()).into_owned());
            Err(RemoteError::Redirect { host, url, reason: reason.to_owned() })
        };
        if from.scheme == Scheme::Https && url.origin.scheme == Scheme::Http {
            return refused("HTTPS may not become HTTP");
        }
        let registry = self.registry.address().map_or_else(|| named_class(&self.registry.host), AddressClass::of);
        let class = match url.origin.address() {
            Some(address) => AddressClass::of(address),
            None => named_class(&url.origin.host),
        };
        if class.may_be_named_by(registry) || url.origin.host == self.registry.host {
            Ok(())
        } else {
            refused("only a registry at such an address may lead there")
        }
    }

    fn malformed(&self, from: &Url, location: &str, error: UrlError) -> RemoteError {
        // What is not a URL may hold a secret at any place.
        let url = if location.contains(['?', '@', '#']) {
            "<redacted>".to_owned()
        } else {
            on_one_line(&self.secrets.redact(location))
        };
        RemoteError::Redirect { host: from.origin.authority(), url, reason: error.to_string() }
    }

    /// Gives the fault of an exchange its host.
    pub(crate) fn unreachable(&self, url: &Url, error: HttpError) -> Failure {
        let is_transient = error.is_transient();
        Failure { is_transient, ..Failure::lasting(self.unreachable_error(url, &error)) }
    }

    /// Makes the error of an exchange without an answer.
    pub(crate) fn unreachable_error(&self, url: &Url, error: &HttpError) -> RemoteError {
        match refusal::unreachable(url, error) {
            RemoteError::Unreachable { host, reason, fault } => {
                RemoteError::Unreachable { host, reason: self.secrets.redact(&reason).into_owned(), fault }
            }
            error => error,
        }
    }
}

/// Returns where a name is that always means this machine.
fn named_class(host: &str) -> AddressClass {
    match host {
        "localhost" => AddressClass::Loopback,
        _ if host.ends_with(".localhost") => AddressClass::Loopback,
        // Digits in other forms than four numbers: 2130706433, 0x7f.1.
        _ if host.rsplit('.').next().is_some_and(is_number) => AddressClass::Loopback,
        _ => host.parse::<IpAddr>().map_or(AddressClass::Public, AddressClass::of),
    }
}

fn is_number(part: &str) -> bool {
    let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    match digits {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Returns whether a status leads to another URL.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Returns whether a redirect of a request with a body is followed with the body.
pub(crate) fn keeps_method(status: u16, method: Method) -> bool {
    matches!(method, Method::Get | Method::Head) || matches!(status, 307 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(registry: &str) -> Guard {
        Guard { registry: Url::parse(registry).expect("a URL").origin, secrets: KnownSecrets::default() }
    }

    #[test]
    fn locations_are_followed_mended_or_refused() {
        for (registry, location, expected) in [
            ("https://r.example:5000", "/v2/a", Ok("https://r.example:5000/v2/a")),
            ("https://r.example:5000", "https://r.example:5000/v2/a", Ok("https://r.example:5000/v2/a")),
            // Behind a proxy that ends TLS, and that has another port.
            ("https://r.example", "http://r.example/v2/a", Ok("https://r.example/v2/a")),
            ("https://r.example:5000", "http://r.example:5000/v2/a", Ok("https://r.example:5000/v2/a")),
            ("https://r.example:5000", "http://r.example/v2/a", Ok("https://r.example:5000/v2/a")),
            ("https://r.example:5000", "https://r.example/v2/a", Ok("https://r.example:5000/v2/a")),
            ("http://r.example:5000", "http://r.example/v2/a", Ok("http://r.example:5000/v2/a")),
            ("https://r.example", "https://s3.example/b?sig=x", Ok("https://s3.example/b?sig=x")),
            ("http://r.example", "https://s3.example/b", Ok("https://s3.example/b")),
            ("https://r.example", "http://s3.example/b", Err("HTTPS may not become HTTP")),
            ("https://r.example", "https://127.0.0.1/b", Err("only a registry at such an address may lead there")),
            ("https://r.example", "https://localhost/b", Err("only a registry at such an address may lead there")),
            (
                "https://r.example",
                "https://169.254.169.254/b",
                Err("only a registry at such an address may lead there"),
            ),
            ("https://r.example", "https://10.0.0.1/b", Err("only a registry at such an address may lead there")),
            ("https://r.example", "https://2130706433/b", Err("only a registry at such an address may lead there")),
            ("https://r.example", "https://0x7f.1/b", Err("only a registry at such an address may lead there")),
            ("https://r.example", "https://[::1]/b", Err("only a registry at such an address may lead there")),
            ("https://10.0.0.1", "https://10.0.0.2/b", Ok("https://10.0.0.2/b")),
            ("https://10.0.0.1", "https://127.0.0.1/b", Err("only a registry at such an address may lead there")),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/b", Ok("http://127.0.0.1:5001/b")),
            ("http://localhost:5000", "http://127.0.0.1:5001/b", Ok("http://127.0.0.1:5001/b")),
            ("https://r.example", "ftp://r.example/b", Err("it is not a URL of http or https")),
            ("https://r.example", "https://u:p@r.example/b", Err("it names a user")),
        ] {
            let guard = guard(registry);
            let result = guard.location(&Url::new(guard.registry.clone(), "/v2/"), location);
            match (result, expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.as_request(), expected, "{registry} {location}"),
                (Err(RemoteError::Redirect { reason, url, .. }), Err(expected)) => {
                    assert_eq!(reason, expected, "{registry} {location}");
                    assert!(!url.contains("u:p"), "{url}");
                }
                (result, _) => panic!("{registry} {location}: {result:?}"),
            }
        }
    }

    #[test]
    fn credentials_go_to_the_same_scheme_host_and_port_only() {
        let guard = guard("https://r.example:5000");
        for (url, expected) in [
            ("https://r.example:5000/v2/", true),
            ("https://R.EXAMPLE:5000/x?y", true),
            ("http://r.example:5000/v2/", false),
            ("https://r.example/v2/", false),
            ("https://s.r.example:5000/v2/", false),
        ] {
            assert_eq!(guard.is_registry(&Url::parse(url).expect("a URL")), expected, "{url}");
        }
    }
}
