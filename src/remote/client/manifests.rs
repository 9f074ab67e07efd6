//! Manifests: whether they are there, reading and writing (distribution-spec, end-2, end-3 and end-7).

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Ask, BEHIND_A_PAGE, Client, Payload};
use crate::error::RemoteError;
use crate::oci::{Algorithm, Digest, Hasher, MediaType, RepositoryName, Tag};
use crate::remote::auth::scope::Scope;
use crate::remote::http::{Answer, COMMIT_TIMEOUT, Method};
use crate::remote::retry::{Failure, Tries};
use crate::remote::text::on_one_line;

/// The largest manifest or index that is fetched.
pub(crate) const MANIFEST_LIMIT: u64 = 8 * 1024 * 1024;

/// The media types that are asked for. Registries convert an image for those who do not ask for its own type.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.oci.artifact.manifest.v1+json, */*;q=0.1";

/// The media types of Docker's first schema.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// How a manifest of a repository is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ManifestReference {
    Tag(Tag),
    Digest(Digest),
}

impl fmt::Display for ManifestReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

/// What a registry says of a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManifestState {
    /// It is there, with the digest.
    Is(Digest),
    Absent,
    /// It cannot be told: the registry names no digest, or refuses to be asked in this way.
    Unknown,
}

/// A manifest or index that was fetched. Its bytes have the digest.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    /// What tells this version of a tag from others, if the registry says it (RFC 9110, 8.8.3).
    pub(crate) etag: Option<String>,
}

/// What a tag must be, so that a manifest is stored under it (RFC 9110, 13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Precondition {
    #[default]
    None,
    /// The version with this ETag.
    Is(String),
    Absent,
}

/// What a registry did with a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Whether it lists the manifest as a referrer of its subject.
    pub(crate) lists_referrer: bool,
    /// The tags that it says it gave.
    pub(crate) tags: Vec<String>,
}

/// The part of a document that names its own type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<String>,
    schema_version: Option<u64>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Typed {
    /// Returns the type that the content shows: `mediaType` is optional (image-spec, manifest.md and image-index.md).
    fn shown_type(&self) -> Option<MediaType> {
        match (&self.manifests, &self.layers) {
            (Some(_), None) => Some(MediaType::index()),
            (None, Some(_)) => Some(MediaType::manifest()),
            _ => None,
        }
    }
}

impl Client {
    /// Asks for the digest of a manifest (end-2, HEAD).
    ///
    /// # Errors
    ///
    /// The registry is not reachable, or wants other credentials.
    pub(crate) fn head_manifest(
        &self,
        repository: &RepositoryName,
        reference: &ManifestReference,
        scope: &Scope,
    ) -> Result<ManifestState, RemoteError> {
        let url = self.url(&format!("/v2/{repository}/manifests/{reference}"));
        let ask = Ask::new(Method::Head, url, scope).with_header("accept", ACCEPT);
        let answer = match self.ask_head(&ask)? {
            Some(answer) => answer,
            None => return Ok(ManifestState::Unknown),
        };
        Ok(match answer.status {
            200 => match (content_digest(&answer), reference) {
                // Some registries name a digest of another algorithm than was asked for.
                (Some(digest), ManifestReference::Digest(asked)) if digest.algorithm() != asked.algorithm() => {
                    ManifestState::Unknown
                }
                (Some(digest), _) => ManifestState::Is(digest),
                // A server that is no registry may answer 200 to everything.
                (None, _) => ManifestState::Unknown,
            },
            404 => ManifestState::Absent,
            _ => ManifestState::Unknown,
        })
    }

