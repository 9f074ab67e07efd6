//! The names of an entry of `index.json`: its ref name, and the image name that containerd and Docker use.
//!
//! The ref name is free text: often a tag alone, without a repository. The image name, `io.containerd.image.name`, has
//! the host, the repository and the tag. Both are read, compared and changed here.

use std::collections::HashSet;

use super::{Annotations, Descriptor, Digest, Index, REF_NAME, RepositoryName, Tag};
use crate::oci::descriptor::says_artifact;

/// The annotation by which containerd, Docker and BuildKit name an entry of `index.json`, before its ref name.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";

/// The registry that Docker means where no other is said.
const DEFAULT_HOST: &str = "docker.io";

/// Docker's earlier name of the host.
const OLD_DEFAULT_HOST: &str = "index.docker.io";

/// Where the images of that registry are that need no repository before their name.
const OFFICIAL: &str = "library/";

/// The tag that is meant where a whole name says neither a tag nor a digest.
const DEFAULT_TAG: &str = "latest";

/// A name with a repository, `[HOST/]PATH[:TAG][@DIGEST]`, as Docker reads it: equal ones mean the same image, however they are
/// spelled.
///
/// A word without a colon and without a slash is a tag, not a whole name. Where a whole name says no tag, `latest` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WholeName<'a> {
    host: &'a str,
    /// The repository, without `library/` where Docker adds it.
    path: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> WholeName<'a> {
    /// Reads a name; `None` if it is none that Docker takes, or a tag alone.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if !text.contains([':', '/']) {
            return None;
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| digest.parse::<Digest>().is_err()) {
            return None;
        }
        let (repository, tag) = split_tag(name);
        let (host, path) = match repository.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path),
            _ => (DEFAULT_HOST, repository),
        };
        let is_sound = RepositoryName::is_one(path) && tag.is_none_or(Tag::is_one);
        if !is_sound {
            return None;
        }
        let host = if host == OLD_DEFAULT_HOST { DEFAULT_HOST } else { host };
        let short = path.strip_prefix(OFFICIAL).filter(|rest| host == DEFAULT_HOST && !rest.contains('/'));
        let tag = tag.or_else(|| digest.is_none().then_some(DEFAULT_TAG));
        Some(Self { host, path: short.unwrap_or(path), tag, digest })
    }

    /// Returns the name with its registry, as containerd has it.
    pub(crate) fn full(&self) -> String {
        let is_official = self.host == DEFAULT_HOST && !self.path.contains('/');
        let official = if is_official { OFFICIAL } else { "" };
        let tag = self.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}/{official}{}{tag}{digest}", self.host, self.path)
    }

    /// Returns `REPOSITORY:TAG` as Docker shows it; `None` if there is no tag.
    pub(crate) fn familiar(&self) -> Option<String> {
        self.tag.map(|tag| format!("{}:{tag}", self.repository()))
    }

    /// Returns the repository as Docker shows it: without the host that Docker adds.
    pub(crate) fn repository(&self) -> String {
        if self.host == DEFAULT_HOST { self.path.to_owned() } else { format!("{}/{}", self.host, self.path) }
    }

    /// Returns the tag, if the name has one.
    pub(crate) fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    /// Returns whether a repository, in any spelling that Docker takes, is that of this name.
    pub(crate) fn is_of(&self, repository: &RepositoryName) -> bool {
        let whole = format!("{repository}:{DEFAULT_TAG}");
        WholeName::parse(&whole).is_some_and(|other| (other.host, other.path) == (self.host, self.path))
    }
}

/// Splits a name without a digest into the repository and the tag, if it says one.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// Returns whether the first part of a name is that of a registry, as Docker tells it.
fn is_host(part: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (part.contains(['.', ':']) || part == "localhost") && part.bytes().all(is_known)
}

/// Returns whether a name has a repository and a tag, as Docker wants them. A repository may begin with a host and its port.
pub(crate) fn is_docker_name(name: &str) -> bool {
    !name.contains('@') && split_tag(name).1.is_some() && WholeName::parse(name).is_some()
}

