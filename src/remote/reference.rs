//! References to images in registries: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.

use std::fmt;
use std::str::FromStr;

use super::host::{RegistryHost, scheme_of};
use super::reference_error::ReferenceError;
use crate::oci::{Digest, RepositoryName, Tag};
use crate::text::shortened;

/// A reference to an image in a registry: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
///
/// `docker://` before it is ignored. On Docker Hub a repository of one part is below `library/`. Parsing a string
/// takes at most one tag; [`RemoteReference::with_tags`] takes several, separated by commas.
///
/// ```
/// use regshape::remote::RemoteReference;
///
/// let reference: RemoteReference = "docker://docker.io/debian:12".parse()?;
/// assert_eq!(reference.to_string(), "docker.io/library/debian:12");
///
/// let error = "library/debian".parse::<RemoteReference>().expect_err("it names no registry");
/// assert!(error.to_string().starts_with("Cannot determine registry from 'library/debian'"));
/// # Ok::<(), regshape::remote::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct RemoteReference {
    /// The registry.
    pub host: RegistryHost,
    /// The repository, with `library/` where Docker Hub needs it.
    pub repository: RepositoryName,
    /// The tags, in order; none is repeated.
    pub tags: Vec<Tag>,
    /// The digest of the manifest, if one is given.
    pub digest: Option<Digest>,
}

impl RemoteReference {
    /// Parses a reference that may list several tags: `HOST/REPOSITORY:TAG,TAG`.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`].
    pub fn with_tags(text: &str) -> Result<Self, ReferenceError> {
        const DOCKER: &str = "docker://";
        let text = match text.get(..DOCKER.len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case(DOCKER) => &text[DOCKER.len()..],
            _ => text,
        };
        if let Some(scheme) = scheme_of(text) {
            return Err(ReferenceError::Scheme { scheme });
        }
        let (name, digest) = split_digest(text)?;
        let shown = || shortened(text);
        let Some((host, rest)) = name.split_once('/') else {
            return Err(without_repository(name, digest.is_some(), text));
        };
        if !RegistryHost::is_likely(host) {
            return Err(without_registry(text));
        }
        let host: RegistryHost = host.parse()?;
        let (repository, tags) = match rest.split_once(':') {
            Some((_, tags)) if tags.contains([':', '/']) => return Err(ReferenceError::TwoTags { text: shown() }),
            Some((repository, tags)) => (repository, parse_tags(tags, text)?),
            None => (rest, Vec::new()),
        };
        if repository.is_empty() {
            return Err(ReferenceError::NoRepository { text: shown() });
        }
        let repository = if host.is_docker_hub() && !repository.contains('/') {
            // The first parse names the repository as it was typed, if it is invalid.
            repository.parse::<RepositoryName>()?;
            format!("library/{repository}").parse()?
        } else {
            repository.parse()?
        };
        Ok(Self { host, repository, tags, digest })
    }

    /// Returns the tag, if there is one and only one.
    pub fn tag(&self) -> Option<&Tag> {
        match self.tags.as_slice() {
            [tag] => Some(tag),
            _ => None,
        }
    }
}

impl FromStr for RemoteReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let reference = Self::with_tags(text)?;
        if reference.tags.len() > 1 {
            return Err(ReferenceError::SeveralTags { text: shortened(text) });
        }
        Ok(reference)
    }
}

/// Splits off the digest. Where the part before the `@` may be a password, the error does not repeat it.
fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    // A password may contain `@` and `/`, so only the text after the last `@` can be shown.
    let Some((name, digest)) = text.rsplit_once('@') else {
        return Ok((text, None));
    };
    let is_userinfo = name.contains('@');
    match digest.parse() {
        Ok(digest) if !is_userinfo => Ok((name, Some(digest))),
        Err(error) if !is_userinfo && name.contains('/') => Err(ReferenceError::Digest(error)),
        _ => Err(ReferenceError::Userinfo),
    }
}

fn parse_tags(list: &str, text: &str) -> Result<Vec<Tag>, ReferenceError> {
    let mut tags = Vec::new();
    for tag in list.split(',') {
        if tag.is_empty() {
            return Err(ReferenceError::EmptyTag { text: shortened(text) });
        }
        let tag: Tag = tag.parse()?;
        if tags.contains(&tag) {
            return Err(ReferenceError::RepeatedTag(tag));
        }
        tags.push(tag);
    }
    Ok(tags)
}

