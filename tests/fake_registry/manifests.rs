//! Manifests, tags and referrers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::body::{Body, BodyError};
use super::http::{Answer, Framing, Request, encode};
use super::options::Options;
use super::registry::Registry;
use super::server::lock;
use super::store::{Manifest, Repository, State, digest_like, is_digest, is_digest_like, is_tag};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn unknown() -> Answer {
    Answer::error(404, "MANIFEST_UNKNOWN", "there is no such manifest")
}

fn invalid(message: impl Into<String>) -> Answer {
    Answer::error(400, "MANIFEST_INVALID", message)
}

/// Returns the media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Returns whether the Accept headers of a request allow a media type.
fn accepts(request: &Request, media_type: &str) -> bool {
    let mut values = request.headers.iter().filter(|(name, _)| name == "accept").peekable();
    let allows = |range: &str| matches!(essence(range), "*/*" | "application/*") || essence(range) == media_type;
    values.peek().is_none() || values.any(|(_, value)| value.split(',').any(allows))
}

impl Registry {
    /// GET and HEAD of a manifest.
    pub(crate) fn manifest(&self, name: &str, reference: &str, request: &Request) -> Answer {
        let options = self.options();
        let state = lock(&self.state);
        let Some(repository) = state.repositories.get(name) else {
            return Answer::error(404, "NAME_UNKNOWN", "there is no such repository");
        };
        let Some((digest, manifest)) = repository.resolve(reference) else { return unknown() };
        if !accepts(request, &manifest.media_type) {
            return Answer::error(404, "MANIFEST_UNKNOWN", "the Accept headers do not allow the manifest's type");
        }
        let tag = format!("\"{digest}\"");
        if request.header("if-none-match") == Some(&tag) {
            return Answer::new(304).header("ETag", tag);
        }
        let mut answer = Answer::new(200).header("Content-Type", &manifest.media_type).header("ETag", tag);
        if request.method != "HEAD" || options.has_head_digest {
            answer = answer.header("Docker-Content-Digest", digest);
        }
        Answer { body: super::http::Payload::Bytes(Arc::clone(&manifest.bytes)), ..answer }
    }

    /// PUT of a manifest.
    pub(crate) fn put_manifest(&self, name: &str, reference: &str, request: &Request, body: &mut Body<'_>) -> Answer {
        let options = self.options();
        if body.framing() == Framing::None {
            return Answer::error(411, "SIZE_INVALID", "there is no Content-Length");
        }
        let Some(media_type) = request.header("content-type").map(essence) else {
            return invalid("there is no Content-Type");
        };
        let too_large = || Answer::error(413, "SIZE_INVALID", "the manifest is too large");
        if matches!(body.framing(), Framing::Length(length) if length > options.manifest_limit) {
            return too_large();
        }
        let bytes = match body.read_all(options.manifest_limit) {
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge) => return too_large(),
            Err(_) => return invalid("the body is not whole"),
        };
        let document = match parse(&bytes, media_type) {
            Ok(document) => document,
            Err(answer) => return answer,
        };
        let digest = digest_like(&bytes, reference);
        if is_digest_like(reference) && digest != reference {
            return Answer::error(400, "DIGEST_INVALID", "the digest does not match the body");
        }
        let tags = request.parameters("tag");
        if options.has_many_tags && tags.iter().any(|tag| !is_tag(tag)) {
            return invalid("a tag of the query is wrong");
        }
        let mut state = lock(&self.state);
        if let Err(answer) = check_children(&state, name, &document, &options) {
            return answer;
        }
        let repository = state.repository(name);
        if options.has_conditional_puts && !is_condition_met(repository, reference, request) {
            return Answer::error(412, "MANIFEST_INVALID", "the tag is another manifest");
        }
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: Arc::new(bytes) };
        repository.manifests.insert(digest.clone(), manifest);
        let mut answer = Answer::new(201)
            .header("Location", self.location(request, &format!("/v2/{name}/manifests/{digest}")))
            .header("Docker-Content-Digest", &digest);
        if !is_digest_like(reference) {
            repository.tags.insert(reference.to_owned(), digest.clone());
        } else if options.has_many_tags {
            for tag in tags {
                repository.tags.insert(tag.clone(), digest.clone());
                answer = answer.header("OCI-Tag", tag);
            }
        }
        match document["subject"]["digest"].as_str() {
            Some(subject) if options.has_referrers => answer.header("OCI-Subject", subject),
            _ => answer,
        }
    }

    /// DELETE of a manifest with all its tags, or of a tag.
    pub(crate) fn delete_manifest(&self, name: &str, reference: &str) -> Answer {
        let mut state = lock(&self.state);
        let Some(repository) = state.repositories.get_mut(name) else { return unknown() };
        let is_known = if is_digest_like(reference) {
            repository.tags.retain(|_, digest| digest != reference);
            repository.manifests.remove(reference).is_some()
        } else {
            repository.tags.remove(reference).is_some()
        };
        if is_known { Answer::new(202) } else { unknown() }
    }

    /// GET of the tags, in pages.
    pub(crate) fn tags(&self, name: &str, request: &Request) -> Answer {
        let state = lock(&self.state);
        let Some(repository) = state.repositories.get(name) else {
            return Answer::error(404, "NAME_UNKNOWN", "there is no such repository");
        };
        let asked = match request.parameter("n").map(|number| number.parse::<usize>()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => return Answer::error(400, "UNSUPPORTED", "n is no number"),
        };
        let order = |tag: &String| (tag.to_ascii_lowercase(), tag.clone());
        let mut tags: Vec<&String> = repository.tags.keys().collect();
        tags.sort_by_cached_key(|tag| order(tag));
        if let Some(last) = request.parameter("last") {
            tags.retain(|tag| order(tag) > order(&last));
        }
        let most = [asked, self.options().page_size].into_iter().flatten().min();
        let is_more = most.is_some_and(|most| tags.len() > most && most > 0);
        tags.truncate(most.unwrap_or(usize::MAX));
        let answer = Answer::json(200, &json!({ "name": name, "tags": tags }));
        match tags.last() {
            Some(last) if is_more => {
                let number = asked.map_or(String::new(), |number| format!("&n={number}"));
                let next = format!("/v2/{name}/tags/list?last={}{number}", encode(last));
                answer.header("Link", format!("<{next}>; rel=\"next\""))
            }
            _ => answer,
        }
    }

    /// GET of the referrers of a manifest, in pages.
    pub(crate) fn referrers(&self, name: &str, subject: &str, request: &Request) -> Answer {
        let options = self.options();
        let state = lock(&self.state);
        let mut all = state.repositories.get(name).map(|repository| repository.referrers(subject)).unwrap_or_default();
        let filter = request.parameter("artifactType");
        if let Some(filter) = &filter {
            all.retain(|descriptor| descriptor["artifactType"] == *filter.as_str());
        }
        let first = request.parameter("page").and_then(|page| page.parse().ok()).unwrap_or(0);
        let size = options.page_size.unwrap_or(usize::MAX);
        let page: Vec<&Value> = all.iter().skip(first).take(size).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page });
        let mut answer = Answer::new(200).header("Content-Type", OCI_INDEX).body(index.to_string());
        if first + page.len() < all.len() {
            let kept = filter.as_ref().map_or(String::new(), |filter| format!("&artifactType={}", encode(filter)));
            let next = format!("/v2/{name}/referrers/{subject}?page={}{kept}", first + page.len());
            answer = answer.header("Link", format!("<{next}>; rel=\"next\""));
        }
        if filter.is_some() { answer.header("OCI-Filters-Applied", "artifactType") } else { answer }
    }
}

