//! Proxies by the rules of Go (`golang.org/x/net/http/httpproxy`), which the other tools of this field follow.
//!
//! `HTTPS_PROXY` is for https, `HTTP_PROXY` for http, `ALL_PROXY` for both; each may be in lower case. `NO_PROXY` lists
//! hosts that are reached directly; this machine always is. Unlike in Go, blanks separate entries of `NO_PROXY` too.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::auth::Secret;
use super::environment::Environment;

/// A proxy. Its `Display` has neither user name nor password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyUrl {
    pub(crate) scheme: ProxyScheme,
    /// The name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The user name, percent-decoded; empty if there is none.
    pub(crate) user: String,
    /// The password, percent-decoded, if there is one.
    pub(crate) password: Option<Secret>,
}

/// The protocol that is spoken with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyScheme {
    Http,
    Https,
    /// Names are resolved here.
    Socks5,
    /// Names are resolved by the proxy.
    Socks5h,
}

impl ProxyScheme {
    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https, Self::Socks5, Self::Socks5h]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.scheme.as_str(), &self.host, self.port);
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

/// A variable does not name a proxy. The message has the variable and not its value, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("${variable} is not the URL of a proxy: {reason}")]
pub struct ProxyError {
    variable: &'static str,
    reason: &'static str,
}

/// Returns the proxy through which a host is reached; `None` if it is reached directly.
///
/// The scheme is `https` or `http`. The host is a name or an address, with or without brackets.
///
/// # Errors
///
/// [`ProxyError`] if the variable that counts is not the URL of a proxy.
pub(crate) fn proxy_for(
    scheme: &str,
    host: &str,
    port: u16,
    environment: &Environment,
) -> Result<Option<ProxyUrl>, ProxyError> {
    let of_scheme: &[&str] = match scheme {
        "https" => &["HTTPS_PROXY", "https_proxy"],
        // A web server passes a client's header `Proxy` to a CGI program in this variable.
        "http" if environment.get("REQUEST_METHOD").is_none() => &["HTTP_PROXY", "http_proxy"],
        _ => &[],
    };
    let names = of_scheme.iter().chain(&["ALL_PROXY", "all_proxy"]);
    let Some((variable, value)) = names.into_iter().find_map(|name| Some((*name, environment.get(name)?))) else {
        return Ok(None);
    };
    if is_direct(host, port, environment) {
        return Ok(None);
    }
    let error = |reason| ProxyError { variable, reason };
    let value = value.to_str().ok_or_else(|| error("it is not UTF-8"))?;
    parse_proxy(value.trim()).map(Some).map_err(error)
}

/// Returns whether a host is reached without a proxy.
fn is_direct(host: &str, port: u16, environment: &Environment) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok().map(|address: IpAddr| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let Some(list) = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy")) else { return false };
    // A part that is not UTF-8 matches no host.
    let list = list.to_string_lossy().to_ascii_lowercase();
    let mut entries = list.split(|separator: char| separator == ',' || separator.is_whitespace());
    entries.any(|entry| is_listed(entry, &host, address, port))
}

/// Returns whether an entry of `NO_PROXY` matches a host.
fn is_listed(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let network = network.parse().ok().zip(bits.parse().ok());
        return network.zip(address).is_some_and(|((network, bits), address)| is_in(address, network, bits));
    }
    let (name, entry_port) = split_port(entry);
    if entry_port.is_some_and(|wanted| wanted.parse() != Ok(port)) {
        return false;
    }
    if let Ok(listed) = name.parse::<IpAddr>() {
        return address == Some(listed.to_canonical());
    }
    // `.a.b` and `*.a.b` are what is below `a.b`; `a.b` is that too.
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    let (domain, is_below_only) = name.strip_prefix('.').map_or((name, false), |domain| (domain, true));
    let Some(before) = host.strip_suffix(domain).filter(|_| !domain.is_empty() && address.is_none()) else {
        return false;
    };
    before.ends_with('.') || (before.is_empty() && !is_below_only)
}

/// Splits a port off a host. Removes the brackets of an address.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        // More than one colon: an address without brackets.
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

/// Returns whether an address is in a network of `bits` fixed bits.
fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    fn shifted(value: u128, width: u32, bits: u32) -> Option<u128> {
        width.checked_sub(bits).map(|shift| value.checked_shr(shift).unwrap_or(0))
    }
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    shifted(address, width, bits).is_some_and(|prefix| Some(prefix) == shifted(network, width, bits))
}

