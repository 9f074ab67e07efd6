//! The ref names of `index.json`, read and written as names of a registry.
//!
//! Written names are `REPOSITORY:TAG`, and `REPOSITORY@DIGEST` for entries without a tag. Other programs write tags
//! alone, or nothing: such an entry belongs to the repository of its image name if it has one, and else to the default
//! repository if there is one. Names that are not valid in a registry belong to no repository and are left alone.

use crate::error::{Error, Result};
use crate::oci::{Descriptor, Digest, Index, Match, NameKind, RefName, RepositoryName, Tag, WholeName, is_name};

/// How ref names are read and written.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    /// Each as it stands, as a tag.
    AsTheyStand {
        /// The repository of names without one, where a repository is asked for.
        default: Option<RepositoryName>,
    },
    /// As those of a repository.
    Repository {
        name: RepositoryName,
        /// The repository of those that do not say one.
        default: Option<RepositoryName>,
    },
}

/// The tag of an entry within its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryTag<'a> {
    Tagged(&'a str),
    Untagged,
}

impl<'a> EntryTag<'a> {
    /// Returns the tag, or another one if there is none.
    fn or_tagged(self, other: Option<&'a str>) -> Self {
        self.tag().or(other).map_or(Self::Untagged, Self::Tagged)
    }

    pub(crate) fn tag(self) -> Option<&'a str> {
        match self {
            Self::Tagged(tag) => Some(tag),
            Self::Untagged => None,
        }
    }
}

impl Names {
    /// Returns the tag of an entry in this repository, or `None` if the entry belongs to another one.
    pub(crate) fn of<'a>(&self, entry: &'a Descriptor) -> Option<EntryTag<'a>> {
        match self {
            Self::AsTheyStand { .. } => Some(entry.ref_name().map_or(EntryTag::Untagged, EntryTag::Tagged)),
            Self::Repository { name, default } => match (parse(entry.ref_name())?, image_name(entry)) {
                ((Some(repository), called), _) => (repository == name.as_str()).then_some(called),
                // The image name says the repository, and the tag if the ref name does not.
                ((None, called), Some(image)) => image.is_of(name).then(|| called.or_tagged(image.tag())),
                ((None, called), None) => (default.as_ref() == Some(name)).then_some(called),
            },
        }
    }

    /// Returns whether an entry bears a tag here.
    pub(crate) fn is_tagged(&self, entry: &Descriptor, tag: &str) -> bool {
        self.of(entry) == Some(EntryTag::Tagged(tag))
    }

    /// Returns the places of the entries that bear a name here, and no others that bear it better.
    ///
    /// In a repository that is a tag. Otherwise the image names count, too, in every spelling that Docker takes; a ref name in
    /// another spelling does if none is spelled so; and a tag alone may be that of an image name, if nothing is called so.
    pub(crate) fn bearers(&self, entries: &[Descriptor], name: &str) -> Vec<usize> {
        let whole = WholeName::parse(name);
        let matches = entries.iter().enumerate().filter_map(|(at, entry)| match self {
            Self::AsTheyStand { .. } => entry.bears(name, whole).map(|found| (at, found)),
            Self::Repository { .. } => self.is_tagged(entry, name).then_some((at, (Match::Exact, NameKind::RefName))),
        });
        let matches: Vec<_> = matches.collect();
        let is_there = |kind| matches.iter().any(|(_, found)| *found == (Match::Exact, kind));
        let (is_ref_name, is_image_name) = (is_there(NameKind::RefName), is_there(NameKind::ImageName));
        let is_meant = |found: Match| match found {
            Match::Exact => true,
            Match::Spelled => !is_ref_name,
            Match::Tag => !is_ref_name && !is_image_name,
        };
        matches.into_iter().filter(|(_, (found, _))| is_meant(*found)).map(|(at, _)| at).collect()
    }

    /// Returns which of the names of an entry matches a name here.
    pub(crate) fn kind(&self, entry: &Descriptor, name: &str) -> NameKind {
        match self {
            Self::AsTheyStand { .. } => {
                entry.bears(name, WholeName::parse(name)).map_or(NameKind::RefName, |(_, kind)| kind)
            }
            Self::Repository { .. } if entry.ref_name().is_none() => NameKind::ImageName,
            Self::Repository { .. } => NameKind::RefName,
        }
    }

    /// Returns the name of an entry that a given name matches: its tag, or its image name if that differs.
    pub(crate) fn meant_by<'a>(&self, entry: &'a Descriptor, name: &str) -> Option<&'a str> {
        match self.kind(entry, name) {
            NameKind::ImageName if !entry.has_one_name() => entry.image_name(),
            _ => self.of(entry).and_then(EntryTag::tag).or(entry.image_name()),
        }
    }

    /// Returns the ref name of an entry that has a tag here.
    pub(crate) fn named(&self, tag: &str) -> String {
        match self {
            Self::AsTheyStand { .. } => tag.to_owned(),
            Self::Repository { name, .. } => format!("{name}:{tag}"),
        }
    }

    /// Returns the ref name of an entry that is renamed to a tag here. Where its image name says the repository, a ref name that is
    /// a tag alone stays one.
    pub(crate) fn renamed(&self, entry: &Descriptor, tag: &str) -> String {
        let says_no_repository = || matches!(parse(entry.ref_name()), Some((None, _)));
        if image_name(entry).is_some() && says_no_repository() { tag.to_owned() } else { self.named(tag) }
    }

    /// Returns the ref name of an entry that has no tag here, or none.
    pub(crate) fn unnamed(&self, digest: &Digest) -> Option<String> {
        match self {
            Self::AsTheyStand { .. } => None,
            Self::Repository { name, .. } => Some(format!("{name}@{digest}")),
        }
    }

    /// Checks that an entry can be given a tag.
    ///
    /// # Errors
    ///
    /// [`Error::Name`](crate::Error::Name), [`Error::RefName`](crate::Error::RefName).
    pub(crate) fn check(&self, tag: &str) -> Result<()> {
        match self {
            // The tag would be read as a digest.
            Self::AsTheyStand { .. } if digest_in(tag).is_some() => {
                return Err(Error::NameIsDigest { name: tag.to_owned() });
            }
            Self::AsTheyStand { .. } => tag.parse::<RefName>().map(drop)?,
            Self::Repository { .. } => tag.parse::<Tag>().map(drop)?,
        }
        Ok(())
    }

    /// Returns how the names of another repository are read, if that repository can be asked for here.
    pub(crate) fn of_repository(&self, asked: &RepositoryName) -> Option<Self> {
        match self {
            Self::AsTheyStand { default } => Some(Self::Repository { name: asked.clone(), default: default.clone() }),
            Self::Repository { name, .. } => (name == asked).then(|| self.clone()),
        }
    }
}