/// Parses a manifest and checks its type.
fn parse(bytes: &[u8], media_type: &str) -> Result<Value, Answer> {
    if ![OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&media_type) {
        return Err(invalid(format!("unknown type {media_type}")));
    }
    let document: Value = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    if document["schemaVersion"] != 2 {
        return Err(invalid("the schemaVersion is not 2"));
    }
    match &document["mediaType"] {
        Value::Null if document.get("mediaType").is_none() => {}
        Value::String(found) if found == media_type => {}
        found => return Err(invalid(format!("the body says {found} and the Content-Type {media_type}"))),
    }
    let is_index = [OCI_INDEX, DOCKER_LIST].contains(&media_type);
    let lists = if is_index { ["manifests", "layers"] } else { ["layers", "manifests"] };
    if !document[lists[0]].is_array() || document.get(lists[1]).is_some() || is_index == document["config"].is_object()
    {
        return Err(invalid("the body is no manifest of its type"));
    }
    Ok(document)
}

/// Checks that the repository has everything that a manifest consists of. A subject may be missing.
fn check_children(state: &State, name: &str, document: &Value, options: &Options) -> Result<(), Answer> {
    let empty = Repository::default();
    let repository = state.repositories.get(name).unwrap_or(&empty);
    let missing = |digest: &str| Answer::error(404, "MANIFEST_BLOB_UNKNOWN", format!("{digest} is not here"));
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let config = document.get("config").cloned().into_iter();
    for (descriptor, is_blob) in config
        .chain(list("layers"))
        .map(|blob| (blob, true))
        .chain(list("manifests").into_iter().map(|one| (one, false)))
    {
        let digest = descriptor["digest"].as_str().filter(|digest| is_digest(digest));
        let (Some(digest), Some(size)) = (digest, descriptor["size"].as_u64()) else {
            return Err(invalid("a descriptor is wrong"));
        };
        let found = if is_blob {
            repository.blobs.get(digest).map(super::store::Content::len)
        } else {
            repository.manifests.get(digest).map(|manifest| manifest.bytes.len() as u64)
        };
        let may_lack = if is_blob { descriptor["urls"].is_array() } else { options.allows_sparse_indexes };
        match found {
            None if !may_lack => return Err(missing(digest)),
            Some(found) if found != size => return Err(invalid(format!("{digest} has {found} bytes and not {size}"))),
            _ => {}
        }
    }
    Ok(())
}

/// Returns whether `If-Match` and `If-None-Match` allow a PUT.
fn is_condition_met(repository: &Repository, reference: &str, request: &Request) -> bool {
    let current = repository.resolve(reference).map(|(digest, _)| format!("\"{digest}\""));
    let matches = |value: &str| match (&current, value) {
        (None, _) => false,
        (Some(_), "*") => true,
        (Some(current), value) => value.split(',').any(|tag| tag.trim() == current),
    };
    request.header("if-match").is_none_or(matches) && !request.header("if-none-match").is_some_and(matches)
}