/// Parses the URL of a proxy. Without a scheme it is `http`.
fn parse_proxy(text: &str) -> Result<ProxyUrl, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => {
            (ProxyScheme::parse(scheme).ok_or("its scheme is not http, https, socks5 or socks5h")?, rest)
        }
        None => (ProxyScheme::Http, text),
    };
    // A password may contain slashes that are not encoded, but no `@` follows it.
    let (userinfo, rest) = rest.rsplit_once('@').map_or((None, rest), |(userinfo, rest)| (Some(userinfo), rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (host, port) = split_port(authority);
    let host = if authority.starts_with('[') || host.contains(':') {
        let address: Option<Ipv6Addr> = host.parse().ok();
        let is_bracketed = authority.starts_with('[') && (authority.ends_with(']') || port.is_some());
        address.filter(|_| is_bracketed).ok_or("its host is not an IPv6 address in brackets")?.to_string()
    } else {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        Some(host)
            .filter(|host| !host.is_empty() && host.bytes().all(is_name))
            .ok_or("its host is not a name")?
            .to_owned()
    };
    let port = match port {
        None | Some("") => scheme.default_port(),
        Some(port) => {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            let number: Option<u16> = port.parse().ok();
            number.filter(|number| is_number && *number > 0).ok_or("its port is not a number from 1 to 65535")?
        }
    };
    let (user, password) = match userinfo.map(|userinfo| userinfo.split_once(':').unwrap_or((userinfo, ""))) {
        None => (String::new(), None),
        Some((user, password)) => {
            let decoded = |text| percent_decoded(text).ok_or("its user name or password is not percent-encoded UTF-8");
            (decoded(user)?, Some(Secret::from(decoded(password)?)).filter(|password| !password.is_empty()))
        }
    };
    Ok(ProxyUrl { scheme, host, port, user, password })
}

/// Replaces `%XX` by its byte. Returns `None` for a broken escape, for text that is not UTF-8 or that has control
/// characters.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = after else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from((digit(*high)? << 4) | digit(*low)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().fold(Environment::default(), |environment, (name, value)| environment.variable(name, value))
    }

    #[test]
    fn each_scheme_has_its_variables() {
        for (variables, scheme, expected) in [
            (&[][..], "https", None),
            (&[("HTTPS_PROXY", "http://p:1")], "https", Some("http://p:1")),
            (&[("HTTPS_PROXY", "http://p:1")], "http", None),
            (&[("HTTP_PROXY", "http://p:1")], "http", Some("http://p:1")),
            (&[("HTTP_PROXY", "http://p:1")], "https", None),
            (&[("https_proxy", "http://p:1")], "https", Some("http://p:1")),
            (&[("http_proxy", "http://p:1")], "http", Some("http://p:1")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "http://p:1")], "https", Some("http://p:1")),
            #[cfg(not(windows))]
            (&[("HTTPS_PROXY", "http://p:1"), ("https_proxy", "http://p:2")], "https", Some("http://p:1")),
            (&[("ALL_PROXY", "socks5://p")], "https", Some("socks5://p:1080")),
            (&[("all_proxy", "socks5h://p")], "http", Some("socks5h://p:1080")),
            (&[("ALL_PROXY", "socks5://p"), ("HTTPS_PROXY", "http://q")], "https", Some("http://q:80")),
            (&[("HTTP_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")], "http", None),
            (&[("HTTPS_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")], "https", Some("http://p:1")),
            (&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "a.b")], "https", None),
            (&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "a.b")], "https", None),
        ] {
            let found = proxy_for(scheme, "a.b", 443, &environment(variables)).expect("a proxy or none");
            assert_eq!(found.map(|proxy| proxy.to_string()).as_deref(), expected, "{variables:?} {scheme}");
        }
    }

    #[test]
    fn urls_of_proxies_are_read() {
        for (url, shown, user, password) in [
            ("p", "http://p:80", "", None),
            ("p:3128", "http://p:3128", "", None),
            ("127.0.0.1:3128", "http://127.0.0.1:3128", "", None),
            ("[::1]:3128", "http://[::1]:3128", "", None),
            (" HTTP://my_proxy:3128/ ", "http://my_proxy:3128", "", None),
            ("https://p", "https://p:443", "", None),
            ("https://p:/x?y#z", "https://p:443", "", None),
            ("socks5://[fe80::1]", "socks5://[fe80::1]:1080", "", None),
            ("http://me@p:1", "http://p:1", "me", None),
            ("me:hunter2@p:1", "http://p:1", "me", Some("hunter2")),
            ("http://m%40e:h%3Au%25@p:1", "http://p:1", "m@e", Some("h:u%")),
            ("http://:hunter2@p:1", "http://p:1", "", Some("hunter2")),
            ("http://me:a/b@c@p:1", "http://p:1", "me", Some("a/b@c")),
        ] {
            let proxy = parse_proxy(url.trim()).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((proxy.to_string().as_str(), proxy.user.as_str()), (shown, user), "{url}");
            assert_eq!(proxy.password.as_ref().map(Secret::expose), password, "{url}");
            assert!(!format!("{proxy:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_fault_names_the_variable_and_no_secret() {
        for (url, reason) in [
            ("ftp://me:hunter2@p", "its scheme is not http, https, socks5 or socks5h"),
            ("socks4://p", "its scheme is not http"),
            ("://p", "its scheme is not http"),
            ("http://", "its host is not a name"),
            ("http://me:hunter2@", "its host is not a name"),
            ("http://a b", "its host is not a name"),
            ("http://a\\b", "its host is not a name"),
            ("http://::1:80", "its host is not an IPv6 address in brackets"),
            ("http://[::1]80", "its host is not an IPv6 address in brackets"),
            ("http://[::1", "its host is not an IPv6 address in brackets"),
            ("http://me:hunter2@p:0", "its port is not a number from 1 to 65535"),
            ("http://p:65536", "its port is not a number"),
            ("http://p:+80", "its port is not a number"),
            ("http://me:hunter2%@p", "its user name or password is not percent-encoded UTF-8"),
            ("http://me:hunter2%0a@p", "its user name or password is not percent-encoded UTF-8"),
            ("http://me:hunter2%ff@p", "its user name or password is not percent-encoded UTF-8"),
        ] {
            let error = proxy_for("https", "a.b", 443, &environment(&[("HTTPS_PROXY", url)])).expect_err(url);
            assert!(
                error.to_string().starts_with(&format!("$HTTPS_PROXY is not the URL of a proxy: {reason}")),
                "{error}"
            );
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        // A variable that does not count is not read.
        let both = environment(&[("HTTPS_PROXY", "http://p"), ("ALL_PROXY", "ftp://p")]);
        assert!(proxy_for("https", "a.b", 443, &both).is_ok());
    }

    #[test]
    fn hosts_are_reached_directly_by_gos_rules() {
        for (list, host, port, expected) in [
            ("", "a.b", 443, false),
            ("", "localhost", 5000, true),
            ("", "LocalHost.", 5000, true),
            ("", "127.3.2.1", 80, true),
            ("", "[::1]", 80, true),
            ("", "::ffff:127.0.0.1", 80, true),
            ("", "localhost.a.b", 80, false),
            ("*", "a.b", 443, true),
            ("x, * ,y", "a.b", 443, true),
            ("a.b", "a.b", 443, true),
            ("A.B", "x.a.b", 443, true),
            ("a.b", "A.B.", 443, true),
            ("a.b", "xa.b", 443, false),
            ("a.b", "a.b.c", 443, false),
            (".a.b", "x.a.b", 443, true),
            (".a.b", "a.b", 443, false),
            ("*.a.b", "x.y.a.b", 443, true),
            ("*.a.b", "a.b", 443, false),
            ("*a.b", "a.b", 443, false),
            ("b", "a.b", 443, true),
            ("a.b:443", "a.b", 443, true),
            ("a.b:443", "a.b", 5000, false),
            (".a.b:5000", "x.a.b", 5000, true),
            ("10.1.2.3", "10.1.2.3", 443, true),
            ("10.1.2.3:80", "10.1.2.3", 443, false),
            ("2.3", "10.1.2.3", 443, false),
            ("10.0.0.0/8", "10.9.9.9", 443, true),
            ("10.1.2.3/8", "10.9.9.9", 443, true),
            ("10.0.0.0/8", "11.0.0.0", 443, false),
            ("10.0.0.0/8", "a.b", 443, false),
            ("0.0.0.0/0", "10.9.9.9", 443, true),
            ("0.0.0.0/33", "10.9.9.9", 443, false),
            ("::/0", "2001:db8::1", 443, true),
            ("2001:db8::/32", "[2001:db8::1]", 443, true),
            ("2001:db8::/32", "2001:db9::1", 443, false),
            ("2001:db8::1", "2001:db8:0::1", 443, true),
            ("[2001:db8::1]:80", "2001:db8::1", 80, true),
            ("[2001:db8::1]", "2001:db8::1", 443, true),
            ("x,,a.b", "a.b", 443, true),
            ("x a.b\ty", "a.b", 443, true),
            (" , ,", "a.b", 443, false),
            (".", "a.b", 443, false),
            (":443", "a.b", 443, false),
            ("/", "a.b", 443, false),
        ] {
            assert_eq!(is_direct(host, port, &environment(&[("NO_PROXY", list)])), expected, "{list} {host}:{port}");
        }
    }
}
