//! Auth files: `config.json` of Docker and `auth.json` of podman, which have one form.
//!
//! ```json
//! {
//!     "auths": { "ghcr.io": { "auth": "dXNlcjpwYXNzd29yZA==" } },
//!     "credHelpers": { "gcr.io": "gcloud" },
//!     "credsStore": "secretservice"
//! }
//! ```
//!
//! A key of `auths` is a registry, a namespace in it, or the URL that older versions of Docker wrote.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::AuthError;
use super::places::AuthPlace;
use super::secret::{Credential, Secret};
use crate::fs::{open_regular, read_at_most};
use crate::json::Node;
use crate::oci::RepositoryName;
use crate::remote::host::RegistryHost;
use crate::text::shortened;

/// The most bytes of an auth file.
pub(super) const MAX_SIZE: usize = 1 << 20;

/// Standard base64; the padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads an auth file, through a link if it is one. Returns `None` if there is no file.
pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, AuthError> {
    let open = || {
        // The target of a link is opened without blocking: it may be a pipe.
        let file = open_regular(&fs::canonicalize(path)?)?;
        read_at_most(&file, MAX_SIZE as u64)
    };
    match open() {
        Ok(Some(content)) => Ok(Some(content)),
        Ok(None) => Err(AuthError::TooLarge { place: AuthPlace::File(path.to_owned()) }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(AuthError::Read { path: path.to_owned(), source }),
    }
}

/// A parsed auth file.
#[derive(Debug)]
pub(super) struct AuthFile<'a> {
    place: &'a AuthPlace,
    /// `None` if the file is empty.
    root: Option<Node<'a>>,
}

impl<'a> AuthFile<'a> {
    /// Parses the content of a file. An empty file is one without credentials, as in Docker.
    pub(super) fn parse(content: &'a [u8], place: &'a AuthPlace) -> Result<Self, AuthError> {
        if content.len() > MAX_SIZE {
            return Err(AuthError::TooLarge { place: place.clone() });
        }
        if content.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { place, root: None });
        }
        let root = Node::parse(content).map_err(|source| AuthError::Json { place: place.clone(), source })?;
        let file = Self { place, root: Some(root) };
        if !root.is_object() {
            return Err(file.field("the document", "an object"));
        }
        Ok(file)
    }

    /// Returns the document; `None` if the file is empty.
    pub(super) fn root(&self) -> Option<Node<'a>> {
        self.root
    }

    fn field(&self, field: &str, expected: &'static str) -> AuthError {
        AuthError::Field { place: self.place.clone(), field: shortened(field), expected }
    }

    /// Returns the members of a top-level object, each key once.
    fn members(&self, name: &str) -> Result<Vec<(Cow<'a, str>, Node<'a>)>, AuthError> {
        let Some(node) = self.root.and_then(|root| root.get(name)).filter(|node| !node.is_null()) else {
            return Ok(Vec::new());
        };
        if node.is_object() { Ok(node.members().collect()) } else { Err(self.field(name, "an object")) }
    }

    fn text(&self, node: Option<Node<'a>>, name: &str) -> Result<Option<Cow<'a, str>>, AuthError> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(None) };
        let text = node.as_str().ok_or_else(|| self.field(name, "a string"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Returns the name of the helper that keeps the credentials of one registry (`credHelpers`).
    pub(super) fn helper_of(&self, host: &RegistryHost) -> Result<Option<Cow<'a, str>>, AuthError> {
        let helpers = self.members("credHelpers")?;
        let matching = |(key, _): &&(Cow<'a, str>, Node<'a>)| rank(key, host).is_some();
        let best = helpers.iter().filter(matching).min_by_key(|(key, _)| rank(key, host));
        best.map_or(Ok(None), |(key, helper)| self.text(Some(*helper), &format!("credHelpers.{key}")))
    }

    /// Returns the name of the helper that keeps the credentials of all registries (`credsStore`).
    pub(super) fn store(&self) -> Result<Option<Cow<'a, str>>, AuthError> {
        self.text(self.root.and_then(|root| root.get("credsStore")), "credsStore")
    }

    /// Returns the keys of `auths` for exactly this registry, the best first.
    pub(super) fn keys_of(&self, host: &RegistryHost) -> Result<Vec<Cow<'a, str>>, AuthError> {
        let mut keys: Vec<_> =
            self.members("auths")?.into_iter().filter_map(|(key, _)| Some((rank(&key, host)?, key))).collect();
        keys.sort();
        keys.dedup();
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// Returns the credential in `auths`: that of the longest namespace, or else that of the registry. Entries without
    /// a secret, such as those that Docker writes beside its helpers, do not count.
    pub(super) fn credential(
        &self,
        host: &RegistryHost,
        repository: Option<&RepositoryName>,
    ) -> Result<Option<Credential>, AuthError> {
        let auths = self.members("auths")?;
        let score = |key: &str| match repository.and_then(|repository| namespace(key, host, repository)) {
            Some(length) => Some((usize::MAX - length, 0)),
            None => rank(key, host).map(|rank| (usize::MAX, rank)),
        };
        let mut found: Vec<_> =
            auths.iter().rev().filter_map(|(key, entry)| Some((score(key)?, key, *entry))).collect();
        // A stable sort: of repeated keys the last one counts, as in other readers of JSON.
        found.sort_by_key(|(score, _, _)| *score);
        for (_, key, entry) in found {
            if let Some(credential) = self.decode(key, entry)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    fn decode(&self, key: &str, entry: Node<'a>) -> Result<Option<Credential>, AuthError> {
        if entry.is_null() {
            return Ok(None);
        }
        if !entry.is_object() {
            return Err(self.field(&format!("auths.{key}"), "an object"));
        }
        let text = |name: &str| self.text(entry.get(name), &format!("auths.{key}.{name}"));
        if let Some(token) = text("registrytoken")? {
            return Ok(Some(Credential::RegistryToken(Secret::from(token.into_owned()))));
        }
        if let Some(token) = text("identitytoken")? {
            return Ok(Some(Credential::IdentityToken(Secret::from(token.into_owned()))));
        }
        if let Some(auth) = text("auth")? {
            let decoded = decode_auth(&auth);
            return decoded
                .map(Some)
                .ok_or_else(|| AuthError::Encoding { place: self.place.clone(), key: shortened(key) });
        }
        let (user, password) = (text("username")?, text("password")?);
        Ok(password.map(|password| Credential::new(user.unwrap_or_default(), password)))
    }
}

/// Decodes `USER:PASSWORD` in base64. NUL bytes after the password are padding of old versions of Docker.
fn decode_auth(auth: &str) -> Option<Credential> {
    let decoded = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credential::new(user, password.trim_end_matches('\0')))
}

