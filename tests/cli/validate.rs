//! `layout validate`

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn a_valid_layout_is_said_to_be_so_and_json_counts_what_was_checked() {
    let sandbox = Sandbox::built();
    sandbox.run("layout validate --path image").succeeds("Layout at image is valid.\n", "");
    assert_eq!(
        sandbox.ok_json("layout validate --path image"),
        json!({
            "valid": true, "layout_path": "image", "errors": [], "warnings": [],
            "checked": {"blobs": 4, "bytes": BASE_SIZE + PATCHES_SIZE + CONFIG_SIZE + MANIFEST_SIZE},
        })
    );
    assert_eq!(Sandbox::new().ok_json("layout validate --path image")["checked"], json!({"blobs": 0, "bytes": 0}));
}

/// Compares the findings under `--json` with those in text.
#[track_caller]
fn finds(sandbox: &Sandbox, errors: &[String]) {
    let before = sandbox.tree();
    let text: String = errors.iter().map(|error| format!("Error: {error}\n")).collect();
    sandbox.run("layout validate --path image").fails(text);
    let outcome = sandbox.run("layout validate --path image --json");
    let value = outcome.json();
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""));
    assert_eq!(
        (&value["valid"], &value["errors"], &value["layout_path"]),
        (&json!(false), &json!(errors), &json!("image"))
    );
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn every_finding_is_reported_and_not_the_first_only() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path(blob_name(BASE))).expect("removed");
    sandbox.write(&blob_name(CONFIG), "{}");
    sandbox.write(&blob_name(PATCHES), "short");
    let mismatch = |digest, content: &str| {
        format!("digest mismatch for {digest}: expected {digest}, got {}", sha256(content.as_bytes()))
    };
    finds(
        &sandbox,
        &[
            format!("size mismatch for {CONFIG}: expected {CONFIG_SIZE}, got 2"),
            mismatch(CONFIG, "{}"),
            format!("blob {BASE} referenced by {MANIFEST} does not exist"),
            format!("size mismatch for {PATCHES}: expected {PATCHES_SIZE}, got 5"),
            mismatch(PATCHES, "short"),
        ],
    );
}

#[test]
fn the_marker_is_checked() {
    let sandbox = Sandbox::built();
    for (content, reason) in [
        ("{}", "missing field `imageLayoutVersion` at line 1 column 2"),
        ("", "EOF while parsing a value at line 1 column 0"),
    ] {
        sandbox.write("image/oci-layout", content);
        finds(&sandbox, &[format!("oci-layout at image is malformed: {reason}")]);
    }
    sandbox.write("image/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    finds(&sandbox, &["Invalid imageLayoutVersion in oci-layout: '2.0.0', expected '1.0.0'".to_owned()]);
    fs::remove_file(sandbox.path("image/oci-layout")).expect("removed");
    finds(&sandbox, &["image is not an OCI Image Layout (missing oci-layout file)".to_owned()]);
}

#[test]
fn a_document_that_is_not_what_its_media_type_says_is_an_error() {
    let sandbox = Sandbox::new();
    let digest = sandbox.store("[]");
    let list = |media_type: &str, size: u64| {
        json!({"schemaVersion": 2, "manifests": [{"mediaType": media_type, "digest": digest, "size": size}]})
            .to_string()
    };
    for (media_type, kind) in [(MANIFEST_TYPE, "image manifest"), (INDEX_TYPE, "image index")] {
        sandbox.write("image/index.json", list(media_type, 2));
        let value = sandbox.run("layout validate --path image --json").json();
        let error = value["errors"][0].as_str().expect("a text");
        assert!(error.starts_with(&format!("{digest} is not a valid {kind}: ")), "{error}");
        assert_eq!(value["errors"].as_array().map(Vec::len), Some(1));
    }
    // What is of a type that nobody here knows is compared with its digest and size only.
    sandbox.write("image/index.json", list("application/x-thing", 2));
    sandbox.is_valid();
    sandbox.write("image/index.json", list("application/x-thing", 3));
    finds(&sandbox, &[format!("size mismatch for {digest}: expected 3, got 2")]);
}

#[test]
fn nested_indexes_are_followed_and_cycles_end() {
    let sandbox = Sandbox::built();
    let missing = format!("sha256:{}", "0".repeat(64));
    let entry = |digest: &str, size: usize| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": size});
    let mut content = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE},
        {"mediaType": MANIFEST_TYPE, "digest": missing, "size": 1}]})
    .to_string();
    let mut digest = sandbox.store(&content);
    let innermost = digest.clone();
    for _ in 0..200 {
        content =
            json!({"schemaVersion": 2, "manifests": [entry(&digest, content.len()), entry(&digest, content.len())]})
                .to_string();
        digest = sandbox.store(&content);
    }
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([entry(&digest, content.len())]));
    finds(&sandbox, &[format!("blob {missing} referenced by {innermost} does not exist")]);
}

#[test]
fn content_that_may_be_elsewhere_is_a_warning_if_it_is_missing() {
    let sandbox = Sandbox::new();
    let digest = sha256(b"elsewhere");
    let entry = json!({"mediaType": "a/b", "digest": digest, "size": 9, "urls": ["https://example.com/x"]});
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([entry]));
    let message = format!("blob {digest} referenced by index.json does not exist");
    sandbox
        .run("layout validate --path image")
        .succeeds("Layout at image is valid.\n", format!("Warning: {message}\n"));
    let value = sandbox.ok_json("layout validate --path image");
    assert_eq!((&value["valid"], &value["warnings"]), (&json!(true), &json!([message])));
}

#[test]
fn a_blob_that_nothing_refers_to_is_no_error() {
    let sandbox = Sandbox::built();
    sandbox.store("an orphan");
    sandbox.is_valid();
}

#[cfg(unix)]
#[test]
fn a_blob_must_be_a_regular_file() {
    let sandbox = Sandbox::built();
    fs::rename(sandbox.path(blob_name(BASE)), sandbox.path("elsewhere")).expect("renamed");
    std::os::unix::fs::symlink(sandbox.path("elsewhere"), sandbox.path(blob_name(BASE))).expect("linked");
    finds(&sandbox, &[format!("blob {BASE} is not a regular file")]);
    fs::remove_file(sandbox.path(blob_name(BASE))).expect("removed");
    fs::create_dir(sandbox.path(blob_name(BASE))).expect("created");
    finds(&sandbox, &[format!("blob {BASE} is not a regular file")]);
}

#[test]
fn json_has_one_value_for_any_layout() {
    let keys = |value: Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for sandbox in [Sandbox::empty(), Sandbox::new(), Sandbox::built()] {
        let value = sandbox.run("layout validate --path image --json").json();
        assert_eq!(keys(value), ["checked", "errors", "layout_path", "valid", "warnings"]);
    }
}