    /// Asks by HEAD; `None` if the registry fails at that for longer than it is tried.
    pub(super) fn ask_head(&self, ask: &Ask<'_>) -> Result<Option<Answer>, RemoteError> {
        let mut tries = self.tries();
        loop {
            match self.ask_once(ask, Payload::None) {
                // A server of HTTPS answers so to plain HTTP, and says more to a GET.
                Ok(answer) if answer.status == 400 && self.is_plain() => {
                    self.ping_once().map_err(|failure| *failure.error)?;
                    return Ok(Some(answer));
                }
                Ok(answer) => return Ok(Some(answer)),
                // A registry that fails at a HEAD may do well at the rest.
                Err(Failure { status: Some(500 | 502), .. }) => return Ok(None),
                Err(failure) => {
                    let is_server_fault = failure.status.is_some_and(|status| status >= 500);
                    match self.pause(&mut tries, failure) {
                        Ok(()) => {}
                        Err(RemoteError::Status { .. }) if is_server_fault => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Fetches a manifest or index, and verifies its digest (end-3); `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`RemoteError::OtherDigest`]; [`RemoteError::Schema1`]; [`RemoteError::Answer`] for what is no manifest.
    pub(crate) fn get_manifest(
        &self,
        repository: &RepositoryName,
        reference: &ManifestReference,
        scope: &Scope,
    ) -> Result<Option<Fetched>, RemoteError> {
        let url = self.url(&format!("/v2/{repository}/manifests/{reference}"));
        let ask = Ask::new(Method::Get, url, scope).with_header("accept", ACCEPT);
        let mut tries = self.tries();
        loop {
            let answer = match self.ask_once(&ask, Payload::None) {
                Ok(answer) => answer,
                Err(failure) => {
                    self.pause(&mut tries, failure)?;
                    continue;
                }
            };
            match answer.status {
                200 => {}
                404 => return Ok(None),
                _ => return Err(self.refusal(answer, Method::Get)),
            }
            let (digest, content_type) = (content_digest(&answer), answer.header("content-type").map(str::to_owned));
            let what = self.named(repository, reference);
            if let Some(encoding) = answer.header("content-encoding").filter(|encoding| *encoding != "identity") {
                return Err(self.odd(format!("sent {what} with the Content-Encoding {}", answer.shown(encoding))));
            }
            let length = answer.length();
            // A weak one never matches.
            let etag = answer.header("etag").filter(|etag| etag.starts_with('"')).map(str::to_owned);
            let url = answer.url.clone();
            let bytes = match answer.bytes(MANIFEST_LIMIT) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(self.odd(format!("sent more than 8 MiB as {what}"))),
                Err(error) => {
                    self.pause(&mut tries, self.broken(&url, error))?;
                    continue;
                }
            };
            if length.is_some_and(|length| length != bytes.len() as u64) {
                return Err(self.odd(format!("sent {what} with another length than it said")));
            }
            let fetched = self.fetched(bytes, digest, content_type.as_deref(), (repository, reference))?;
            return Ok(Some(Fetched { etag, ..fetched }));
        }
    }

    fn fetched(
        &self,
        bytes: Vec<u8>,
        said: Option<Digest>,
        content_type: Option<&str>,
        (repository, reference): (&RepositoryName, &ManifestReference),
    ) -> Result<Fetched, RemoteError> {
        let what = self.named(repository, reference);
        let base = content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        if let Some(base) = base.as_deref().filter(|base| base.eq_ignore_ascii_case("text/html")) {
            return Err(self.odd(format!("sent a page ({base}) as {what}; {BEHIND_A_PAGE}")));
        }
        let Ok(typed) = serde_json::from_slice::<Typed>(&bytes) else {
            return Err(self.odd(format!("sent {what}, which is not JSON")));
        };
        let is_schema_1 = |media_type: &str| SCHEMA_1.contains(&media_type);
        if base.as_deref().is_some_and(is_schema_1) || typed.schema_version == Some(1) {
            return Err(RemoteError::Schema1 { host: self.shared.host.to_string(), reference: what });
        }
        // Types of JSON alone say nothing; the document's own type does.
        let base = base.filter(|base| {
            !matches!(base.as_str(), "" | "application/json" | "text/plain" | "application/octet-stream")
        });
        let media_type = match (base, typed.media_type.as_deref()) {
            (Some(header), Some(own)) if header != own => {
                return Err(self.odd(format!(
                    "sent {what} with the Content-Type {}, and its mediaType is {}",
                    self.shown(&header),
                    self.shown(own)
                )));
            }
            (Some(media_type), _) => media_type.parse().ok(),
            (None, Some(media_type)) => media_type.parse().ok(),
            (None, None) => {
                let shown = typed.shown_type();
                Some(shown.ok_or_else(|| self.odd(format!("sent {what} without a media type")))?)
            }
        };
        let media_type: MediaType =
            media_type.ok_or_else(|| self.odd(format!("sent {what} with a media type that is none")))?;
        let expected = match reference {
            ManifestReference::Digest(digest) => Some(digest.clone()),
            ManifestReference::Tag(_) => said,
        };
        let algorithm = expected.as_ref().and_then(Digest::algorithm).unwrap_or(Algorithm::Sha256);
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        match expected {
            Some(expected) if expected != digest => {
                Err(RemoteError::OtherDigest { reference: what, expected, actual: digest })
            }
            _ => Ok(Fetched { bytes, digest, media_type, etag: None }),
        }
    }

    /// Stores a manifest or index, and gives it a tag (end-7).
    ///
    /// # Errors
    ///
    /// A failure, with the status and codes of the registry.
    pub(crate) fn put_manifest(
        &self,
        repository: &RepositoryName,
        reference: &ManifestReference,
        (bytes, media_type): (&[u8], &MediaType),
        more_tags: &[Tag],
        scope: &Scope,
        tries: &mut Tries,
    ) -> Result<Stored, RemoteError> {
        let mut url = self.url(&format!("/v2/{repository}/manifests/{reference}"));
        for tag in more_tags {
            url = url.with_parameter("tag", tag.as_str());
        }
        let ask = Ask::new(Method::Put, url, scope).with_header("content-type", media_type.as_str());
        self.stored(self.put(ask, bytes, tries)?, bytes)
    }

    /// Stores an index under a tag, if the tag is what it was; `None` if it is not, and the registry looks at that.
    ///
    /// # Errors
    ///
    /// As [`Client::put_manifest`].
    pub(crate) fn replace_index(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        bytes: &[u8],
        precondition: &Precondition,
        scope: &Scope,
    ) -> Result<Option<Stored>, RemoteError> {
        let url = self.url(&format!("/v2/{repository}/manifests/{tag}"));
        let mut ask = Ask::new(Method::Put, url, scope).with_header("content-type", MediaType::index().as_str());
        ask = match precondition {
            Precondition::None => ask,
            Precondition::Is(etag) => ask.with_header("if-match", etag),
            Precondition::Absent => ask.with_header("if-none-match", "*"),
        };
        match self.put(ask, bytes, &mut self.tries())? {
            answer if answer.status == 412 => Ok(None),
            answer => self.stored(answer, bytes).map(Some),
        }
    }

    fn put(&self, mut ask: Ask<'_>, bytes: &[u8], tries: &mut Tries) -> Result<Answer, RemoteError> {
        ask.patience = Some(COMMIT_TIMEOUT);
        self.ask(&ask, bytes, tries)
    }

    fn stored(&self, answer: Answer, bytes: &[u8]) -> Result<Stored, RemoteError> {
        let said = content_digest(&answer);
        // Other answers than 201 count only if they name the digest: a server that is no registry answers 200, too.
        match answer.status {
            201 => {}
            200 | 202 | 204 if said.is_some() => {}
            _ => return Err(self.refusal(answer, Method::Put)),
        }
        if let Some(said) = said.filter(|said| is_other_digest(said, bytes)) {
            return Err(self.odd(format!("stored a manifest as {said}, which is not the digest of what was sent")));
        }
        let tags = answer.all("oci-tag").flat_map(|tags| tags.split(',')).map(|tag| tag.trim().to_owned()).collect();
        Ok(Stored { lists_referrer: answer.header("oci-subject").is_some(), tags })
    }

    /// Returns text of the registry as an error may repeat it.
    fn shown(&self, text: &str) -> String {
        on_one_line(&self.shared.secrets.redact(text))
    }

    /// Returns how a manifest is called.
    fn named(&self, repository: &RepositoryName, reference: &ManifestReference) -> String {
        let separator = if matches!(reference, ManifestReference::Tag(_)) { ':' } else { '@' };
        format!("{}/{repository}{separator}{reference}", self.shared.host)
    }
}

/// Returns whether a digest is of a known algorithm and not that of some bytes.
fn is_other_digest(said: &Digest, bytes: &[u8]) -> bool {
    said.algorithm().is_some_and(|algorithm| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish() != *said
    })
}

/// Returns the digest that an answer says of its content.
pub(super) fn content_digest(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest").and_then(|digest| digest.trim().parse().ok())
}