/// Encodes a user name and a password as auth files have them.
pub(super) fn encode_auth(user: &str, password: &str) -> String {
    BASE64.encode(format!("{user}:{password}"))
}

/// Returns how well a key names a registry, 0 the best; `None` if it names another one. Versions of Docker before 1.8
/// wrote `https://HOST/v1/`.
pub(super) fn rank(key: &str, host: &RegistryHost) -> Option<u8> {
    if key == host.auth_key() {
        return Some(0);
    }
    let stripped = strip_scheme(key);
    let name = match stripped {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => ["/v1/", "/v1", "/v2/", "/v2", "/"].iter().find_map(|end| key.strip_suffix(end)).unwrap_or(key),
    };
    let is_same = name.parse::<RegistryHost>().is_ok_and(|named| named == *host);
    is_same.then(|| if key == name { 1 } else { 2 })
}

/// Returns the length of a key if it names a namespace of a registry, such as `ghcr.io/me`, and the repository is in it.
fn namespace(key: &str, host: &RegistryHost, repository: &RepositoryName) -> Option<usize> {
    if strip_scheme(key).is_some() || rank(key, host).is_some() {
        return None;
    }
    let (name, path) = key.split_once('/')?;
    let rest = repository.as_str().strip_prefix(path)?;
    let is_inside = !path.is_empty() && (rest.is_empty() || rest.starts_with('/'));
    let is_same = || name.parse::<RegistryHost>().is_ok_and(|named| named == *host);
    (is_inside && is_same()).then_some(path.len())
}

