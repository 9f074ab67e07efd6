//! `layout annotate manifest`

use serde_json::json;

use crate::support::*;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn annotate(sandbox: &Sandbox, words: &str) -> String {
    let value = sandbox.ok_json(&format!("layout annotate manifest --path image {words}"));
    value["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn the_manifest_gets_a_new_digest_and_its_entry_follows() {
    let sandbox = Sandbox::built();
    let mut manifest = sandbox.blob_json(MANIFEST);
    manifest["annotations"] = json!({"a": "1", "b": "2"});
    let content = manifest.to_string();
    let (digest, size) = (sha256(content.as_bytes()), content.len());
    let mut index = sandbox.index();
    index["manifests"][0]["digest"] = json!(digest);
    index["manifests"][0]["size"] = json!(size);

    sandbox.run("layout annotate manifest --path image --annotation b=2 --annotation a=1").succeeds(
        format!(
            "Updated manifest:\n      digest: {digest}\n        size: {size}\n  media-type: {MANIFEST_TYPE}\n    ref-name: latest\n  annotations:\n    a = 1\n    b = 2\n"
        ),
        "",
    );
    assert_eq!(sandbox.blob(&digest), content.as_bytes());
    assert_eq!(sandbox.index(), index);
    assert_eq!(
        sandbox.stage()["manifest"],
        json!({"digest": digest, "size": size, "media_type": MANIFEST_TYPE, "ref_name": "latest",
            "annotations": {"a": "1", "b": "2"}})
    );
    sandbox.has_blobs([BASE, PATCHES, CONFIG, &digest]);
    sandbox.is_valid();
}

#[test]
fn json_shows_the_ref_name_among_the_annotations() {
    let sandbox = Sandbox::built();
    let value = sandbox.ok_json("layout annotate manifest --path image --annotation a=1");
    let digest = value["digest"].as_str().expect("a digest");
    assert_eq!(
        value,
        json!({"digest": digest, "size": sandbox.blob(digest).len(), "media_type": MANIFEST_TYPE, "ref_name": "latest",
            "annotations": {"a": "1", REF_NAME: "latest"}})
    );
}

#[test]
fn the_same_value_again_changes_nothing() {
    let sandbox = Sandbox::built();
    let digest = annotate(&sandbox, "--annotation a=1");
    let before = sandbox.tree();
    assert_eq!(annotate(&sandbox, "--annotation a=1"), digest);
    assert_eq!(annotate(&sandbox, "--annotation a=1 --replace"), digest);
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn annotations_merge_unless_they_replace() {
    let sandbox = Sandbox::built();
    annotate(&sandbox, "--annotation a=1 --annotation b=2");
    let digest = annotate(&sandbox, "--annotation b=3");
    assert_eq!(sandbox.blob_json(&digest)["annotations"], json!({"a": "1", "b": "3"}));
    let digest = annotate(&sandbox, "--annotation c=4 --replace");
    assert_eq!(sandbox.blob_json(&digest)["annotations"], json!({"c": "4"}));
    sandbox.has_blobs([BASE, PATCHES, CONFIG, &digest]);
    assert_eq!(sandbox.index()["manifests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn every_other_entry_with_that_digest_stays_as_it_was() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout generate manifest --path image --ref-name v1");
    sandbox.edit("image/index.json", |index| {
        let unnamed = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE, "x": 1});
        index["manifests"].as_array_mut().expect("a list").push(unnamed);
    });
    let before = sandbox.index();
    let digest = annotate(&sandbox, "--annotation a=1");
    let mut expected = before.clone();
    // The manifest generated last has the ref name v1.
    expected["manifests"][1]["digest"] = json!(digest);
    expected["manifests"][1]["size"] = json!(sandbox.blob(&digest).len());
    assert_eq!(sandbox.index(), expected);
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST, &digest]);
    sandbox.is_valid();
}

#[test]
fn unknown_fields_of_the_manifest_and_its_entry_survive() {
    let sandbox = Sandbox::built();
    let mut manifest = sandbox.blob_json(MANIFEST);
    manifest["x-kept"] = json!({"deep": [1.50, null]});
    manifest["artifactType"] = json!("a/b");
    manifest["subject"] = json!({"mediaType": "a/b", "digest": sha256(b"subject"), "size": 7});
    manifest["layers"][0]["urls"] = json!(["https://example.com/x"]);
    manifest["layers"][0]["x"] = json!(1);
    let content = manifest.to_string();
    let old = sandbox.store(&content);
    sandbox.edit("image/.regshape-stage.json", |stage| stage["manifest"]["digest"] = json!(old));
    sandbox.edit("image/index.json", |index| {
        index["x-kept"] = json!(true);
        index["manifests"][0]["digest"] = json!(old);
        index["manifests"][0]["size"] = json!(content.len());
        index["manifests"][0]["artifactType"] = json!("a/b");
        index["manifests"][0]["urls"] = json!(["https://example.com/y"]);
        index["manifests"][0]["x-kept"] = json!("too");
    });
    let mut index = sandbox.index();
    let digest = annotate(&sandbox, "--annotation a=1");
    manifest["annotations"] = json!({"a": "1"});
    assert_eq!(sandbox.blob_json(&digest), manifest);
    index["manifests"][0]["digest"] = json!(digest);
    index["manifests"][0]["size"] = json!(sandbox.blob(&digest).len());
    assert_eq!(sandbox.index(), index);
}

#[test]
fn a_manifest_that_index_json_does_not_list_cannot_be_annotated() {
    let sandbox = Sandbox::built();
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([]));
    sandbox.refuses(
        "layout annotate manifest --path image --annotation a=1",
        &format!(
            "index.json at image has no entry for the staged manifest {MANIFEST}; run 'layout generate manifest' again"
        ),
    );
}

#[test]
fn a_copy_of_the_manifest_in_its_entry_follows() {
    let sandbox = Sandbox::built();
    let before = sandbox.index()["manifests"][0].clone();
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["data"] = json!("e30=");
        index["manifests"][0]["urls"] = json!(["https://example.com/manifest"]);
    });
    let changed = sandbox.ok_json("layout annotate manifest -p image --annotation a=1");
    let entry = sandbox.index()["manifests"][0].clone();
    assert_ne!(entry["digest"], before["digest"]);
    assert_eq!(entry["urls"], json!(["https://example.com/manifest"]));
    let data = entry["data"].as_str().expect("a copy");
    // Base64 has four characters for every three bytes, rounded up.
    let size = changed["size"].as_u64().expect("a size");
    assert_eq!(data.len() as u64, size.div_ceil(3) * 4);
    // The data must match the digest.
    sandbox.is_valid();
}
