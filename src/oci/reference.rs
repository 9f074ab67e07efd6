//! References to the content of a registry, and the repositories and tags in them (distribution-spec, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// The name of a repository: lower-case words, joined by `.`, `_`, `__` or dashes, in components between slashes.
///
/// ```
/// use regshape::oci::RepositoryName;
///
/// assert!("docker.io/library/debian".parse::<RepositoryName>().is_ok());
/// assert!("Debian".parse::<RepositoryName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The most bytes that registries take.
    const MAX_LENGTH: usize = 255;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether text is the name of a repository.
    pub(crate) fn is_one(text: &str) -> bool {
        text.len() <= Self::MAX_LENGTH && text.split('/').all(is_component)
    }
}

/// `[a-z0-9]+((?:[._]|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
        rest = &rest[word..];
        rest = match rest {
            _ if word == 0 => return false,
            [] => return true,
            [b'.', after @ ..] | [b'_', b'_', after @ ..] | [b'_', after @ ..] => after,
            [b'-', ..] => &rest[rest.iter().take_while(|byte| **byte == b'-').count()..],
            _ => return false,
        };
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if Self::is_one(text) { Ok(Self(text.to_owned())) } else { Err(NameError::new(NamePart::Repository, text)) }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A tag: up to 128 letters, digits, dots, dashes and underscores; neither a dot nor a dash comes first.
///
/// ```
/// use regshape::oci::Tag;
///
/// assert!("v1.0-rc_1".parse::<Tag>().is_ok());
/// assert!("v1:0".parse::<Tag>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The most bytes that registries take.
    const MAX_LENGTH: usize = 128;

    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether text is a tag.
    pub(crate) fn is_one(text: &str) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        text.len() <= Self::MAX_LENGTH
            && text.bytes().next().is_some_and(is_word)
            && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if Self::is_one(text) { Ok(Self(text.to_owned())) } else { Err(NameError::new(NamePart::Tag, text)) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A reference in a repository: `repository[:tag][@digest]`.
///
/// ```
/// use regshape::oci::Reference;
///
/// let reference: Reference = "example/app:v1".parse()?;
/// assert_eq!(reference.repository.as_str(), "example/app");
/// assert_eq!(reference.tag.expect("a tag").as_str(), "v1");
/// # Ok::<(), regshape::oci::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "its grammar has these three parts")]
pub struct Reference {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag, if one is given.
    pub tag: Option<Tag>,
    /// The digest of the manifest, if one is given.
    pub digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let invalid = || NameError::new(NamePart::Reference, text);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let (repository, tag) = match name.split_once(':') {
            Some((_, tag)) if tag.contains([':', '/']) => return Err(invalid()),
            Some((repository, tag)) => (repository, Some(tag.parse()?)),
            None => (name, None),
        };
        Ok(Self { repository: repository.parse().map_err(|_| invalid())?, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// A string is not the name that it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{text}' is not a {}", .kind.grammar())]
pub struct NameError {
    kind: NamePart,
    text: String,
}

impl NameError {
    fn new(kind: NamePart, text: &str) -> Self {
        Self { kind, text: text.escape_debug().to_string() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum NamePart {
    Repository,
    Tag,
    Reference,
}

impl NamePart {
    fn grammar(self) -> &'static str {
        match self {
            Self::Repository => {
                "repository name: lower-case letters and digits, joined by . _ __ or dashes, in parts between slashes"
            }
            Self::Tag => "tag: up to 128 letters, digits and . _ - of which neither . nor - is the first",
            Self::Reference => "reference of the form REPOSITORY[:TAG][@DIGEST]",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_and_tags_follow_the_grammar_of_the_distribution_spec() {
        for good in ["a", "a/b", "docker.io/library/x", "a__b", "a---b", "a.b_c-d/0", &"a".repeat(255)] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "A", "a..b", "a___b", "a_.b", "-a", "a-", "a:b", "é", &"a".repeat(256)] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
        for good in ["a", "_", "V1.0-rc", "9", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", "a@b", "é", "a b", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn references_say_a_repository_and_perhaps_a_tag_and_a_digest() {
        let digest = Digest::sha256_of(b"").to_string();
        for text in ["a".to_owned(), "a/b:c".to_owned(), format!("a@{digest}"), format!("a/b:c@{digest}")] {
            assert_eq!(text.parse::<Reference>().expect("a reference").to_string(), text);
        }
        for (bad, reason) in [
            ("", "is not a reference"),
            (":x", "is not a reference"),
            ("a:", "is not a tag"),
            ("a@", "is not a reference"),
            ("a:b:c", "is not a reference"),
            ("a@sha256:00", "is not a reference"),
            ("A:b", "is not a reference"),
        ] {
            let error = bad.parse::<Reference>().expect_err(bad).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
