//! `layout update config`

use serde_json::json;

use crate::support::*;

fn text(digest: &str, size: u64) -> String {
    format!("Updated config:\n  digest: {digest}\n    size: {size}\n    type: {CONFIG_TYPE}\n")
}

fn update(sandbox: &Sandbox, words: &str) -> String {
    let value = sandbox.ok_json(&format!("layout update config --path image {words}"));
    value["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn fields_that_are_not_given_stay() {
    let sandbox = Sandbox::configured();
    sandbox
        .run("layout update config --path image --architecture arm64")
        .succeeds(text(CONFIG_ARM64, CONFIG_ARM64_SIZE), "");
    sandbox.has_blobs([BASE, PATCHES, CONFIG_ARM64]);
    let digest = update(&sandbox, "--os freebsd --annotation a=1");
    assert_eq!(
        sandbox.blob_json(&digest),
        json!({"architecture": "arm64", "os": "freebsd", "config": {"Labels": {"a": "1"}},
            "rootfs": {"type": "layers", "diff_ids": [BASE_DIFF_ID, PATCHES_DIFF_ID]}})
    );
    assert_eq!(sandbox.stage()["config"]["digest"], json!(digest));
}

#[test]
fn the_warning_comes_only_when_the_digest_changed() {
    let sandbox = Sandbox::built();
    for words in ["", " --architecture amd64", " --os linux", " --replace-annotations"] {
        let before = sandbox.tree();
        sandbox.run(&format!("layout update config --path image{words}")).succeeds(text(CONFIG, CONFIG_SIZE), "");
        assert_eq!(sandbox.tree(), before, "'{words}' changes nothing");
    }
    sandbox
        .run("layout update config --path image --architecture arm64")
        .succeeds(text(CONFIG_ARM64, CONFIG_ARM64_SIZE), outdated("config"));
    assert_eq!(
        sandbox.ok_json("layout update config --path image --architecture amd64"),
        json!({"digest": CONFIG, "size": CONFIG_SIZE, "media_type": CONFIG_TYPE,
            "warning": "manifest already generated; re-run 'layout generate manifest'"})
    );
    assert_eq!(
        sandbox.ok_json("layout update config --path image --architecture amd64"),
        json!({"digest": CONFIG, "size": CONFIG_SIZE, "media_type": CONFIG_TYPE})
    );
}

#[test]
fn the_old_blob_stays_while_a_manifest_names_it() {
    let sandbox = Sandbox::built();
    assert_eq!(update(&sandbox, "--architecture arm64"), CONFIG_ARM64);
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST, CONFIG_ARM64]);
    sandbox.is_valid();
    // The intermediate config is unreferenced and gets deleted.
    let third = update(&sandbox, "--architecture riscv64");
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST, &third]);
    // The first config is deleted when the last manifest that refers to it is replaced.
    let manifest = sandbox.ok_json("layout generate manifest --path image --ref-name latest");
    sandbox.has_blobs([BASE, PATCHES, &third, manifest["digest"].as_str().expect("a digest")]);
    sandbox.is_valid();
}

#[test]
fn labels_merge_unless_they_replace_and_replacing_with_nothing_clears_them() {
    let sandbox = Sandbox::configured();
    let labels = |digest: &str| sandbox.blob_json(digest).get("config").map(|config| config["Labels"].clone());
    assert_eq!(labels(&update(&sandbox, "--annotation a=1 --annotation b=2")), Some(json!({"a": "1", "b": "2"})));
    assert_eq!(labels(&update(&sandbox, "--annotation b=3")), Some(json!({"a": "1", "b": "3"})));
    assert_eq!(labels(&update(&sandbox, "--annotation c=4 --replace-annotations")), Some(json!({"c": "4"})));
    assert_eq!(update(&sandbox, "--replace-annotations"), CONFIG);
    sandbox.has_blobs([BASE, PATCHES, CONFIG]);
}

#[test]
fn unknown_fields_of_the_config_survive() {
    let sandbox = Sandbox::configured();
    let mut config = sandbox.blob_json(CONFIG);
    config["created"] = json!("2026-03-08T00:00:00Z");
    config["author"] = json!("somebody");
    config["history"] = json!([{"created_by": "x", "empty_layer": true}]);
    config["config"] = json!({"Cmd": ["sh"], "Env": null, "Labels": {"a": "1"}, "x": 1.50});
    config["x-kept"] = json!({});
    let old = sandbox.store(config.to_string());
    let size = config.to_string().len();
    sandbox.edit("image/.regshape-stage.json", |stage| {
        stage["config"]["digest"] = json!(old);
        stage["config"]["size"] = json!(size);
        stage["config"]["x-kept"] = json!(1);
    });
    let digest = update(&sandbox, "--architecture arm64 --annotation b=2");
    config["architecture"] = json!("arm64");
    config["config"]["Labels"]["b"] = json!("2");
    assert_eq!(sandbox.blob_json(&digest), config);
    assert_eq!(sandbox.stage()["config"]["x-kept"], json!(1));
    let digest = update(&sandbox, "--replace-annotations");
    config["config"].as_object_mut().expect("an object").remove("Labels");
    assert_eq!(sandbox.blob_json(&digest), config);
}