/// Returns whether text names something. Docker writes `<none>` where there is no name.
pub(crate) fn is_name(text: &str) -> bool {
    !matches!(text, "" | "<none>" | "<none>:<none>")
}

/// The form in which image names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NameKey<'a> {
    Whole(WholeName<'a>),
    /// A name that Docker refuses is compared as it is.
    Other(&'a str),
}

impl<'a> NameKey<'a> {
    pub(crate) fn of(name: &'a str) -> Self {
        WholeName::parse(name).map_or(Self::Other(name), Self::Whole)
    }
}

/// The image names of entries, which other manifests must not have then.
#[derive(Default)]
pub(crate) struct ImageNames<'a> {
    image_names: HashSet<NameKey<'a>>,
    ref_names: HashSet<NameKey<'a>>,
}

impl<'a> ImageNames<'a> {
    /// Returns the image names of some entries, and their ref names that are whole names.
    pub(crate) fn of(entries: &'a [Descriptor]) -> Self {
        let ref_names = entries.iter().filter_map(|entry| WholeName::parse(entry.ref_name()?));
        let image_names = entries.iter().filter_map(|entry| entry.image_name().map(NameKey::of));
        Self { image_names: image_names.collect(), ref_names: ref_names.map(NameKey::Whole).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.image_names.is_empty() && self.ref_names.is_empty()
    }

    /// Takes the image name from an entry if it is one of these, and the ref name if it says the same as one of the image names.
    /// Returns whether it was one. Ref names are compared as they stand, and not here.
    pub(crate) fn take_from(&self, entry: &mut Descriptor) -> bool {
        let is_taken = |key: NameKey<'_>| self.image_names.contains(&key);
        let image_name = entry.image_name().map(NameKey::of);
        let loses_image_name = image_name.is_some_and(|key| is_taken(key) || self.ref_names.contains(&key));
        let loses_ref_name = entry.ref_name().and_then(WholeName::parse).map(NameKey::Whole).is_some_and(is_taken);
        if loses_image_name {
            entry.drop_name(NameKind::ImageName);
        }
        if loses_ref_name {
            entry.drop_name(NameKind::RefName);
        }
        loses_image_name || loses_ref_name
    }
}

/// Returns the tag that a name is, or that a whole name says.
pub(crate) fn tag_in(name: &str) -> Option<&str> {
    if Tag::is_one(name) { Some(name) } else { WholeName::parse(name)?.tag }
}

/// Returns an image name with another tag, or the whole name that is said in its place; `None` if it can have neither.
fn renamed(image_name: &str, name: &str) -> Option<String> {
    if Tag::is_one(name) {
        WholeName::parse(image_name)?;
        let without_digest = image_name.split_once('@').map_or(image_name, |(name, _)| name);
        return Some(format!("{}:{name}", split_tag(without_digest).0));
    }
    WholeName::parse(name).map(|whole| whole.full())
}

/// By which of its names an entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NameKind {
    RefName,
    ImageName,
}

/// How well a given name matches an entry, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// It is the ref name as it stands, or the image name.
    Exact,
    /// It is the ref name in another spelling.
    Spelled,
    /// It is the tag of the image name.
    Tag,
}

impl Descriptor {
    /// Returns the ref name that an entry of `index.json` bears.
    pub fn ref_name(&self) -> Option<&str> {
        self.name(REF_NAME)
    }

    /// Returns the whole name by which containerd, Docker and BuildKit know an entry of `index.json`.
    ///
    /// ```
    /// # use regshape::oci::{Annotations, Descriptor, Digest, MediaType};
    /// let mut entry = Descriptor::new(MediaType::manifest(), Digest::sha256_of(b""), 0);
    /// entry.annotations = Some(Annotations::from([
    ///     ("org.opencontainers.image.ref.name".to_owned(), "v1".to_owned()),
    ///     ("io.containerd.image.name".to_owned(), "docker.io/acme/app:v1".to_owned()),
    /// ]));
    /// assert_eq!(entry.ref_name(), Some("v1"));
    /// assert_eq!(entry.image_name(), Some("docker.io/acme/app:v1"));
    /// ```
    pub fn image_name(&self) -> Option<&str> {
        self.name(IMAGE_NAME)
    }

