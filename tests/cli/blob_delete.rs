//! `layout blob delete`

use std::fs;

use serde_json::{Value, json};

use crate::registry::{artifact, embedded, index, layer, list, manifest, schema_1, with};
use crate::support::*;

fn words(digest: &str) -> String {
    format!("layout blob delete --path image --digest {digest}")
}

/// Checks that deleting a blob is denied, with its referrer.
#[track_caller]
fn is_denied(sandbox: &Sandbox, digest: &str, referrer: &str) {
    let message = format!("blob {digest} is referenced by {referrer} (DENIED); delete its referrer first");
    sandbox.refuses(&words(digest), &message);
}

/// Stores a document by hand and returns its descriptor.
fn document(sandbox: &Sandbox, media_type: &str, content: &Value) -> Value {
    let content = content.to_string();
    json!({"mediaType": media_type, "digest": sandbox.store(&content), "size": content.len()})
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

#[test]
fn an_unreferenced_blob_is_deleted() {
    let sandbox = Sandbox::built();
    let before = sandbox.blobs();
    let (one, two) = (sandbox.store("one"), sandbox.store("other"));
    sandbox.run(&words(&one)).succeeds(format!("Deleted blob:\n  digest: {one}\n    size: 3\n"), "");
    let expected = json!({"digest": two, "size": 5, "media_type": "application/octet-stream", "status": "deleted"});
    assert_eq!(sandbox.ok_json(&words(&two)), expected);
    assert_eq!(sandbox.blobs(), before);
    sandbox.refuses(&words(&one), &format!("image has no blob {one} (BLOB_UNKNOWN)"));
    sandbox.is_valid();
}

#[test]
fn the_blobs_of_an_image_are_not_deleted() {
    let sandbox = Sandbox::built();
    is_denied(&sandbox, MANIFEST, "index.json");
    // The staging file refers to the layers and the config, too.
    for digest in [CONFIG, BASE, PATCHES] {
        is_denied(&sandbox, digest, "the staging file");
    }
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    for digest in [CONFIG, BASE, PATCHES] {
        is_denied(&sandbox, digest, MANIFEST);
    }
    // Without its tag the image is unreachable.
    sandbox.ok("layout tag delete --path image --ref latest");
    for digest in [MANIFEST, CONFIG, BASE, PATCHES] {
        assert_eq!(sandbox.run(&words(digest)).status, 0);
    }
    sandbox.has_blobs([]);
    sandbox.is_valid();
}

#[test]
fn a_staged_layer_is_not_deleted() {
    let sandbox = Sandbox::staged();
    is_denied(&sandbox, BASE, "the staging file");
    is_denied(&sandbox, PATCHES, "the staging file");
}

#[test]
fn blobs_of_nested_indexes_and_subjects_are_not_deleted() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    let child = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let inner = document(&sandbox, INDEX_TYPE, &json!({"schemaVersion": 2, "manifests": [child]}));
    let outer = document(&sandbox, INDEX_TYPE, &json!({"schemaVersion": 2, "manifests": [inner]}));
    let only_subject =
        |subject: &Value| json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [], "subject": subject});
    let referrer = document(&sandbox, INDEX_TYPE, &only_subject(&outer));
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([referrer]));
    sandbox.is_valid();
    is_denied(&sandbox, digest(&referrer), "index.json");
    is_denied(&sandbox, digest(&outer), digest(&referrer));
    is_denied(&sandbox, digest(&inner), digest(&outer));
    is_denied(&sandbox, MANIFEST, digest(&inner));
    is_denied(&sandbox, BASE, MANIFEST);
    // A subject of index.json itself.
    sandbox.edit("image/index.json", |index| {
        index["manifests"] = json!([]);
        index["subject"] = referrer.clone();
    });
    is_denied(&sandbox, digest(&referrer), "index.json");
    is_denied(&sandbox, BASE, MANIFEST);
}

