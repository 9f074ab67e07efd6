//! `layout status`

use serde_json::json;

use crate::support::*;

#[test]
fn an_empty_layout_has_nothing_staged() {
    Sandbox::new().run("layout status --path image").succeeds(
        "Staging state for image:\n\n  Layers (0):\n\n  Config:\n    (not yet generated)\n\n  Manifest:\n    (not yet generated)\n",
        "",
    );
}

#[test]
fn a_finished_image_is_shown_with_its_sizes_in_one_column() {
    let sandbox = Sandbox::built();
    let expected = format!(
        "Staging state for image:

  Layers (2):
    [0] {BASE} ( 209 bytes, {GZIP_TYPE})
    [1] {PATCHES} (2081 bytes, {GZIP_TYPE})

  Config:
    {CONFIG} (225 bytes, {CONFIG_TYPE})

  Manifest:
    {MANIFEST} (556 bytes, {MANIFEST_TYPE})
"
    );
    sandbox.run("layout status --path image").succeeds(expected, "");
}

#[test]
fn json_is_the_staging_file_as_it_is() {
    let sandbox = Sandbox::built();
    let file = sandbox.text("image/.regshape-stage.json");
    sandbox.run("layout status --path image --json").succeeds(&file, "");
    sandbox.edit("image/.regshape-stage.json", |stage| {
        stage["x-note"] = json!("kept");
        stage["layers"][1]["x-origin"] = json!({"by": "hand"});
    });
    assert_eq!(sandbox.ok_json("layout status --path image"), sandbox.stage());
}

#[test]
fn status_changes_nothing() {
    let sandbox = Sandbox::built();
    let before = sandbox.tree();
    for command in ["status", "show", "validate"] {
        sandbox.ok(&format!("layout {command} --path image"));
        sandbox.ok(&format!("layout {command} --path image --json"));
    }
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_layout_without_a_staging_file_says_how_to_get_one() {
    let sandbox = Sandbox::new();
    std::fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("removed");
    sandbox
        .refuses("layout status --path image", "staging file not found at image; run 'layout add layer' to start one");
}

#[test]
fn a_tag_that_another_manifest_has_now_is_warned_of() {
    let sandbox = Sandbox::built();
    let expected = sandbox.ok("layout status --path image");
    let mut manifest = sandbox.blob_json(MANIFEST);
    manifest["annotations"] = json!({"a": "1"});
    sandbox.write("other.json", manifest.to_string());
    sandbox.ok("layout manifest put -p image -f other.json --tag latest -q");
    let other = sha256(manifest.to_string().as_bytes());
    let warning = format!("tag 'latest' is that of another manifest now: {other}");
    sandbox.run("layout status --path image").succeeds(&expected, format!("Warning: {warning}\n"));
    assert_eq!(sandbox.ok_json("layout status --path image")["warnings"], json!([warning]));
    // A tag that is gone, or that the staged manifest has too, is not another one.
    sandbox.ok("layout tag delete -p image:latest");
    sandbox.run("layout status --path image").succeeds(&expected, "");
    sandbox.ok(&format!("layout tag add -p image@{MANIFEST} latest"));
    sandbox.run("layout status --path image").succeeds(&expected, "");
}
