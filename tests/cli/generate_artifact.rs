//! `layout generate manifest` with `--artifact-type` and `--subject`

use serde_json::{Value, json};

use crate::registry::{EMPTY_TYPE, REF_NAME, digest, is_usage_error, listed};
use crate::support::*;

const GENERATE: &str = "generate manifest -p image";
const TITLE: &str = "org.opencontainers.image.title";

fn empty() -> Value {
    json!({"mediaType": EMPTY_TYPE, "digest": sha256(b"{}"), "size": 2, "data": "e30="})
}

/// Creates an empty layout with a file.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("sbom.json", "{\"sbom\":1}");
    sandbox
}

/// Generates a manifest, and returns it with its entry in index.json, the last one.
#[track_caller]
fn generate(sandbox: &Sandbox, words: &str) -> (Value, Value) {
    let generated = sandbox.ok_json(&format!("{GENERATE} {words}"));
    let entries = listed(sandbox);
    let entry = entries.as_array().expect("entries").last().expect("an entry").clone();
    assert_eq!(entry["digest"], generated["digest"]);
    (sandbox.blob_json(digest(&generated)), entry)
}

#[test]
fn g1_an_artifact_needs_neither_config_nor_layers() {
    let sandbox = sandbox();
    let (manifest, entry) = generate(&sandbox, "--artifact-type a/b");
    assert_eq!(
        manifest,
        json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": "a/b", "config": empty(),
            "layers": [empty()]})
    );
    let expected =
        json!({"mediaType": MANIFEST_TYPE, "digest": entry["digest"], "size": entry["size"], "artifactType": "a/b"});
    assert_eq!(entry, expected);
    sandbox.has_blobs([&sha256(b"{}"), digest(&entry)]);
    sandbox.is_valid();
    // Generated again it takes its own place; the documents of the former go.
    let (_, again) = generate(&sandbox, "--artifact-type c/d --annotation x=y");
    assert_eq!(listed(&sandbox), json!([again]));
    sandbox.has_blobs([&sha256(b"{}"), digest(&again)]);
    sandbox.is_valid();
}

#[test]
fn g1_staged_layers_are_files_and_a_config_of_another_kind_stays() {
    let sandbox = sandbox();
    sandbox.ok(&format!(
        "add layer image -f sbom.json --media-type application/json --compress-format none --annotation {TITLE}=sbom.json"
    ));
    let (manifest, entry) = generate(&sandbox, "--artifact-type a/b --ref-name v1");
    let layer = json!({"mediaType": "application/json", "digest": sha256(b"{\"sbom\":1}"), "size": 10,
        "annotations": {TITLE: "sbom.json"}});
    assert_eq!((&manifest["config"], &manifest["layers"]), (&empty(), &json!([layer])));
    assert_eq!((&entry["annotations"][REF_NAME], entry.get("platform")), (&json!("v1"), None));
    sandbox.ok("generate config image --media-type application/vnd.example.config.v1+json");
    let config = sandbox.stage()["config"].clone();
    let (manifest, entry) = generate(&sandbox, "--artifact-type a/b --ref-name v1");
    assert_eq!(
        manifest["config"],
        json!({"mediaType": "application/vnd.example.config.v1+json", "digest": config["digest"], "size": config["size"]})
    );
    assert_eq!(listed(&sandbox), json!([entry]));
    // Annotating keeps the type of the artifact.
    sandbox.ok("annotate manifest image --annotation x=y");
    let annotated = listed(&sandbox)[0].clone();
    assert_eq!(annotated["artifactType"], "a/b");
    assert_eq!(sandbox.blob_json(digest(&annotated))["annotations"], json!({"x": "y"}));
    sandbox.is_valid();
}

#[test]
fn an_image_config_of_an_artifact_gives_the_entry_no_platform() {
    let sandbox = Sandbox::configured();
    let (manifest, entry) = generate(&sandbox, "--artifact-type a/b");
    assert_eq!((&manifest["artifactType"], entry.get("platform")), (&json!("a/b"), None));
    assert_eq!(manifest["config"]["digest"], CONFIG);
    sandbox.ok("add layer image --file base.tar");
    sandbox.refuses(
        &format!("{GENERATE} --artifact-type a/b"),
        "config does not match the staged layers; run 'layout generate config' again",
    );
}

#[test]
fn without_an_artifact_type_an_image_is_generated_and_an_empty_config_is_refused() {
    let sandbox = sandbox();
    sandbox.refuses(GENERATE, "no layers have been staged; run 'layout add layer' first");
    sandbox.ok("add layer image -f base.tar");
    sandbox.refuses(GENERATE, "config not generated; run 'layout generate config' first");
    sandbox.ok(&format!("generate config image --media-type {EMPTY_TYPE}"));
    let outcome = sandbox.run(GENERATE);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("artifactType is missing, though the config is empty"), "{outcome:?}");
}