/// Returns the error for a reference without a slash: a registry, or an image of Docker Hub such as `debian:12`.
fn without_repository(name: &str, has_digest: bool, text: &str) -> ReferenceError {
    let is_tag = name.split_once(':').is_some_and(|(before, tag)| {
        let is_port = before == "localhost" && tag.bytes().all(|byte| byte.is_ascii_digit());
        !before.contains(['.', '[']) && !is_port && tag.split(',').all(|tag| tag.parse::<Tag>().is_ok())
    });
    if is_tag || !RegistryHost::is_likely(name) {
        return without_registry(text);
    }
    // A fault of the registry comes first: it is the same with a repository.
    match name.parse::<RegistryHost>() {
        Ok(_) => ReferenceError::NoRepository { text: shortened(if has_digest { name } else { text }) },
        Err(error) => error,
    }
}

fn without_registry(text: &str) -> ReferenceError {
    let on_docker_hub = RemoteReference::with_tags(&format!("docker.io/{text}")).ok();
    ReferenceError::NoRegistry { text: shortened(text), on_docker_hub: on_docker_hub.map(|hub| hub.to_string()) }
}

impl TryFrom<&str> for RemoteReference {
    type Error = ReferenceError;

    fn try_from(text: &str) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl TryFrom<String> for RemoteReference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl fmt::Display for RemoteReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        for (index, tag) in self.tags.iter().enumerate() {
            write!(f, "{}{tag}", if index == 0 { ':' } else { ',' })?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_registry_a_repository_and_perhaps_tags_and_a_digest() {
        let digest = Digest::sha256_of(b"");
        for (text, shown) in [
            ("ghcr.io/me/app", "ghcr.io/me/app"),
            ("ghcr.io/me/app:v1", "ghcr.io/me/app:v1"),
            ("docker://ghcr.io/me/app:v1", "ghcr.io/me/app:v1"),
            ("DOCKER://ghcr.io/me/app:v1", "ghcr.io/me/app:v1"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("registry:5000/a/b/c", "registry:5000/a/b/c"),
            ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
            ("[::1]/app", "[::1]/app"),
            ("127.0.0.1/app", "127.0.0.1/app"),
            ("docker.io/debian", "docker.io/library/debian"),
            ("index.docker.io/library/debian:12", "docker.io/library/debian:12"),
            ("registry-1.docker.io/me/app", "docker.io/me/app"),
            ("docker.io:5000/app", "docker.io:5000/app"),
        ] {
            let reference: RemoteReference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(reference.to_string(), shown);
            let with_digest: RemoteReference = format!("{text}@{digest}").parse().expect("a digest may follow");
            assert_eq!(with_digest.to_string(), format!("{shown}@{digest}"));
            assert_eq!(with_digest.digest, Some(digest.clone()));
            assert_eq!(with_digest.tags, reference.tags);
        }
    }

    #[test]
    fn several_tags_are_taken_only_on_request() {
        let text = "ghcr.io/app:v1,v1.2,latest";
        let reference = RemoteReference::with_tags(text).expect("three tags");
        assert_eq!(reference.to_string(), text);
        assert_eq!(reference.tag(), None);
        assert_eq!(RemoteReference::with_tags("ghcr.io/app:v1").expect("a tag").tag().map(Tag::as_str), Some("v1"));
        let error = text.parse::<RemoteReference>().expect_err("one tag at most").to_string();
        assert_eq!(error, format!("'{text}' has several tags; only a push takes more than one"));
    }

    #[test]
    fn each_fault_of_a_reference_is_named() {
        const REGISTRY: &str = ": embed the registry in the reference (e.g. acr.io/repo:tag)";
        let long = format!("a.b/{}", "a".repeat(256));
        for (bad, message) in [
            ("", "Cannot determine registry from ''"),
            ("a/b", &format!("Cannot determine registry from 'a/b'{REGISTRY}")),
            ("debian", "Cannot determine registry from 'debian'"),
            ("debian:bookworm", "Cannot determine registry from 'debian:bookworm'"),
            ("/a", "Cannot determine registry from '/a'"),
            ("localhost:5000", "Cannot determine repository from 'localhost:5000'"),
            ("ghcr.io", "Cannot determine repository from 'ghcr.io'"),
            ("ghcr.io/", "Cannot determine repository from 'ghcr.io/'"),
            ("ghcr.io/:v1", "Cannot determine repository from 'ghcr.io/:v1'"),
            ("docker.io/", "Cannot determine repository from 'docker.io/'"),
            ("[::1]:5000", "Cannot determine repository from '[::1]:5000'"),
            ("localhost:0", "'0' is not a port"),
            ("localhost:65536/a", "'65536' is not a port"),
            ("localhost:http/a", "'http' is not a port"),
            ("::1/a", "'::1' is an IPv6 address without brackets"),
            ("[fe80::1%eth0]:5000/a", "'[fe80::1%eth0]' has a zone"),
            ("ghcr.io/Me/app", "'Me/app' is not a repository name"),
            ("docker.io/App", "'App' is not a repository name"),
            ("ghcr.io//app", "'/app' is not a repository name"),
            ("ghcr.io/app/", "'app/' is not a repository name"),
            (&long, "is not a repository name"),
            ("ghcr.io/app:", "'ghcr.io/app:' has an empty tag"),
            ("ghcr.io/app:v1,", "'ghcr.io/app:v1,' has an empty tag"),
            ("ghcr.io/app:v1:v2", "'ghcr.io/app:v1:v2' has two tags"),
            ("ghcr.io/app:v1/x", "'ghcr.io/app:v1/x' has two tags"),
            ("ghcr.io/app:v1,v1", "the tag 'v1' is listed twice"),
            ("ghcr.io/app:-v", "'-v' is not a tag"),
            ("ghcr.io/app:a b", "'a b' is not a tag"),
            ("ghcr.io/app@sha256:abc", "'sha256:abc' is not a digest: its hash has the wrong length"),
            ("ghcr.io/app@", "'' is not a digest: it has no colon"),
            ("http://ghcr.io/app", "a reference has no scheme; remove 'http://'"),
            ("HTTPS://user:hunter2@ghcr.io/app", "a reference has no scheme; remove 'https://'"),
            ("docker://https://ghcr.io/app", "a reference has no scheme; remove 'https://'"),
            ("oci://ghcr.io/app", "a reference has no scheme; remove 'oci://'"),
            ("user:hunter2@ghcr.io/app", "a reference has no user name or password"),
            ("hunter2@ghcr.io/app", "a reference has no user name or password"),
            ("docker://user:hunter2@ghcr.io/app:v1", "a reference has no user name or password"),
            ("user:hunter2@ghcr.io", "a reference has no user name or password"),
            ("user:hunter2@ghcr.io/app@sha256:abc", "a reference has no user name or password"),
            ("user:a/hunter2@ghcr.io/app", "'ghcr.io/app' is not a digest"),
            ("user:a/hunter2@hunter2@ghcr.io/app", "a reference has no user name or password"),
        ] {
            let error = bad.parse::<RemoteReference>().expect_err(bad).to_string();
            assert!(error.contains(message), "{bad}: {error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{bad}: {error}");
        }
        let digest = Digest::sha256_of(b"");
        let error = format!("user:hunter2@ghcr.io/app@{digest}").parse::<RemoteReference>().expect_err("a password");
        assert_eq!(error, ReferenceError::Userinfo);
        let error = format!("ghcr.io@{digest}").parse::<RemoteReference>().expect_err("no repository");
        assert_eq!(error.to_string(), "Cannot determine repository from 'ghcr.io'");
    }

    #[test]
    fn a_reference_without_a_registry_is_looked_for_on_docker_hub() {
        for (text, expected) in [
            ("a/b:v1", Some("docker.io/a/b:v1")),
            ("debian", Some("docker.io/library/debian")),
            ("debian:bookworm", Some("docker.io/library/debian:bookworm")),
            ("debian:12", Some("docker.io/library/debian:12")),
            ("debian:12,13", Some("docker.io/library/debian:12,13")),
            ("A/b", None),
            ("", None),
        ] {
            let error = RemoteReference::with_tags(text).expect_err("no registry");
            let ReferenceError::NoRegistry { on_docker_hub, .. } = error else { panic!("{text}: {error}") };
            assert_eq!(on_docker_hub.as_deref(), expected);
        }
    }
}
