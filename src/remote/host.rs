//! Registries: a host name or an address, with a port or without. The names of Docker Hub are one registry.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::reference_error::ReferenceError;
use crate::text::shortened;

/// The name of Docker Hub in references.
const DOCKER_HUB: &str = "docker.io";

/// The other names of Docker Hub.
const DOCKER_HUB_ALIASES: &[&str] = &["index.docker.io", "registry-1.docker.io"];

/// The host that serves the API of Docker Hub.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// The key of Docker Hub in auth files and credential helpers: the address of an API that is gone.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A registry: `HOST[:PORT]`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
///
/// Names are in lower case. `docker.io`, `index.docker.io` and `registry-1.docker.io` are the same registry.
///
/// ```
/// use regshape::remote::RegistryHost;
///
/// let host: RegistryHost = "Registry.example.com:5000".parse()?;
/// assert_eq!(host.to_string(), "registry.example.com:5000");
///
/// let hub: RegistryHost = "index.docker.io".parse()?;
/// assert_eq!((hub.to_string().as_str(), hub.authority().as_str()), ("docker.io", "registry-1.docker.io"));
/// # Ok::<(), regshape::remote::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost {
    name: HostName,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum HostName {
    Domain(String),
    Address(IpAddr),
}

impl RegistryHost {
    /// Returns the name or the address, without brackets and port. That of Docker Hub is `docker.io`.
    pub fn name(&self) -> String {
        match &self.name {
            HostName::Domain(name) => name.clone(),
            HostName::Address(address) => address.to_string(),
        }
    }

    /// Returns the port, if it is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the address, if the host is not a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.name {
            HostName::Domain(_) => None,
            HostName::Address(address) => Some(address),
        }
    }

    /// Returns the host and port of the API, as they stand in a URL.
    pub fn authority(&self) -> String {
        if self.is_docker_hub() { DOCKER_HUB_API.to_owned() } else { self.to_string() }
    }

    /// Returns the key of the registry in auth files and credential helpers.
    pub fn auth_key(&self) -> String {
        if self.is_docker_hub() { DOCKER_HUB_KEY.to_owned() } else { self.to_string() }
    }

    /// Returns whether the registry is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.port.is_none() && matches!(&self.name, HostName::Domain(name) if name == DOCKER_HUB)
    }

    /// Returns whether the host is this machine: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        match &self.name {
            HostName::Domain(name) => name == "localhost",
            HostName::Address(address) => address.to_canonical().is_loopback(),
        }
    }

    /// Returns whether the first part of a reference is a registry and not a part of a repository.
    pub(super) fn is_likely(text: &str) -> bool {
        text.contains(['.', ':', '[']) || text.eq_ignore_ascii_case("localhost")
    }
}

impl FromStr for RegistryHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(scheme) = scheme_of(text) {
            return Err(ReferenceError::Scheme { scheme });
        }
        if text.contains('@') {
            return Err(ReferenceError::Userinfo);
        }
        if text.contains('/') {
            return Err(ReferenceError::NotAHost { text: shortened(text) });
        }
        let (host, port) = if text.starts_with('[') { split_brackets(text)? } else { split_port(text)? };
        let mut name = parse_name(host)?;
        let port = port.map(parse_port).transpose()?;
        if let HostName::Domain(name) = &mut name
            && matches!(port, None | Some(443))
            && (name == DOCKER_HUB || DOCKER_HUB_ALIASES.contains(&name.as_str()))
        {
            DOCKER_HUB.clone_into(name);
            return Ok(Self { name: HostName::Domain(name.clone()), port: None });
        }
        Ok(Self { name, port })
    }
}

/// Returns the scheme of a URL, in lower case.
pub(super) fn scheme_of(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    (is_scheme && !scheme.is_empty()).then(|| shortened(&scheme.to_ascii_lowercase()))
}

/// Splits `[ADDRESS]` or `[ADDRESS]:PORT` after the bracket. The host keeps its brackets.
fn split_brackets(text: &str) -> Result<(&str, Option<&str>), ReferenceError> {
    let invalid = || ReferenceError::Ipv6 { text: shortened(text) };
    let end = text.find(']').ok_or_else(invalid)? + 1;
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(invalid()),
        port => Ok((host, port)),
    }
}

/// Splits `HOST` or `HOST:PORT`.
fn split_port(text: &str) -> Result<(&str, Option<&str>), ReferenceError> {
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, rest)) if rest.contains(':') => {
            let is_address = text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.%".contains(&byte));
            let text = shortened(text);
            Err(if is_address { ReferenceError::NoBrackets { text } } else { ReferenceError::NotAHost { text } })
        }
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn parse_port(text: &str) -> Result<u16, ReferenceError> {
    let is_number = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_number { text.parse().ok().filter(|port| *port > 0) } else { None };
    port.ok_or_else(|| ReferenceError::Port { text: shortened(text) })
}

fn parse_name(text: &str) -> Result<HostName, ReferenceError> {
    if let Some(inner) = text.strip_prefix('[') {
        let shown = || shortened(text);
        if inner.contains('%') {
            return Err(ReferenceError::Zone { text: shown() });
        }
        let address: Option<Ipv6Addr> = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
        return address
            .map(|address| HostName::Address(address.into()))
            .ok_or_else(|| ReferenceError::Ipv6 { text: shown() });
    }
    if !is_domain(text) {
        return Err(ReferenceError::HostName { text: shortened(text) });
    }
    if ends_in_number(text) {
        // The resolvers of some systems read `127.1` and `0x7f.1` as addresses.
        let address: Ipv4Addr = text.parse().map_err(|_| ReferenceError::Ipv4 { text: shortened(text) })?;
        return Ok(HostName::Address(address.into()));
    }
    Ok(HostName::Domain(text.to_ascii_lowercase()))
}