#[test]
fn g1_a_title_is_the_name_of_a_file() {
    let sandbox = sandbox();
    let hint = "use 'layout annotate layer' to set another org.opencontainers.image.title";
    sandbox.ok("add layer image -f sbom.json --media-type a/b");
    sandbox.ok(&format!("add layer image -f sbom.json --media-type a/b --annotation {TITLE}=x"));
    for title in ["../x", "/etc/x", "a/b", "..", "."] {
        sandbox.ok(&format!("annotate layer image --index 0 --annotation {TITLE}={title}"));
        sandbox.refuses(
            &format!("{GENERATE} --artifact-type a/b"),
            &format!("the title of layer 0 is '{title}', which is not the name of a file; {hint}"),
        );
    }
    sandbox.ok(&format!("annotate layer image --index 0 --annotation {TITLE}=x"));
    sandbox.refuses(&format!("{GENERATE} --artifact-type a/b"), &format!("layers 0 and 1 have one title, 'x'; {hint}"));
    sandbox.ok(&format!("annotate layer image --index 0 --annotation {TITLE}=y"));
    sandbox.ok(&format!("{GENERATE} --artifact-type a/b"));
}

#[test]
fn g1_a_subject_is_an_image_an_index_or_an_artifact_of_the_layout() {
    let sandbox = Sandbox::built();
    sandbox.ok("reset image");
    let image = listed(&sandbox)[0].clone();
    let subject = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    for reference in ["latest", MANIFEST, &MANIFEST[..20]] {
        let (manifest, _) = generate(&sandbox, &format!("--artifact-type a/b --subject {reference}"));
        assert_eq!(manifest["subject"], subject, "{reference}");
    }
    let signed = listed(&sandbox)[1].clone();
    assert_eq!(listed(&sandbox), json!([image, signed]));
    // After a reset it is another artifact, and the first one stays.
    sandbox.ok("reset image");
    let (manifest, entry) = generate(&sandbox, &format!("--artifact-type a/sign --subject {}", digest(&signed)));
    assert_eq!(manifest["subject"]["digest"], signed["digest"]);
    assert_eq!(listed(&sandbox), json!([image, signed, entry]));
    sandbox.is_valid();
    // The manifest of an image may have a subject, too.
    sandbox.ok("reset image");
    sandbox.ok("add layer image -f base.tar");
    sandbox.ok("generate config image");
    let (manifest, entry) = generate(&sandbox, "--subject latest --ref-name derived");
    assert_eq!((&manifest["subject"], &entry["platform"]["os"]), (&subject, &json!("linux")));
    assert_eq!(manifest.get("artifactType"), None);
    sandbox.is_valid();
}

#[test]
fn g1_a_missing_subject_needs_a_flag_with_a_digest_and_its_size() {
    let sandbox = Sandbox::built();
    sandbox.ok("reset image");
    let missing = sha256(b"missing");
    let allow = "--allow-missing-subject";
    let elsewhere = "its tags are latest; --allow-missing-subject takes a digest that is elsewhere";
    for reference in ["v9", &missing] {
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("{GENERATE} --artifact-type a/b --subject {reference}"));
        outcome.is(1, "", format!("Error: image has no manifest '{reference}'; {elsewhere}\n"));
        assert_eq!(sandbox.tree(), before);
    }
    for words in [
        format!("--subject {missing} {allow}"),
        format!("--subject {missing} --subject-size 7"),
        format!("--subject {missing} --subject-media-type {INDEX_TYPE}"),
        format!("{allow} --subject-size 7"),
        format!("--subject {missing} {allow} --subject-size x"),
    ] {
        is_usage_error(&sandbox, &format!("{GENERATE} --artifact-type a/b {words}"));
    }
    let tag = sandbox.run(&format!("{GENERATE} --artifact-type a/b --subject latest {allow} --subject-size 7"));
    assert_eq!((tag.status, tag.stdout.as_str()), (2, ""));
    assert!(tag.stderr.starts_with("Error: --allow-missing-subject needs a digest as --subject, and "), "{tag:?}");
    // The subject is there: its size is known.
    sandbox.refuses(
        &format!("{GENERATE} --artifact-type a/b --subject {MANIFEST} {allow} --subject-size 7"),
        &format!("size mismatch for {MANIFEST}: expected {MANIFEST_SIZE}, got 7"),
    );
    let (manifest, _) =
        generate(&sandbox, &format!("--artifact-type a/b --subject {missing} {allow} --subject-size 7"));
    assert_eq!(manifest["subject"], json!({"mediaType": MANIFEST_TYPE, "digest": missing, "size": 7}));
    let words = format!("--subject {missing} {allow} --subject-size 7 --subject-media-type {INDEX_TYPE}");
    let (manifest, _) = generate(&sandbox, &format!("--artifact-type a/b {words}"));
    assert_eq!(manifest["subject"]["mediaType"], INDEX_TYPE);
    sandbox.is_valid();
    sandbox.refuses(&format!("{GENERATE} --artifact-type text"), "'text' is not a media type of the form type/subtype");
}
