//! `layout generate config`

use serde_json::json;

use crate::support::*;

fn notes(what: &[(&str, &str, &str)]) -> String {
    what.iter().map(|(what, default, flag)| format!("Using {what} {default}; {flag} sets another\n")).collect()
}

#[test]
fn defaults_are_taken_where_no_question_can_be_asked_and_noted_under_verbose() {
    let expected = format!("Generated config:\n  digest: {CONFIG}\n    size: {CONFIG_SIZE}\n    type: {CONFIG_TYPE}\n");
    let notes = notes(&[
        ("architecture", "amd64", "--architecture"),
        ("OS", "linux", "--os"),
        ("config media type", CONFIG_TYPE, "--media-type"),
    ]);
    let sandbox = Sandbox::staged();
    sandbox.run("layout generate config --path image").succeeds(&expected, "");
    sandbox.run("-v layout generate config --path image").succeeds(&expected, &notes);
    assert_eq!(
        sandbox.text(&blob_name(CONFIG)),
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"diff_ids":["{BASE_DIFF_ID}","{PATCHES_DIFF_ID}"],"type":"layers"}}}}"#
        )
    );
    assert_eq!(sandbox.stage()["config"], json!({"digest": CONFIG, "size": CONFIG_SIZE, "media_type": CONFIG_TYPE}));
    sandbox.run("layout generate config --path image --yes --verbose").succeeds(&expected, notes);
    sandbox.run("layout generate config --path image --quiet").succeeds(format!("{CONFIG}\n"), "");
    sandbox.has_blobs([BASE, PATCHES, CONFIG]);
}

#[test]
fn the_diff_ids_are_those_of_the_uncompressed_layers_in_their_order() {
    let sandbox = Sandbox::new();
    sandbox.write("base.tar.zst", zstd(&base_tar()));
    for file in ["patches.tar.gz", "base.tar.zst", "base.tar", "patches.tar.gz"] {
        sandbox.ok(&format!("layout add layer --path image --file {file}"));
    }
    let config = sandbox.ok_json("layout generate config --path image");
    let config = sandbox.blob_json(config["digest"].as_str().expect("a digest"));
    assert_eq!(
        config["rootfs"],
        json!({"type": "layers", "diff_ids": [PATCHES_DIFF_ID, BASE_DIFF_ID, BASE_DIFF_ID, PATCHES_DIFF_ID]})
    );
}

#[test]
fn annotations_become_labels() {
    let sandbox = Sandbox::staged();
    let value = sandbox
        .ok_json("layout generate config -p image --architecture arm64 --os windows --annotation b=2 --annotation a=1");
    assert_eq!(value.as_object().expect("an object").keys().collect::<Vec<_>>(), ["digest", "media_type", "size"]);
    let config = sandbox.blob_json(value["digest"].as_str().expect("a digest"));
    assert_eq!(
        config,
        json!({
            "architecture": "arm64", "os": "windows", "config": {"Labels": {"a": "1", "b": "2"}},
            "rootfs": {"type": "layers", "diff_ids": [BASE_DIFF_ID, PATCHES_DIFF_ID]},
        })
    );
}

#[test]
fn a_config_replaces_the_previous_one() {
    let sandbox = Sandbox::configured();
    sandbox.has_blobs([BASE, PATCHES, CONFIG]);
    sandbox.ok("layout generate config --path image --architecture arm64");
    sandbox.has_blobs([BASE, PATCHES, CONFIG_ARM64]);
}

#[test]
fn a_config_that_a_manifest_names_stays() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout generate config --path image --architecture arm64");
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST, CONFIG_ARM64]);
    sandbox.is_valid();
}

#[test]
fn only_source_date_epoch_sets_the_time() {
    let sandbox = Sandbox::staged();
    let generate = |epoch: &str| -> Outcome {
        let words = ["layout", "generate", "config", "-p", "image", "--json"];
        sandbox.command().args(words).env("SOURCE_DATE_EPOCH", epoch).output().expect("the program runs").into()
    };
    let created = |outcome: Outcome| {
        sandbox.blob_json(outcome.json()["digest"].as_str().expect("a digest")).get("created").cloned()
    };
    assert_eq!(created(generate("1700000000")), Some(json!("2023-11-14T22:13:20Z")));
    assert_eq!(created(generate("0")), Some(json!("1970-01-01T00:00:00Z")));
    assert_eq!(created(generate("")), None);
    let before = sandbox.tree();
    let outcome = generate("yesterday");
    let error = json!({"error": {"code": "FAILED", "message": "SOURCE_DATE_EPOCH is 'yesterday', not a number of seconds since 1970"}});
    outcome.is(1, "", format!("{error}\n"));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_config_may_be_of_any_type() {
    let sandbox = Sandbox::staged();
    let value = sandbox.ok_json("layout generate config -p image --media-type application/x-thing+json");
    assert_eq!(value["media_type"], "application/x-thing+json");
    let manifest = sandbox.ok_json("layout generate manifest -p image");
    let manifest = sandbox.blob_json(manifest["digest"].as_str().expect("a digest"));
    assert_eq!(manifest["config"]["mediaType"], "application/x-thing+json");
    assert_eq!(sandbox.index()["manifests"][0].get("platform"), None);
    sandbox.is_valid();
}
