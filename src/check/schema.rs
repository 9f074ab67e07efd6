//! The schemas of the image-spec for an index, a manifest, a config and a descriptor.
//!
//! Each check reads the whole document and returns all faults together with the usable parts.

use std::borrow::Cow;
use std::fmt;

use super::fields::{Fault, Fields};
use super::json::describe;
use super::values::is_url;
use crate::graph::severity::FaultKind;
use crate::json::{Node, NodeKind};
use crate::oci::{ATTESTATION, Digest, IMAGE_NAME, MediaType, REF_NAME, REFERENCE_TYPE, embedded, is_name};
use crate::text::shortened;

/// The kind of a document that refers to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Index,
    Manifest,
    /// The artifact manifest of an early version of the image-spec, removed later.
    Artifact,
}

/// The media type of an artifact manifest.
const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// Docker's schema 1 manifests, signed and unsigned.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

impl Kind {
    /// Returns the kind of document for a media type.
    pub(crate) fn of(media_type: &MediaType) -> Option<Self> {
        if media_type.is_index() {
            Some(Self::Index)
        } else if media_type.is_manifest() {
            Some(Self::Manifest)
        } else {
            (media_type.as_str() == ARTIFACT).then_some(Self::Artifact)
        }
    }

    /// Detects the kind of a document of unknown media type from its content.
    pub(crate) fn by_content(node: Node<'_>) -> Option<Self> {
        let is_array = |key| node.get(key).is_some_and(Node::is_array);
        if is_array("manifests") {
            Some(Self::Index)
        } else {
            (is_array("layers") && node.get("config").is_some()).then_some(Self::Manifest)
        }
    }

    /// Returns the word used in locations: `layer[1] in manifest sha256:…`.
    pub(crate) fn word(self) -> &'static str {
        if self == Self::Index { "index" } else { "manifest" }
    }

    /// Returns the name used in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Index => "image index",
            Self::Manifest => "image manifest",
            Self::Artifact => "artifact manifest",
        }
    }
}

/// Returns whether a media type is that of a Docker schema 1 manifest.
pub(crate) fn is_schema_1(media_type: &MediaType) -> bool {
    SCHEMA_1.contains(&media_type.as_str())
}

/// The usable parts of a descriptor.
#[derive(Debug, Default)]
pub(crate) struct Descriptor {
    pub(crate) media_type: Option<MediaType>,
    pub(crate) digest: Option<Digest>,
    pub(crate) size: Option<u64>,
    pub(crate) has_urls: bool,
    /// The embedded content.
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) platform: Option<Platform>,
    pub(crate) ref_name: Option<String>,
    pub(crate) image_name: Option<String>,
    pub(crate) is_attestation: bool,
    /// The faults of the descriptor.
    pub(crate) faults: Vec<Fault>,
}

/// The parts of a platform that an image config also has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) variant: Option<String>,
}

impl fmt::Display for Platform {
    /// Writes the platform in the form of container engines: `linux/arm64/v8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<String>| part.as_deref().map_or("?".to_owned(), shortened);
        write!(f, "{}/{}", part(&self.os), part(&self.architecture))?;
        if self.variant.is_some() { write!(f, "/{}", part(&self.variant)) } else { Ok(()) }
    }
}

/// The usable parts of a document.
#[derive(Debug, Default)]
pub(crate) struct DocumentParts {
    pub(crate) media_type: Option<MediaType>,
    /// The descriptors in the document and the place of each, in order. The subject is not among them.
    pub(crate) parts: Vec<(String, Descriptor)>,
    pub(crate) subject: Option<Descriptor>,
    /// Whether the list of an index is `null`, as umoci writes an empty list.
    pub(crate) has_null_list: bool,
    /// The faults of the document, without those of its descriptors.
    pub(crate) faults: Vec<Fault>,
}

/// The usable parts of an image config.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) platform: Platform,
    /// The diff_ids; `None` in place of a value that is not a digest.
    pub(crate) diff_ids: Option<Vec<Option<Digest>>>,
    /// The number of history entries that made a layer; `None` if the config has no history.
    pub(crate) history: Option<usize>,
    pub(crate) faults: Vec<Fault>,
}

