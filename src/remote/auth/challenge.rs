//! The challenges of `WWW-Authenticate` (RFC 9110, 11.6.1; distribution, "token authentication").
//!
//! The grammar is ambiguous: a comma separates challenges as well as the parameters of one. A word that `=` follows is a
//! parameter, any other word begins a challenge. The headers come from a server, so their size is bounded, and a part
//! that breaks the grammar is skipped.

/// The most bytes of headers that are read.
const MAX_BYTES: usize = 64 << 10;

/// The most challenges that are returned.
const MAX_CHALLENGES: usize = 16;

/// A way in which a server asks for credentials. Schemes other than these two are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user name and a password with each request.
    Basic,
    /// A token of a token server.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// The name of the registry at the token server.
        service: Option<String>,
        /// The scopes that the request needs, separated by blanks.
        scope: Option<String>,
        /// Why the token of the request was refused, such as `insufficient_scope`.
        error: Option<String>,
    },
}

/// Parses the values of all `WWW-Authenticate` headers of an answer. Returns the challenges in their order.
pub(crate) fn parse_challenges<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut budget = MAX_BYTES;
    for header in headers {
        let header = &header[..header.len().min(budget)];
        budget -= header.len();
        parse_header(header, &mut challenges);
    }
    challenges.truncate(MAX_CHALLENGES);
    challenges
}

fn parse_header(header: &[u8], challenges: &mut Vec<Challenge>) {
    let mut reader = Reader { rest: header };
    let mut open: Option<Open> = None;
    loop {
        reader.skip(|byte| is_blank(byte) || byte == b',');
        let Some(word) = reader.word() else {
            if reader.rest.is_empty() {
                break;
            }
            // A byte that begins no word: the part up to the next comma is skipped.
            reader.value();
            reader.skip(|byte| byte != b',' && byte != b'"');
            continue;
        };
        reader.skip(is_blank);
        if reader.take(b'=') {
            reader.skip(is_blank);
            let value = reader.value();
            if let (Some(open), Some(value)) = (&mut open, value) {
                open.set(word, value);
            }
        } else {
            challenges.extend(open.take().and_then(Open::finish));
            if challenges.len() >= MAX_CHALLENGES {
                return;
            }
            open = Some(Open::new(word));
            reader.skip_token68();
        }
    }
    challenges.extend(open.and_then(Open::finish));
}