#[test]
fn a_document_that_cannot_be_read_may_refer_to_anything() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    let loose = sandbox.store("loose");
    sandbox.write(&blob_name(MANIFEST), "{}");
    let actual = sha256(b"{}");
    let message = format!("digest mismatch for {MANIFEST}: expected {MANIFEST}, got {actual} (DIGEST_INVALID)");
    sandbox.refuses(&words(&loose), &message);
    sandbox.write("image/index.json", "[]");
    sandbox.refuses(&words(&loose), "index.json at image is not a valid OCI Image Index");
}

#[test]
fn blobs_that_layouts_share_are_not_deleted() {
    let sandbox = Sandbox::new();
    let loose = sandbox.store("loose");
    let message = "image shares its blobs with other layouts, which may refer to them (DENIED)";
    sandbox.refuses(&format!("{} --shared-blobs", words(&loose)), message);
}

#[test]
fn files_that_are_no_blobs_are_not_deleted() {
    let sandbox = Sandbox::new();
    let missing = sha256(b"missing");
    sandbox.refuses(&words(&missing), &format!("image has no blob {missing} (BLOB_UNKNOWN)"));
    fs::create_dir(sandbox.path(blob_name(&missing))).expect("made");
    sandbox.refuses(
        &words(&missing),
        &format!("blob {missing} is not a regular file: {} is a directory", blob_name(&missing)),
    );
    sandbox.refuses(&words("latest"), "'latest' is not a digest: it has no colon (DIGEST_INVALID)");
    let message = "missing is not an OCI Image Layout (missing oci-layout file)";
    sandbox.refuses(&format!("layout blob delete --path missing --digest {missing}"), message);
    sandbox.misuses(
        &format!("layout blob delete --path image:v1 --digest {missing}"),
        "'blob delete' takes a layout: remove ':v1' from the path",
    );
}

#[test]
#[cfg(unix)]
fn a_link_is_deleted_and_its_target_stays() {
    let sandbox = Sandbox::new();
    let loose = sandbox.store("loose");
    fs::rename(sandbox.path(blob_name(&loose)), sandbox.path("image/inside")).expect("moved");
    std::os::unix::fs::symlink("../../inside", sandbox.path(blob_name(&loose))).expect("linked");
    sandbox.run(&words(&loose)).succeeds(format!("Deleted blob:\n  digest: {loose}\n    size: 5\n"), "");
    assert_eq!(sandbox.text("image/inside"), "loose");
    sandbox.has_blobs([]);
}

#[test]
fn digests_in_documents_of_unknown_types_are_not_deleted() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    let subject = json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE});
    let sbom = json!({"mediaType": "application/spdx+json", "digest": sandbox.store("sbom"), "size": 4});
    let artifact = artifact(&sandbox, &subject, &[&sbom]);
    let old = sandbox.store("layer");
    let schema_1 = schema_1(&sandbox, &[&old]);
    list(&sandbox, &[&artifact, &schema_1]);
    is_denied(&sandbox, digest(&sbom), digest(&artifact));
    is_denied(&sandbox, MANIFEST, digest(&artifact));
    is_denied(&sandbox, BASE, MANIFEST);
    is_denied(&sandbox, &old, digest(&schema_1));
    // A nested manifest that is stored only in the `data` of its descriptor.
    let child = embedded(&sandbox, &subject);
    let outer = document(&sandbox, INDEX_TYPE, &index(&[&child]));
    list(&sandbox, &[&outer]);
    is_denied(&sandbox, BASE, MANIFEST);
    // Content that is referred to both as a manifest and as an index.
    let config = json!({"mediaType": "application/x", "digest": sandbox.store("{}"), "size": 2});
    let mut both = with(manifest(&config, &[&layer(&sandbox)]), json!({"manifests": [child]}));
    both.as_object_mut().expect("fields").remove("mediaType");
    let both = document(&sandbox, MANIFEST_TYPE, &both);
    let as_index = with(both.clone(), json!({"mediaType": INDEX_TYPE}));
    for entries in [[&both, &as_index], [&as_index, &both]] {
        list(&sandbox, &entries);
        is_denied(&sandbox, &sha256(b"{}"), digest(&both));
        is_denied(&sandbox, digest(&layer(&sandbox)), digest(&both));
        is_denied(&sandbox, CONFIG, MANIFEST);
    }
}