const INDEX_KEYS: &[&str] = &["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"];
const MANIFEST_KEYS: &[&str] =
    &["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"];
const ARTIFACT_KEYS: &[&str] = &["mediaType", "artifactType", "blobs", "subject", "annotations"];
const DESCRIPTOR_KEYS: &[&str] = &["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType"];
/// The keys of an entry of an index.
const ENTRY_KEYS: &[&str] = &["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];
const PLATFORM_KEYS: &[&str] = &["architecture", "os", "os.version", "os.features", "variant"];
const CONFIG_KEYS: &[&str] =
    &["created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history"];
const EXECUTION_KEYS: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
];
const HISTORY_KEYS: &[&str] = &["created", "author", "created_by", "comment", "empty_layer"];

/// Checks a document.
pub(crate) fn document(kind: Kind, node: Node<'_>) -> DocumentParts {
    let mut document = DocumentParts::default();
    let mut faults = Vec::new();
    let known = match kind {
        Kind::Index => INDEX_KEYS,
        Kind::Manifest => MANIFEST_KEYS,
        Kind::Artifact => ARTIFACT_KEYS,
    };
    if let Some(mut fields) = Fields::new(node, "", known, &mut faults) {
        if kind == Kind::Manifest && node.get("schemaVersion").is_some_and(|version| version.is_number("1")) {
            fields.fault_of_all("it is a Docker schema 1 manifest, which is not supported");
        } else {
            check_document(kind, &mut fields, &mut document);
        }
        fields.unknown(known);
    }
    document.faults = faults;
    document
}

fn check_document(kind: Kind, fields: &mut Fields<'_, '_>, document: &mut DocumentParts) {
    if kind != Kind::Artifact
        && let Some(version) = fields.required("schemaVersion").filter(|version| !version.is_number("2"))
    {
        fields.fault("schemaVersion", format!("is {}, not 2", describe(version)));
    }
    document.media_type = media_type(fields, "mediaType", fields.get("mediaType"));
    media_type(fields, "artifactType", fields.get("artifactType"));
    if fields.get("layers").is_some() && fields.get("manifests").is_some() {
        fields
            .fault_of_all("it has both layers and manifests: it is a manifest to some readers and an index to others");
    }
    if kind == Kind::Manifest
        && let Some(config) = fields.required("config")
    {
        let config = descriptor(config, DESCRIPTOR_KEYS);
        let is_empty = config.media_type.as_ref().is_some_and(MediaType::is_empty);
        if is_empty && fields.get("artifactType").is_none() {
            fields.fault("artifactType", "is missing, though the config is empty");
        }
        document.parts.push(("config".to_owned(), config));
    }
    let (key, place) = match kind {
        Kind::Index => ("manifests", "manifests"),
        Kind::Manifest => ("layers", "layer"),
        Kind::Artifact => ("blobs", "blobs"),
    };
    let list = if kind == Kind::Artifact { fields.get(key) } else { fields.required(key) };
    document.has_null_list = kind == Kind::Index && list.is_some_and(Node::is_null);
    let list = fields.array(key, list.filter(|_| !document.has_null_list));
    if kind == Kind::Manifest && list.is_some_and(|list| list.elements().next().is_none()) {
        fields.fault_of(FaultKind::NoLayers, "layers", "is empty");
    }
    let list = list.filter(|list| {
        let is_sparse = is_sparse(*list);
        if is_sparse {
            fields.fault(key, "has too many entries for its size");
        }
        !is_sparse
    });
    let parts = list.into_iter().flat_map(Node::elements).enumerate();
    let known = if kind == Kind::Index { ENTRY_KEYS } else { DESCRIPTOR_KEYS };
    document.parts.extend(parts.map(|(at, part)| (format!("{place}[{at}]"), descriptor(part, known))));
    document.subject = fields.get("subject").map(|subject| descriptor(subject, DESCRIPTOR_KEYS));
    fields.text_map("annotations", fields.get("annotations"));
}