/// A challenge whose parameters are being read.
struct Open<'a> {
    scheme: &'a [u8],
    /// The parameters that this program uses: their names and the first value of each.
    parameters: [(&'static str, Option<String>); 4],
}

impl<'a> Open<'a> {
    fn new(scheme: &'a [u8]) -> Self {
        Self { scheme, parameters: ["realm", "service", "scope", "error"].map(|name| (name, None)) }
    }

    fn set(&mut self, name: &[u8], value: Vec<u8>) {
        let parameter = self.parameters.iter_mut().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        let Some((_, slot @ None)) = parameter else { return };
        *slot = String::from_utf8(value).ok().filter(|value| !value.is_empty() && !value.contains(char::is_control));
    }

    fn finish(self) -> Option<Challenge> {
        let [realm, service, scope, error] = self.parameters.map(|(_, value)| value);
        if self.scheme.eq_ignore_ascii_case(b"basic") {
            return Some(Challenge::Basic);
        }
        // A bearer challenge without a realm names no token server.
        let realm = realm.filter(|_| self.scheme.eq_ignore_ascii_case(b"bearer"))?;
        Some(Challenge::Bearer { realm, service, scope, error })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Takes the bytes that fulfil a condition.
    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().take_while(|byte| is_skipped(**byte)).count();
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(is_next)..];
        is_next
    }

    /// Reads a `token`.
    fn word(&mut self) -> Option<&'a [u8]> {
        Some(self.skip(is_token)).filter(|word| !word.is_empty())
    }

    /// Reads a value: a quoted string, or a word. A word may have any characters but blanks and commas, as some servers
    /// do not quote URLs.
    fn value(&mut self) -> Option<Vec<u8>> {
        if !self.take(b'"') {
            return Some(self.skip(|byte| !is_blank(byte) && byte != b',' && byte != b'"').to_vec());
        }
        let mut value = Vec::new();
        while let [byte, rest @ ..] = self.rest {
            self.rest = rest;
            match (byte, rest) {
                (b'"', _) => return Some(value),
                (b'\\', [escaped, rest @ ..]) => {
                    value.push(*escaped);
                    self.rest = rest;
                }
                _ => value.push(*byte),
            }
        }
        // The closing quote is missing, so the value may be cut.
        None
    }

    /// Skips a `token68`, such as the data of a `Negotiate` challenge, if it comes next.
    fn skip_token68(&mut self) {
        let before = self.rest;
        let data = self.skip(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        self.skip(|byte| byte == b'=');
        self.skip(is_blank);
        if data.is_empty() || !matches!(self.rest, [] | [b',', ..]) {
            self.rest = before;
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The characters of a `token` (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Vec<Challenge> {
        parse_challenges([header.as_bytes()])
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope), error: None }
    }

    #[test]
    fn the_challenges_of_registries_are_read() {
        let hub = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/a:pull,push repository:b:pull"),
        );
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/a:pull,push repository:b:pull""#,
                vec![hub],
            ),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            ("bASIC rEALM=x", vec![Challenge::Basic]),
            ("BEARER REALM=\"r\",SERVICE=\"s\"", vec![bearer("r", Some("s"), None)]),
            ("Bearer realm=https://a.b/token?x,service=s", vec![bearer("https://a.b/token?x", Some("s"), None)]),
            (r#"Bearer realm="r",service="s", Basic realm="b""#, vec![bearer("r", Some("s"), None), Challenge::Basic]),
            (r#"Basic realm="b", Bearer realm="r""#, vec![Challenge::Basic, bearer("r", None, None)]),
            (r#"Basic, Bearer realm="r""#, vec![Challenge::Basic, bearer("r", None, None)]),
            (r#" ,, Bearer  realm = "r" ,	, service	=	"s",,"#, vec![bearer("r", Some("s"), None)]),
            (r#"Bearer realm="r" service="s" scope="x""#, vec![bearer("r", Some("s"), Some("x"))]),
            (r#"Bearer realm="r"Basic realm="b""#, vec![bearer("r", None, None), Challenge::Basic]),
            (r#"Bearer realm="a \"b\" \\ c",service="\s""#, vec![bearer(r#"a "b" \ c"#, Some("s"), None)]),
            (r#"Bearer realm="r, Basic realm=b",scope="a,b""#, vec![bearer("r, Basic realm=b", None, Some("a,b"))]),
            (r#"Bearer realm="r",service="",scope="""#, vec![bearer("r", None, None)]),
            (r#"Bearer realm="first",realm="second""#, vec![bearer("first", None, None)]),
            (r#"Negotiate YWJj==, Bearer realm="r""#, vec![bearer("r", None, None)]),
            ("Negotiate YWJj=, Basic", vec![Challenge::Basic]),
            ("Negotiate, NTLM, Basic", vec![Challenge::Basic]),
            (r#"Digest realm="d", qop="auth, auth-int", nonce="x", Basic"#, vec![Challenge::Basic]),
            (r#"Custom realm="c", Bearer realm="r", unknown="u""#, vec![bearer("r", None, None)]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn a_refused_token_says_why() {
        let header = r#"Bearer realm="r",error="insufficient_scope",error_description="no""#;
        let [Challenge::Bearer { error, .. }] = &parse(header)[..] else { panic!("a challenge") };
        assert_eq!(error.as_deref(), Some("insufficient_scope"));
    }

    #[test]
    fn several_headers_are_one_list() {
        let headers = [&b"Bearer realm=\"r\""[..], b"", b"Negotiate", b"Basic realm=\"b\""];
        assert_eq!(parse_challenges(headers), [bearer("r", None, None), Challenge::Basic]);
        // A parameter does not reach over into the next header.
        assert_eq!(parse_challenges([&b"Bearer"[..], b"realm=\"r\""]), []);
    }

    #[test]
    fn a_malformed_header_gives_only_its_sound_parts() {
        for (header, expected) in [
            ("", vec![]),
            (",", vec![]),
            ("=", vec![]),
            ("Bearer", vec![]),
            ("Bearer realm", vec![]),
            ("Bearer realm=", vec![]),
            ("Bearer realm=\"", vec![]),
            ("Bearer realm=\"cut", vec![]),
            ("Bearer realm=\"cut\\", vec![]),
            ("Bearer realm=\"a\u{1}b\"", vec![]),
            ("Bearer realm=\"r\",service=\"cut", vec![bearer("r", None, None)]),
            ("realm=\"r\", Basic", vec![Challenge::Basic]),
            ("\"quoted, Basic\", Basic", vec![Challenge::Basic]),
            ("(comment) Basic, Basic", vec![Challenge::Basic]),
            ("Bearer =\"x\", Basic", vec![Challenge::Basic]),
            ("Bearer realm=\"r\" =, service=\"s\"", vec![bearer("r", Some("s"), None)]),
        ] {
            assert_eq!(parse(header), expected, "{header:?}");
        }
        assert_eq!(parse_challenges([&b"Bearer realm=\"\xff\xfe\", Basic"[..]]), [Challenge::Basic]);
    }

    #[test]
    fn hostile_headers_are_bounded() {
        let many = "Basic,".repeat(100_000);
        assert_eq!(parse(&many).len(), MAX_CHALLENGES);
        assert_eq!(parse_challenges(std::iter::repeat_n(&b"Basic"[..], 100_000)).len(), MAX_CHALLENGES);
        let long = format!("Bearer realm=\"{}\", Basic", "a".repeat(MAX_BYTES));
        assert_eq!(parse(&long), []);
        for hostile in ["\"", "=", ",=", "\\\"", "a=\"\\", "a =", "Bearer realm=\"r\",", "\0", "a b ", "a==,"] {
            parse(&hostile.repeat(20_000));
        }
        // Every prefix, and every byte changed.
        let header = br#"Negotiate YWJj==, Bearer realm="a\"b",scope="x,y" , Basic realm=b"#;
        for end in 0..header.len() {
            parse_challenges([&header[..end]]);
            for byte in [b'"', b'\\', b',', b'=', b' ', 0, 0xff] {
                let mut changed = header.to_vec();
                changed[end] = byte;
                parse_challenges([&changed[..]]);
            }
        }
    }
}
