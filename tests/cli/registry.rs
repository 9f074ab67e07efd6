//! Shared by the tests of a layout as a registry: documents that are stored by hand, as other programs do.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::*;

pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub(crate) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// The end of errors about names.
pub(crate) const SEE_TAGS: &str = "(MANIFEST_UNKNOWN); 'layout tag list' lists the tags";
pub(crate) const SEE_CATALOG: &str = "(NAME_UNKNOWN); 'layout catalog list' lists the repositories";
pub(crate) const TAG_GRAMMAR: &str =
    "is not a tag: up to 128 letters, digits and . _ - of which neither . nor - is the first (NAME_INVALID)";
pub(crate) const REF_NAME_GRAMMAR: &str =
    "is not a reference name: letters and digits, joined by one of - . _ : @ + / or by -- (NAME_INVALID)";
pub(crate) const IS_DIGEST: &str = "would be read as a digest, because it is one or ends in one (NAME_INVALID)";
pub(crate) const REPOSITORY_GRAMMAR: &str = "is not a repository name: lower-case letters and digits, joined by . _ __ or dashes, in parts between slashes (NAME_INVALID)";

/// Stores content and returns a descriptor of it.
pub(crate) fn blob(sandbox: &Sandbox, media_type: &str, content: &str) -> Value {
    json!({"mediaType": media_type, "digest": sandbox.store(content), "size": content.len()})
}

/// Stores a document and returns a descriptor of it.
pub(crate) fn document(sandbox: &Sandbox, content: &Value) -> Value {
    blob(sandbox, content["mediaType"].as_str().expect("a media type"), &content.to_string())
}

/// Adds fields to an object.
pub(crate) fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields") };
    object.as_object_mut().expect("an object").extend(fields);
    object
}

/// Returns the descriptor with a ref name.
pub(crate) fn named(descriptor: &Value, name: &str) -> Value {
    with(descriptor.clone(), json!({"annotations": {REF_NAME: name}}))
}

/// Returns the descriptor of an image with a platform.
pub(crate) fn on(descriptor: &Value, architecture: &str) -> Value {
    with(descriptor.clone(), json!({"platform": {"architecture": architecture, "os": "linux"}}))
}

pub(crate) fn manifest(config: &Value, layers: &[&Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers})
}

pub(crate) fn index(entries: &[&Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
}

/// Stores an empty tar, and an image with this layer. Images of different architectures differ.
pub(crate) fn image(sandbox: &Sandbox, architecture: &str) -> Value {
    let config = config(sandbox, architecture);
    document(sandbox, &manifest(&config, &[&layer(sandbox)]))
}

pub(crate) fn config(sandbox: &Sandbox, architecture: &str) -> Value {
    config_of(sandbox, architecture, &[&layer(sandbox)])
}

/// Stores a config for an architecture, with the digests of these layers as diff_ids.
pub(crate) fn config_of(sandbox: &Sandbox, architecture: &str, layers: &[&Value]) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer["digest"]).collect();
    let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
    blob(sandbox, CONFIG_TYPE, &json!({"architecture": architecture, "os": "linux", "rootfs": rootfs}).to_string())
}

pub(crate) fn layer(sandbox: &Sandbox) -> Value {
    blob(sandbox, TAR_TYPE, &"\0".repeat(1024))
}

/// Returns a manifest with a subject, without storing it.
pub(crate) fn about(sandbox: &Sandbox, subject: &Value, artifact_type: &str) -> Value {
    let empty = blob(sandbox, EMPTY_TYPE, "{}");
    let subject = json!({"mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]});
    with(manifest(&empty, &[&empty]), json!({"artifactType": artifact_type, "subject": subject}))
}

/// Sets the entries of `index.json`.
pub(crate) fn list(sandbox: &Sandbox, entries: &[&Value]) {
    sandbox.write("image/index.json", index(entries).to_string());
}

/// Deletes a blob, and returns its descriptor with the content in `data`.
pub(crate) fn embedded(sandbox: &Sandbox, descriptor: &Value) -> Value {
    let content = sandbox.blob(digest(descriptor));
    std::fs::remove_file(sandbox.path(blob_name(digest(descriptor)))).expect("deleted");
    with(descriptor.clone(), json!({"data": base64::engine::general_purpose::STANDARD.encode(content)}))
}

/// The entries of `index.json`.
pub(crate) fn listed(sandbox: &Sandbox) -> Value {
    sandbox.index()["manifests"].clone()
}

pub(crate) fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

pub(crate) fn size(descriptor: &Value) -> u64 {
    descriptor["size"].as_u64().expect("a size")
}

/// Stores a document that refers to blobs in a way only known to the specification of its media type.
pub(crate) fn foreign(sandbox: &Sandbox, content: &Value, media_type: &str) -> Value {
    blob(sandbox, media_type, &content.to_string())
}

/// The image-spec's earlier form of artifacts: a manifest without a config, with blobs.
pub(crate) fn artifact(sandbox: &Sandbox, subject: &Value, blobs: &[&Value]) -> Value {
    let content = json!({
        "mediaType": ARTIFACT_TYPE, "artifactType": "application/spdx+json", "blobs": blobs, "subject": subject,
        "annotations": {"com.example.key": "value"},
    });
    document(sandbox, &content)
}

/// Stores a Docker manifest of schema 1, which has no media types for its parts.
pub(crate) fn schema_1(sandbox: &Sandbox, layers: &[&str]) -> Value {
    let layers: Vec<_> = layers.iter().map(|digest| json!({"blobSum": digest})).collect();
    let content = json!({
        "schemaVersion": 1, "name": "app", "tag": "v1", "architecture": "amd64", "fsLayers": layers,
        "history": [{"v1Compatibility": "{}"}],
    });
    foreign(sandbox, &content, "application/vnd.docker.distribution.manifest.v1+prettyjws")
}

/// Creates a layout with a named image.
pub(crate) fn with_image(name: &str) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    let image = image(&sandbox, "amd64");
    list(&sandbox, &[&named(&image, name)]);
    (sandbox, image)
}

/// Runs a command with arguments that may contain spaces; it must fail with a message and change nothing.
#[track_caller]
pub(crate) fn refuses_words(sandbox: &Sandbox, words: &str, more: &[&str], message: &str) {
    let before = sandbox.tree();
    sandbox.run_words(words.split_whitespace().chain(more.iter().copied())).fails(format!("Error: {message}\n"));
    assert_eq!(sandbox.tree(), before, "{words} {more:?} changed something");
}

/// Runs a command that the parser of the command line must refuse.
#[track_caller]
pub(crate) fn is_usage_error(sandbox: &Sandbox, words: &str) {
    let before = sandbox.tree();
    sandbox.run(words).fails_with(2, predicates::str::starts_with("error: "));
    assert_eq!(sandbox.tree(), before, "{words} changed something");
}
