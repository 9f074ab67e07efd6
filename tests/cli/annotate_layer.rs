//! `layout annotate layer`

use serde_json::json;

use crate::support::*;

#[test]
fn annotations_are_merged_and_shown_in_order() {
    let sandbox = Sandbox::staged();
    let blobs = sandbox.blobs();
    sandbox.run("layout annotate layer --path image --index 0 --annotation b=2 --annotation a=1").succeeds(
        format!("Updated layer [0]:\n  digest: {BASE}\n    type: {GZIP_TYPE}\n  annotations:\n    a = 1\n    b = 2\n"),
        "",
    );
    sandbox.ok("layout annotate layer -p image -i 0 --annotation b=3 --annotation c=");
    assert_eq!(sandbox.stage()["layers"][0]["annotations"], json!({"a": "1", "b": "3", "c": ""}));
    assert_eq!(sandbox.stage()["layers"][1]["annotations"], json!({}));
    assert_eq!(sandbox.blobs(), blobs);
}

#[test]
fn replace_drops_those_that_were_there() {
    let sandbox = Sandbox::staged();
    sandbox.ok("layout annotate layer -p image -i 1 --annotation a=1 --annotation b=2");
    sandbox.run("layout annotate layer -p image -i 1 --annotation c=3 --replace").succeeds(
        format!("Updated layer [1]:\n  digest: {PATCHES}\n    type: {GZIP_TYPE}\n  annotations:\n    c = 3\n"),
        "",
    );
    assert_eq!(sandbox.stage()["layers"][1]["annotations"], json!({"c": "3"}));
}

#[test]
fn json_shows_the_descriptor() {
    let value = Sandbox::staged().ok_json("layout annotate layer -p image -i 1 --annotation a=1");
    assert_eq!(
        value,
        json!({"index": 1, "digest": PATCHES, "size": PATCHES_SIZE, "media_type": GZIP_TYPE, "annotations": {"a": "1"}})
    );
}

#[test]
fn an_outdated_manifest_causes_a_single_warning() {
    let sandbox = Sandbox::built();
    let words = "layout annotate layer -p image -i 0 --annotation a=1";
    let expected = format!("Updated layer [0]:\n  digest: {BASE}\n    type: {GZIP_TYPE}\n  annotations:\n    a = 1\n");
    sandbox.run(words).succeeds(&expected, outdated("layer"));
    let before = sandbox.tree();
    sandbox.run(words).succeeds(&expected, "");
    assert_eq!(sandbox.tree(), before, "the same value again changes nothing");
    let value = sandbox.ok_json("layout annotate layer -p image -i 0 --annotation a=2");
    assert_eq!(value["warning"], "manifest already generated; re-run 'layout generate manifest'");

    let manifest = sandbox.ok_json("layout generate manifest -p image --ref-name latest");
    let manifest = sandbox.blob_json(manifest["digest"].as_str().expect("a digest"));
    assert_eq!(manifest["layers"][0]["annotations"], json!({"a": "2"}));
    assert_eq!(manifest["layers"][1].get("annotations"), None);
}