fn strip_scheme(key: &str) -> Option<&str> {
    key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &AuthPlace = &AuthPlace::Variable("TEST");

    fn password(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::new(user, password))
    }

    fn find(content: &str, host: &str, repository: Option<&str>) -> Result<Option<Credential>, AuthError> {
        let repository = repository.map(|name| name.parse().expect("a repository"));
        AuthFile::parse(content.as_bytes(), PLACE)?.credential(&host.parse().expect("a host"), repository.as_ref())
    }

    /// Returns a file in which the password of each key is the key itself.
    fn keys(keys: &[&str]) -> String {
        let entry = |key: &&str| format!(r#""{key}":{{"auth":"{}"}}"#, encode_auth("me", key));
        format!(r#"{{"auths":{{{}}}}}"#, keys.iter().map(entry).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn the_forms_of_an_entry_are_read() {
        let nul = BASE64.encode("me:pw\0\0");
        for (entry, expected) in [
            (r#"{"auth":"bWU6cHc="}"#, password("me", "pw")),
            (r#"{"auth":"bWU6cHc"}"#, password("me", "pw")),
            (r#"{"auth":" bWU6cHc=\n"}"#, password("me", "pw")),
            (&format!(r#"{{"auth":"{nul}"}}"#), password("me", "pw")),
            (&format!(r#"{{"auth":"{}"}}"#, encode_auth("me", "a:b:c")), password("me", "a:b:c")),
            (r#"{"username":"me","password":"pw"}"#, password("me", "pw")),
            (r#"{"auth":"bWU6cHc=","username":"you","password":"other","email":"x"}"#, password("me", "pw")),
            (r#"{"auth":"","username":"me","password":"pw"}"#, password("me", "pw")),
            (r#"{"auth":"bWU6","identitytoken":"t"}"#, Some(Credential::IdentityToken("t".to_owned().into()))),
            (r#"{"username":"<token>","password":"t"}"#, Some(Credential::IdentityToken("t".to_owned().into()))),
            (r#"{"registrytoken":"r","identitytoken":"t"}"#, Some(Credential::RegistryToken("r".to_owned().into()))),
            ("{}", None),
            ("null", None),
            (r#"{"auth":null}"#, None),
            (r#"{"username":"me"}"#, None),
        ] {
            let content = format!(r#"{{"auths":{{"a.b":{entry}}}}}"#);
            assert_eq!(find(&content, "a.b", None).expect(entry), expected, "{entry}");
        }
    }

    #[test]
    fn the_longest_matching_key_counts() {
        for (names, host, repository, expected) in [
            (&["a.b"][..], "a.b", Some("x/y"), Some("a.b")),
            (&["a.b"], "a.b:5000", None, None),
            (&["a.b:5000"], "a.b", None, None),
            (&["a.b:5000", "a.b"], "a.b:5000", None, Some("a.b:5000")),
            (&["A.B"], "a.b", None, Some("A.B")),
            (&["a.b", "a.b/x", "a.b/x/y"], "a.b", Some("x/y/z"), Some("a.b/x/y")),
            (&["a.b", "a.b/x", "a.b/x/y"], "a.b", Some("x/yy"), Some("a.b/x")),
            (&["a.b", "a.b/x/y"], "a.b", Some("x"), Some("a.b")),
            (&["a.b/x"], "a.b", Some("y"), None),
            (&["a.b/x"], "a.b", None, None),
            (&["a.b:5000/x"], "a.b:5000", Some("x/y"), Some("a.b:5000/x")),
            (&["[::1]:5000"], "[::1]:5000", None, Some("[::1]:5000")),
            (&["https://a.b/v1/"], "a.b", None, Some("https://a.b/v1/")),
            (&["http://a.b"], "a.b", Some("x"), Some("http://a.b")),
            (&["https://a.b:5000/v2/"], "a.b:5000", None, Some("https://a.b:5000/v2/")),
            (&["a.b/v1/"], "a.b", Some("x"), Some("a.b/v1/")),
            (&["a.b/"], "a.b", Some("x"), Some("a.b/")),
            (&["http://a.b/v1/", "a.b"], "a.b", None, Some("a.b")),
            (&["https://index.docker.io/v1/"], "docker.io", Some("library/x"), Some("https://index.docker.io/v1/")),
            (&["registry-1.docker.io"], "docker.io", None, Some("registry-1.docker.io")),
            (&["docker.io", "https://index.docker.io/v1/"], "docker.io", None, Some("https://index.docker.io/v1/")),
            (&["docker.io/me"], "index.docker.io", Some("me/app"), Some("docker.io/me")),
            (&["", "/", "https://", "a.b.c", "::"], "a.b", Some("x"), None),
        ] {
            let found = find(&keys(names), host, repository).expect("read");
            assert_eq!(found, expected.and_then(|key| password("me", key)), "{names:?} {host} {repository:?}");
        }
    }

    #[test]
    fn an_entry_without_a_secret_gives_way() {
        let content = r#"{"auths":{"a.b/x":{},"a.b":{"auth":"bWU6cHc="}}}"#;
        assert_eq!(find(content, "a.b", Some("x")).expect("read"), password("me", "pw"));
        let repeated = r#"{"auths":{"a.b":{"auth":"eDp5"},"a.b":{"auth":"bWU6cHc="}}}"#;
        assert_eq!(find(repeated, "a.b", None).expect("read"), password("me", "pw"));
    }

    #[test]
    fn helpers_are_found_by_registry() {
        let content =
            br#"{"credHelpers":{"a.b":"one","https://index.docker.io/v1/":"hub","c.d":""},"credsStore":"all"}"#;
        let file = AuthFile::parse(content, PLACE).expect("JSON");
        for (host, expected) in [("a.b", Some("one")), ("docker.io", Some("hub")), ("a.b:5000", None), ("c.d", None)] {
            let found = file.helper_of(&host.parse().expect("a host")).expect("read");
            assert_eq!(found.as_deref(), expected, "{host}");
        }
        assert_eq!(file.store().expect("read").as_deref(), Some("all"));
    }

    #[test]
    fn each_fault_of_a_file_is_named_without_its_secrets() {
        for (content, message) in [
            ("hunter2", "$TEST is not JSON"),
            (r#"{"auths":"#, "$TEST is not JSON"),
            (r#""hunter2""#, "$TEST: the document is not an object"),
            ("[]", "$TEST: the document is not an object"),
            (r#"{"auths":"hunter2"}"#, "$TEST: auths is not an object"),
            (r#"{"auths":{"a.b":"hunter2"}}"#, "$TEST: auths.a.b is not an object"),
            (r#"{"auths":{"a.b":{"auth":["hunter2"]}}}"#, "$TEST: auths.a.b.auth is not a string"),
            (
                r#"{"auths":{"a.b":{"auth":"hunter2!"}}}"#,
                "$TEST: the credentials of 'a.b' are not USER:PASSWORD in base64",
            ),
            (r#"{"auths":{"a.b":{"auth":"aHVudGVyMg=="}}}"#, "$TEST: the credentials of 'a.b' are not USER:PASSWORD"),
        ] {
            let error = find(content, "a.b", None).expect_err(content);
            assert!(error.to_string().starts_with(message), "{content}: {error}");
            let chain = format!("{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(!chain.contains("hunter2"), "{chain}");
        }
        for empty in ["", " \n", "{}", r#"{"auths":null,"credHelpers":null}"#] {
            assert_eq!(find(empty, "a.b", None).expect(empty), None);
        }
        let large = vec![b' '; MAX_SIZE + 1];
        let error = AuthFile::parse(&large, PLACE).expect_err("too large").to_string();
        assert_eq!(error, "$TEST is larger than 1 MiB, so it is no auth file");
    }

    #[test]
    fn only_regular_files_are_read_and_links_are_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "{}").expect("written");
        fs::write(path("large"), vec![b' '; MAX_SIZE + 1]).expect("written");
        assert_eq!(read_file(&path("file")).expect("read"), Some(b"{}".to_vec()));
        assert_eq!(read_file(&path("none")).expect("read"), None);
        assert_eq!(read_file(&path("file/below")).expect("read"), None);
        assert!(matches!(read_file(&path("large")), Err(AuthError::TooLarge { .. })));
        let error = read_file(directory.path()).expect_err("a directory");
        assert_eq!(error.to_string(), format!("cannot read auth file {}", directory.path().display()));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("file", path("link")).expect("linked");
            assert_eq!(read_file(&path("link")).expect("read"), Some(b"{}".to_vec()));
            std::os::unix::fs::symlink("none", path("dangling")).expect("linked");
            assert_eq!(read_file(&path("dangling")).expect("read"), None);
        }
        #[cfg(target_os = "linux")]
        {
            let made = rustix::fs::mknodat(
                rustix::fs::CWD,
                path("pipe"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR,
                0,
            );
            made.expect("a pipe");
            std::os::unix::fs::symlink("pipe", path("to-pipe")).expect("linked");
            for name in ["pipe", "to-pipe"] {
                let error = read_file(&path(name)).expect_err("a pipe");
                let source = std::error::Error::source(&error).expect("a cause").to_string();
                assert_eq!(source, "a named pipe, not a regular file");
            }
        }
    }
}
