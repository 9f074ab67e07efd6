//! The ref names of `index.json`, read and written as names of a registry.
//!
//! Written names are `REPOSITORY:TAG`, and `REPOSITORY@DIGEST` for what has no tag. Other programs write tags alone, or
//! nothing, which belong to the default repository if there is one; and names that are none of a registry, which belong
//! nowhere and are left alone.

use super::{Error, Result};
use crate::oci::{Descriptor, Digest, Index, RefName, RepositoryName, Tag};

/// How ref names are read and written.
#[derive(Clone, Debug)]
pub(in crate::layout) enum Names {
    /// Each as it stands, as a tag.
    AsTheyStand {
        /// The repository of those that do not say one, where somebody asks for a repository all the same.
        default: Option<RepositoryName>,
    },
    /// As those of a repository.
    Repository {
        name: RepositoryName,
        /// The repository of those that do not say one.
        default: Option<RepositoryName>,
    },
}

/// What an entry is called where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layout) enum Called<'a> {
    Tagged(&'a str),
    Untagged,
}

impl<'a> Called<'a> {
    pub(in crate::layout) fn tag(self) -> Option<&'a str> {
        match self {
            Self::Tagged(tag) => Some(tag),
            Self::Untagged => None,
        }
    }
}

impl Names {
    /// Returns what an entry is called here, or `None` if it does not belong here.
    pub(in crate::layout) fn of<'a>(&self, entry: &'a Descriptor) -> Option<Called<'a>> {
        match self {
            Self::AsTheyStand { .. } => Some(match entry.ref_name() {
                None | Some("") => Called::Untagged,
                Some(name) => Called::Tagged(name),
            }),
            Self::Repository { name, default } => match parse(entry.ref_name())? {
                (Some(repository), called) => (repository == name.as_str()).then_some(called),
                (None, called) => (default.as_ref() == Some(name)).then_some(called),
            },
        }
    }

    /// Tells whether an entry bears a tag here.
    pub(in crate::layout) fn is_tagged(&self, entry: &Descriptor, tag: &str) -> bool {
        self.of(entry) == Some(Called::Tagged(tag))
    }

    /// Returns the ref name of an entry that has a tag here, or none.
    pub(in crate::layout) fn ref_name(&self, tag: Option<&str>, digest: &Digest) -> Option<String> {
        match (self, tag) {
            (Self::AsTheyStand { .. }, tag) => tag.map(str::to_owned),
            (Self::Repository { name, .. }, Some(tag)) => Some(format!("{name}:{tag}")),
            (Self::Repository { name, .. }, None) => Some(format!("{name}@{digest}")),
        }
    }

    /// Checks that an entry can be given a tag.
    ///
    /// # Errors
    ///
    /// [`Error::Name`](super::Error::Name), [`Error::RefName`](super::Error::RefName).
    pub(in crate::layout) fn check(&self, tag: &str) -> Result<()> {
        match self {
            // It would be mistaken for what it says.
            Self::AsTheyStand { .. } if digest_in(tag).is_some() => {
                return Err(Error::NameIsDigest { name: tag.to_owned() });
            }
            Self::AsTheyStand { .. } => tag.parse::<RefName>().map(drop)?,
            Self::Repository { .. } => tag.parse::<Tag>().map(drop)?,
        }
        Ok(())
    }

    /// Returns how the names of another repository are read, if somebody here may ask for it.
    pub(in crate::layout) fn of_repository(&self, asked: &RepositoryName) -> Option<Self> {
        match self {
            Self::AsTheyStand { default } => Some(Self::Repository { name: asked.clone(), default: default.clone() }),
            Self::Repository { name, .. } => (name == asked).then(|| self.clone()),
        }
    }
}

/// Returns the digest that a name is, or that stands in it after an at sign.
pub(in crate::layout) fn digest_in(name: &str) -> Option<Digest> {
    let digest = name.rsplit('@').next().unwrap_or(name).parse::<Digest>().ok()?;
    digest.algorithm().is_some().then_some(digest)
}

/// Reads a ref name: the repository, if it says one, and the tag. `None` if it is no name of a registry.
fn parse(ref_name: Option<&str>) -> Option<(Option<&str>, Called<'_>)> {
    let Some(text) = ref_name.filter(|name| !name.is_empty()) else { return Some((None, Called::Untagged)) };
    if Tag::is_one(text) {
        return Some((None, Called::Tagged(text)));
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| digest.parse::<Digest>().is_err()) {
        return None;
    }
    if RepositoryName::is_one(name) {
        return Some((Some(name), Called::Untagged));
    }
    let (repository, tag) = name.rsplit_once(':')?;
    (RepositoryName::is_one(repository) && Tag::is_one(tag)).then_some((Some(repository), Called::Tagged(tag)))
}

/// Returns the repositories that the entries of an index belong to, as often as they occur.
pub(super) fn repositories(index: &Index, default: Option<&RepositoryName>) -> Vec<RepositoryName> {
    let name = |entry: &Descriptor| match parse(entry.ref_name())? {
        (Some(repository), _) => repository.parse().ok(),
        (None, _) => default.cloned(),
    };
    index.manifests.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ref_names_are_read_as_registries_write_them() {
        let digest = Digest::sha256_of(b"").to_string();
        let tagged = |repository, tag| Some((repository, Called::Tagged(tag)));
        let untagged = |repository| Some((repository, Called::Untagged));
        for (name, read) in [
            ("", untagged(None)),
            ("v1", tagged(None, "v1")),
            ("app", tagged(None, "app")),
            ("Latest", tagged(None, "Latest")),
            ("example/app", untagged(Some("example/app"))),
            ("app:v1", tagged(Some("app"), "v1")),
            ("docker.io/library/x:1", tagged(Some("docker.io/library/x"), "1")),
            (&format!("app@{digest}"), untagged(Some("app"))),
            (&format!("app:v1@{digest}"), tagged(Some("app"), "v1")),
            ("localhost:5000/x:1", None),
            ("app@sha256:00", None),
            ("Example/app:v1", None),
            ("app:", None),
            (":v1", None),
            ("a b", None),
        ] {
            assert_eq!(parse(Some(name)), read, "{name}");
        }
        assert_eq!(parse(None), untagged(None));
    }
}