    /// Returns the names of an entry as they are shown: the ref name and the image name, if they are not the same.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let image_name = self.image_name().filter(|name| self.ref_name() != Some(name));
        self.ref_name().into_iter().chain(image_name)
    }

    fn name(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str).filter(|name| is_name(name))
    }

    /// Returns which of the names of an entry matches a name, and how well.
    pub(crate) fn bears(&self, name: &str, whole: Option<WholeName<'_>>) -> Option<(Match, NameKind)> {
        let (ref_name, image_name) = (self.ref_name(), self.image_name());
        if ref_name == Some(name) {
            return Some((Match::Exact, NameKind::RefName));
        }
        if image_name.is_some_and(|image| image == name || whole.is_some() && WholeName::parse(image) == whole) {
            return Some((Match::Exact, NameKind::ImageName));
        }
        if whole.is_some() {
            let is_it = ref_name.and_then(WholeName::parse) == whole;
            return is_it.then_some((Match::Spelled, NameKind::RefName));
        }
        let tag = image_name.and_then(WholeName::parse).and_then(|image| image.tag);
        (tag == Some(name)).then_some((Match::Tag, NameKind::ImageName))
    }

    /// Returns whether the names of an entry say the same, so that one is not changed without the other.
    pub(crate) fn has_one_name(&self) -> bool {
        let (Some(ref_name), Some(image_name)) = (self.ref_name(), self.image_name()) else { return true };
        if ref_name == image_name {
            return true;
        }
        let Some(image) = WholeName::parse(image_name) else { return false };
        match WholeName::parse(ref_name) {
            // A repository may be said without its host.
            Some(whole) => whole == image || image_name.strip_suffix(ref_name).is_some_and(|host| host.ends_with('/')),
            None => image.tag == Some(ref_name),
        }
    }

    /// Sets the ref name of an entry of `index.json` for a given name: that name, or a tag in a repository. The image
    /// name follows if it equalled the ref name before, or if a whole name is given; otherwise it is independent and
    /// stays.
    pub(crate) fn rename(&mut self, ref_name: String, said: &str) {
        if self.has_one_name() || WholeName::parse(said).is_some() {
            self.call(ref_name, said);
        } else {
            self.set_name(REF_NAME, Some(ref_name));
        }
    }

    /// Makes a copy of an entry the one with another ref name. The image name is that of the same repository.
    pub(crate) fn call(&mut self, ref_name: String, said: &str) {
        if self.ref_name() != Some(&ref_name) {
            self.rename_image(said);
            self.set_name(REF_NAME, Some(ref_name));
        }
    }

    /// Sets the image name of an entry that has one: the same repository with a tag, or the given whole name. A
    /// placeholder for "no name" is removed.
    pub(crate) fn rename_image(&mut self, said: &str) {
        let image_name = self.image_name().and_then(|image_name| renamed(image_name, said));
        self.set_name(IMAGE_NAME, image_name);
    }

    /// Takes both names from an entry.
    pub(crate) fn unname(&mut self) {
        self.drop_name(NameKind::RefName);
        self.drop_name(NameKind::ImageName);
    }

    /// Takes one of its names from an entry.
    pub(crate) fn drop_name(&mut self, kind: NameKind) {
        self.set_name(if kind == NameKind::RefName { REF_NAME } else { IMAGE_NAME }, None);
    }

    /// Sets or removes the image name of an entry.
    pub(crate) fn set_name(&mut self, key: &str, name: Option<String>) {
        let mut annotations = self.annotations.take().unwrap_or_default();
        match name {
            Some(name) => drop(annotations.insert(key.to_owned(), name)),
            None => drop(annotations.remove(key)),
        }
        self.annotations = (!annotations.is_empty()).then_some(annotations);
    }

    /// Returns the names that Docker shows for an image, `REPOSITORY:TAG`: the image name, and the ref name if it is
    /// such a name and a different one. An equal name in another spelling takes the spelling of the ref name.
    pub fn repo_tags(&self) -> Vec<String> {
        let ref_name = self.ref_name().filter(|name| is_docker_name(name));
        let image = self.image_name().and_then(WholeName::parse);
        let image = image.filter(|image| ref_name.and_then(WholeName::parse) != Some(*image));
        let tags = image.and_then(|image| image.familiar()).into_iter();
        tags.chain(ref_name.map(str::to_owned)).collect()
    }

    /// Returns whether an entry has a name.
    pub(crate) fn is_named(&self) -> bool {
        self.names().next().is_some()
    }

    /// Returns whether an entry has names, and another one the same.
    pub fn is_called_like(&self, other: &Self) -> bool {
        self.is_named()
            && self.ref_name() == other.ref_name()
            && self.image_name().map(NameKey::of) == other.image_name().map(NameKey::of)
    }
}