/// Returns whether a list has more entries than may be kept in memory for a document of its size. An entry takes about
/// a kibibyte of memory, while a descriptor is at least 140 bytes long.
fn is_sparse(list: Node<'_>) -> bool {
    const KEPT: usize = 1000;
    const TIMES: usize = 7;
    const ALLOWANCE: usize = 24 << 20;
    // A shorter list cannot have that many entries.
    list.text().len() / 2 * KEPT > ALLOWANCE && list.elements().count() * KEPT > ALLOWANCE + list.text().len() * TIMES
}

/// Checks a media type.
fn media_type<'n>(fields: &mut Fields<'n, '_>, key: &str, value: Option<Node<'n>>) -> Option<MediaType> {
    let text = fields.text(key, value)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        fields.fault(key, format!("is '{}', not a media type of the form type/subtype", shortened(&text)));
    }
    parsed
}

/// Checks a descriptor against the known keys: those of an entry of an index, or those of any other descriptor.
fn descriptor(node: Node<'_>, known: &'static [&'static str]) -> Descriptor {
    let mut descriptor = Descriptor::default();
    let mut faults = Vec::new();
    if let Some(mut fields) = Fields::new(node, "", known, &mut faults) {
        let value = fields.required("mediaType");
        descriptor.media_type = media_type(&mut fields, "mediaType", value);
        let value = fields.required("digest");
        if let Some(text) = fields.text("digest", value) {
            match text.parse() {
                Ok(digest) => descriptor.digest = Some(digest),
                // The error of the parser would contain the whole text.
                Err(_) if text.len() > 300 => fields.fault("digest", "is no digest: it is too long"),
                Err(error) => fields.fault_of_all(format!("digest {error}")),
            }
        }
        if let Some(value) = fields.required("size") {
            descriptor.size = size(value);
            if descriptor.size.is_none() {
                fields.fault("size", format!("is {}, not a number of bytes", describe(value)));
            }
        }
        fields.text_array("urls", fields.get("urls"), |fields, at, url| {
            descriptor.has_urls = true;
            if !is_url(url) {
                fields.fault(&format!("urls[{at}]"), format!("is '{}', not a URL", shortened(url)));
            }
        });
        if let Some(text) = fields.text("data", fields.get("data")) {
            descriptor.data = embedded(&text);
            if descriptor.data.is_none() {
                fields.fault("data", "is not base64");
            }
        }
        let value = fields.get("artifactType");
        media_type(&mut fields, "artifactType", value);
        let annotations = fields.get("annotations");
        fields.text_map("annotations", annotations);
        let annotation = |key| annotations.and_then(|annotations| annotations.get(key)?.as_str());
        descriptor.ref_name = annotation(REF_NAME).map(Cow::into_owned);
        descriptor.image_name = annotation(IMAGE_NAME).filter(|name| is_name(name)).map(Cow::into_owned);
        descriptor.is_attestation = annotation(REFERENCE_TYPE).as_deref() == Some(ATTESTATION);
        fields.unknown(known);
        let value = fields.get("platform").filter(|_| known.contains(&"platform"));
        descriptor.platform = value.and_then(|value| platform(value, &mut faults));
    }
    descriptor.faults = faults;
    descriptor
}

fn platform(node: Node<'_>, faults: &mut Vec<Fault>) -> Option<Platform> {
    let mut fields = Fields::new(node, "platform", PLATFORM_KEYS, faults)?;
    let platform = platform_of(&mut fields);
    fields.texts(&["os.version"]);
    fields.text_array("os.features", fields.get("os.features"), |_, _, _| ());
    fields.unknown(PLATFORM_KEYS);
    Some(platform)
}

/// Reads the parts of a platform that both entries and configs have.
fn platform_of(fields: &mut Fields<'_, '_>) -> Platform {
    let mut required = |key: &str| {
        let value = fields.required(key);
        let text = fields.text(key, value);
        if text.as_deref() == Some("") {
            fields.fault_of(FaultKind::EmptyPlatform, key, "is empty");
        }
        text.map(Cow::into_owned)
    };
    let (architecture, os) = (required("architecture"), required("os"));
    let variant = fields.text("variant", fields.get("variant")).map(Cow::into_owned);
    Platform { architecture, os, variant }
}

/// Checks an image config.
pub(crate) fn config(node: Node<'_>) -> Config {
    let mut config = Config::default();
    let mut faults = Vec::new();
    if let Some(mut fields) = Fields::new(node, "", CONFIG_KEYS, &mut faults) {
        config.platform = platform_of(&mut fields);
        fields.time("created");
        fields.texts(&["author", "os.version"]);
        fields.text_array("os.features", fields.get("os.features"), |_, _, _| ());
        fields.unknown(CONFIG_KEYS);
        let history = fields.array("history", fields.get("history"));
        let is_layer = |entry: &Node<'_>| entry.get("empty_layer").is_none_or(|is| is.text() != "true");
        config.history = history
            .filter(|history| history.elements().next().is_some())
            .map(|history| history.elements().filter(is_layer).count());
        let (execution, rootfs) = (fields.get("config"), fields.required("rootfs"));
        if let Some(execution) = execution {
            check_execution(execution, &mut faults);
        }
        config.diff_ids = rootfs.and_then(|rootfs| check_rootfs(rootfs, &mut faults));
        for (at, entry) in history.into_iter().flat_map(Node::elements).enumerate() {
            if let Some(mut fields) = Fields::new(entry, &format!("history[{at}]"), HISTORY_KEYS, &mut faults) {
                fields.time("created");
                fields.texts(&["author", "created_by", "comment"]);
                fields.bools(&["empty_layer"]);
                fields.unknown(HISTORY_KEYS);
            }
        }
    }
    config.faults = faults;
    config
}

/// Checks the execution parameters in the `config` of an image config.
fn check_execution(node: Node<'_>, faults: &mut Vec<Fault>) {
    let Some(mut fields) = Fields::new(node, "config", EXECUTION_KEYS, faults) else { return };
    for key in ["User", "WorkingDir", "StopSignal"] {
        let value = fields.set(key, false, "a string");
        fields.text(key, value);
    }
    for key in ["Entrypoint", "Cmd"] {
        let value = fields.set(key, true, "an array");
        fields.text_array(key, value, |_, _, _| ());
    }
    let env = fields.set("Env", false, "an array");
    fields.text_array("Env", env, |fields, at, entry| {
        if entry.find('=').is_none_or(|at| at == 0) {
            fields.fault(&format!("Env[{at}]"), format!("is '{}', not of the form NAME=VALUE", shortened(entry)));
        }
    });
    for (key, null_is_allowed) in [("ExposedPorts", false), ("Volumes", true)] {
        let value = fields.set(key, null_is_allowed, "an object");
        fields.name_set(key, value);
    }
    let labels = fields.set("Labels", true, "an object");
    fields.text_map("Labels", labels);
    if fields.set("ArgsEscaped", false, "true or false").is_some() {
        fields.bools(&["ArgsEscaped"]);
    }
    fields.unknown(EXECUTION_KEYS);
}

fn check_rootfs(node: Node<'_>, faults: &mut Vec<Fault>) -> Option<Vec<Option<Digest>>> {
    let mut fields = Fields::new(node, "rootfs", &["type", "diff_ids"], faults)?;
    let kind = fields.required("type");
    if let Some(kind) = fields.text("type", kind).filter(|kind| *kind != "layers") {
        fields.fault("type", format!("is '{}', not 'layers'", shortened(&kind)));
    }
    let diff_ids = fields.required("diff_ids");
    let diff_ids = fields.array("diff_ids", diff_ids)?;
    let mut read = Vec::new();
    for (at, value) in diff_ids.elements().enumerate() {
        let key = format!("diff_ids[{at}]");
        let text = fields.text(&key, Some(value));
        let digest = text.as_ref().and_then(|text| text.parse().ok());
        if let (Some(text), None) = (text, &digest) {
            fields.fault(&key, format!("is '{}', not a digest", shortened(&text)));
        }
        read.push(digest);
    }
    fields.unknown(&["type", "diff_ids"]);
    Some(read)
}

/// Reads a size, which is a signed 64-bit number in the image-spec.
fn size(value: Node<'_>) -> Option<u64> {
    let NodeKind::Number(text) = value.kind() else { return None };
    text.parse().ok().filter(|size| i64::try_from(*size).is_ok())
}