fn is_domain(text: &str) -> bool {
    /// The most bytes of a name in the DNS.
    const MAX_LENGTH: usize = 253;
    /// The most bytes of a part.
    const MAX_LABEL: usize = 63;
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_LENGTH && text.split('.').all(is_label)
}

/// Returns whether resolvers may read a name as an IPv4 address (WHATWG URL, "ends in a number").
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl TryFrom<&str> for RegistryHost {
    type Error = ReferenceError;

    fn try_from(text: &str) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl TryFrom<String> for RegistryHost {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostName::Domain(name) => f.write_str(name)?,
            HostName::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            HostName::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> RegistryHost {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_and_addresses_are_shown_as_they_are_written() {
        for (text, name, port) in [
            ("ghcr.io", "ghcr.io", None),
            ("localhost:5000", "localhost", Some(5000)),
            ("a", "a", None),
            ("xn--bcher-kva.example:1", "xn--bcher-kva.example", Some(1)),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "::1", None),
            ("[2001:db8::2]:443", "2001:db8::2", Some(443)),
            ("1password.example", "1password.example", None),
        ] {
            let host = host(text);
            assert_eq!(host.to_string(), text);
            assert_eq!((host.name().as_str(), host.port()), (name, port));
            assert_eq!((host.authority().as_str(), host.auth_key().as_str()), (text, text));
            assert!(!host.is_docker_hub());
        }
        assert_eq!(host("GHCR.IO").to_string(), "ghcr.io");
        assert_eq!(host("[0:0::0001]:080").to_string(), "[::1]:80");
        assert_eq!(host("[::1]").address(), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(host("localhost").address(), None);
    }

    #[test]
    fn the_names_of_docker_hub_are_one_registry() {
        for alias in ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.io", "index.docker.io:443"] {
            let hub = host(alias);
            assert!(hub.is_docker_hub());
            assert_eq!(hub.to_string(), "docker.io");
            assert_eq!(hub.authority(), "registry-1.docker.io");
            assert_eq!(hub.auth_key(), "https://index.docker.io/v1/");
            assert_eq!(hub, host("docker.io"));
        }
        for other in ["docker.io:5000", "hub.docker.io", "docker.io.example.com"] {
            assert!(!host(other).is_docker_hub(), "{other}");
        }
    }

    #[test]
    fn loopback_is_this_machine_alone() {
        for (text, expected) in [
            ("localhost", true),
            ("LOCALHOST:5000", true),
            ("127.0.0.1", true),
            ("127.9.9.9:80", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]", true),
            ("[::2]", false),
            ("128.0.0.1", false),
            ("localhost.example.com", false),
            ("notlocalhost", false),
        ] {
            assert_eq!(host(text).is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn each_fault_of_a_host_is_named() {
        for (bad, message) in [
            ("", "'' is not a host name: letters, digits and inner dashes, in parts between dots"),
            ("a..b", "'a..b' is not a host name"),
            ("a.b.", "'a.b.' is not a host name"),
            ("-a.b", "'-a.b' is not a host name"),
            ("a_b:5000", "'a_b' is not a host name"),
            ("a b", "'a b' is not a host name"),
            ("bücher.example", "'bücher.example' is not a host name"),
            ("a\n.b", "'a\\n.b' is not a host name"),
            (&"a".repeat(64), "is not a host name"),
            ("a:", "'' is not a port; write a number from 1 to 65535"),
            ("a:0", "'0' is not a port"),
            ("a:65536", "'65536' is not a port"),
            ("a:+80", "'+80' is not a port"),
            ("a:000080", "'000080' is not a port"),
            ("a:latest", "'latest' is not a port"),
            ("::1", "'::1' is an IPv6 address without brackets; write [ADDRESS] or [ADDRESS]:PORT"),
            ("fe80::1:5000", "'fe80::1:5000' is an IPv6 address without brackets"),
            ("registry:5000:5001", "'registry:5000:5001' is not a registry; write HOST[:PORT]"),
            ("[::1", "'[::1' is not an IPv6 address in brackets"),
            ("[::1]5000", "'[::1]5000' is not an IPv6 address in brackets"),
            ("[127.0.0.1]", "'[127.0.0.1]' is not an IPv6 address in brackets"),
            ("[]", "'[]' is not an IPv6 address in brackets"),
            ("[fe80::1%eth0]", "'[fe80::1%eth0]' has a zone"),
            ("[fe80::1%25eth0]:5000", "'[fe80::1%25eth0]' has a zone"),
            ("256.0.0.1", "'256.0.0.1' is not an IPv4 address"),
            ("127.1:5000", "'127.1' is not an IPv4 address"),
            ("0x7f.0x1", "'0x7f.0x1' is not an IPv4 address"),
            ("5000", "'5000' is not an IPv4 address"),
            ("https://a.b", "a reference has no scheme; remove 'https://'"),
            ("HTTP://user:hunter2@a.b", "a reference has no scheme; remove 'http://'"),
            ("user:hunter2@a.b", "a reference has no user name or password; remove the part before '@'"),
            ("a.b/c", "'a.b/c' is not a registry; write HOST[:PORT]"),
        ] {
            let error = bad.parse::<RegistryHost>().expect_err(bad).to_string();
            assert!(error.contains(message), "{bad}: {error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{bad}: {error}");
        }
    }
}