impl Index {
    /// Returns the ref name that an index has among its own annotations.
    pub(crate) fn own_ref_name(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REF_NAME).map(String::as_str).filter(|name| is_name(name))
    }

    /// Moves the names in `index.json`'s own annotations to its entries: some programs write the name of a
    /// multi-platform image there, and list its images. An entry with a name keeps it; an attestation gets none, nor
    /// does an artifact beside images. Without an entry that takes them the names stay.
    pub(crate) fn with_own_names_on_entries(mut self) -> Self {
        let Some(annotations) = &mut self.annotations else { return self };
        let mut own = Annotations::new();
        for key in [REF_NAME, IMAGE_NAME] {
            own.extend(annotations.get(key).filter(|name| is_name(name)).map(|name| (key.to_owned(), name.clone())));
        }
        let may_take = |entry: &Descriptor| !entry.is_named() && !entry.is_attestation();
        let has_images =
            self.manifests.iter().any(|entry| may_take(entry) && !says_artifact(entry.artifact_type.as_deref()));
        let is_meant =
            |entry: &&mut Descriptor| may_take(entry) && !(has_images && says_artifact(entry.artifact_type.as_deref()));
        let mut nameless = self.manifests.iter_mut().filter(is_meant);
        let Some(first) = nameless.next().filter(|_| !own.is_empty()) else { return self };
        for entry in std::iter::once(first).chain(nameless) {
            entry.annotations.get_or_insert_default().extend(own.clone());
        }
        annotations.retain(|key, _| !own.contains_key(key));
        if annotations.is_empty() {
            self.annotations = None;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    fn entry(ref_name: Option<&str>, image_name: Option<&str>) -> Descriptor {
        let mut entry = Descriptor::new(MediaType::manifest(), Digest::sha256_of(b""), 0);
        entry.set_name(REF_NAME, ref_name.map(str::to_owned));
        entry.set_name(IMAGE_NAME, image_name.map(str::to_owned));
        entry
    }

    fn names(entry: &Descriptor) -> (Option<&str>, Option<&str>) {
        (entry.ref_name(), entry.image_name())
    }

    #[test]
    fn whole_names_are_read_as_docker_reads_them() {
        let digest = Digest::sha256_of(b"");
        let with_digest = format!("docker.io/library/app@{digest}");
        for (name, full) in [
            ("app:v1", "docker.io/library/app:v1"),
            ("library/app:v1", "docker.io/library/app:v1"),
            ("docker.io/app:v1", "docker.io/library/app:v1"),
            ("docker.io/library/app:v1", "docker.io/library/app:v1"),
            ("index.docker.io/app:v1", "docker.io/library/app:v1"),
            ("example/app:v1", "docker.io/example/app:v1"),
            ("example/app", "docker.io/example/app:latest"),
            ("docker.io/app", "docker.io/library/app:latest"),
            ("docker.io/library/a/b:1", "docker.io/library/a/b:1"),
            ("example.com/app:v1", "example.com/app:v1"),
            ("example.com/library/app:v1", "example.com/library/app:v1"),
            ("localhost/app:v1", "localhost/app:v1"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            (&format!("app@{digest}"), &with_digest),
        ] {
            let whole = WholeName::parse(name).expect(name);
            assert_eq!(whole.full(), full, "{name}");
            assert_eq!(WholeName::parse(full), Some(whole), "{name}");
        }
        for bad in
            ["v1", "latest", "app", "", "App:v1", ":v1", "app:", "app@sha256:00", "/app", "a b:1", "a/B:1", "é/a"]
        {
            assert_eq!(WholeName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_that_docker_takes_say_a_repository_and_a_tag() {
        for (name, familiar) in [
            ("app:v1", "app:v1"),
            ("docker.io/library/app:v1", "app:v1"),
            ("docker.io/example/app:v1", "example/app:v1"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ] {
            assert!(is_docker_name(name), "{name}");
            assert_eq!(WholeName::parse(name).expect(name).familiar().as_deref(), Some(familiar));
        }
        for bad in ["v1", "latest", "app", "library/app", "app@sha256:00", "App:v1", ":v1", "app:"] {
            assert!(!is_docker_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_entry_is_meant_by_either_name() {
        use Match::{Exact, Spelled, Tag};
        use NameKind::{ImageName, RefName};
        let both = entry(Some("v1"), Some("docker.io/library/app:v1"));
        let image = entry(None, Some("docker.io/library/app:v1"));
        let whole = entry(Some("docker.io/library/app:v1"), None);
        let odd = entry(Some("<none>:<none>"), Some("Not A Name"));
        for (entry, name, meant) in [
            (&both, "v1", Some((Exact, RefName))),
            (&both, "app:v1", Some((Exact, ImageName))),
            (&both, "library/app:v1", Some((Exact, ImageName))),
            (&both, "app:v2", None),
            (&both, "app", None),
            (&image, "index.docker.io/library/app:v1", Some((Exact, ImageName))),
            (&image, "v1", Some((Tag, ImageName))),
            (&whole, "docker.io/library/app:v1", Some((Exact, RefName))),
            (&whole, "app:v1", Some((Spelled, RefName))),
            // A ref name is taken as it stands.
            (&whole, "v1", None),
            (&whole, "v2", None),
            (&odd, "Not A Name", Some((Exact, ImageName))),
            (&odd, "<none>:<none>", None),
        ] {
            assert_eq!(entry.bears(name, WholeName::parse(name)), meant, "{name} of {:?}", names(entry));
        }
    }

    #[test]
    fn the_image_name_follows_the_ref_name_where_they_say_the_same() {
        for (before, said, after) in [
            ((Some("v1"), Some("docker.io/acme/app:v1")), "v2", (Some("v2"), Some("docker.io/acme/app:v2"))),
            ((None, Some("docker.io/acme/app:v1")), "v2", (Some("v2"), Some("docker.io/acme/app:v2"))),
            ((Some("candidate"), Some("docker.io/acme/app:v1")), "v2", (Some("v2"), Some("docker.io/acme/app:v1"))),
            ((Some("v1"), Some("docker.io/acme/app:v1")), "b/c:3", (Some("b/c:3"), Some("docker.io/b/c:3"))),
            ((Some("candidate"), Some("docker.io/acme/app:v1")), "b/c:3", (Some("b/c:3"), Some("docker.io/b/c:3"))),
            ((Some("a/b:1"), Some("docker.io/a/b:1")), "2", (Some("2"), Some("docker.io/a/b:2"))),
            ((Some("a/b:1"), Some("docker.io/c/b:1")), "2", (Some("2"), Some("docker.io/c/b:1"))),
            ((Some("a/b:1"), Some("example.com/a/b:1")), "2", (Some("2"), Some("example.com/a/b:2"))),
            ((Some("v1"), None), "v2", (Some("v2"), None)),
            // An image name that Docker refuses does not follow.
            ((Some("v1"), Some("v1")), "v2", (Some("v2"), None)),
            ((Some("v1"), Some("docker.io/acme/app:v1")), "a+b", (Some("a+b"), None)),
            ((Some("v1"), Some("Not A Name")), "v2", (Some("v2"), Some("Not A Name"))),
        ] {
            let mut entry = entry(before.0, before.1);
            entry.rename(said.to_owned(), said);
            assert_eq!(names(&entry), after, "{before:?} as {said}");
        }
    }

    #[test]
    fn dockers_words_for_no_name_are_no_name() {
        for text in ["", "<none>", "<none>:<none>"] {
            assert_eq!(names(&entry(Some(text), Some(text))), (None, None), "{text}");
        }
    }
}