/// Returns the digest that a name is, or that stands in it after an at sign.
pub(crate) fn digest_in(name: &str) -> Option<Digest> {
    let digest = name.rsplit('@').next().unwrap_or(name).parse::<Digest>().ok()?;
    digest.algorithm().is_some().then_some(digest)
}

/// Reads a ref name: the repository, if it says one, and the tag. `None` if it is no name of a registry.
fn parse(ref_name: Option<&str>) -> Option<(Option<&str>, EntryTag<'_>)> {
    let Some(text) = ref_name.filter(|name| is_name(name)) else { return Some((None, EntryTag::Untagged)) };
    if Tag::is_one(text) {
        return Some((None, EntryTag::Tagged(text)));
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| digest.parse::<Digest>().is_err()) {
        return None;
    }
    if RepositoryName::is_one(name) {
        return Some((Some(name), EntryTag::Untagged));
    }
    let (repository, tag) = name.rsplit_once(':')?;
    (RepositoryName::is_one(repository) && Tag::is_one(tag)).then_some((Some(repository), EntryTag::Tagged(tag)))
}

/// Returns the image name of an entry, if it is one that Docker takes.
fn image_name(entry: &Descriptor) -> Option<WholeName<'_>> {
    WholeName::parse(entry.image_name()?)
}

/// Returns the repositories that the entries of an index belong to, as often as they occur.
pub(crate) fn repositories(index: &Index, default: Option<&RepositoryName>) -> Vec<RepositoryName> {
    let name = |entry: &Descriptor| match (parse(entry.ref_name())?, image_name(entry)) {
        ((Some(repository), _), _) => repository.parse().ok(),
        ((None, _), Some(image)) => image.repository().parse().ok(),
        ((None, _), None) => default.cloned(),
    };
    index.manifests.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ref_names_are_read_as_registries_write_them() {
        let digest = Digest::sha256_of(b"").to_string();
        let tagged = |repository, tag| Some((repository, EntryTag::Tagged(tag)));
        let untagged = |repository| Some((repository, EntryTag::Untagged));
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
