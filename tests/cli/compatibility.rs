//! Layouts of other programs, and malformed documents.
//!
//! The original program writes staging files of schema 1 without diff_ids, and configs with the digests of the
//! compressed layers instead.

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

const STAGE: &str = "image/.regshape-stage.json";

/// Creates a layout as the original program leaves it after `generate manifest`, with two layers. Its documents are
/// pretty-printed JSON.
fn original() -> Sandbox {
    let sandbox = Sandbox::new();
    let layers = [gzip(&base_tar()), gzip(&patches_tar())].map(|content| (sandbox.store(&content), content.len()));
    let diff_ids = layers.clone().map(|(digest, _)| digest);
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {"Labels": {"a": "1"}}});
    let config = format!("{config:#}");
    let config_digest = sandbox.store(&config);
    let descriptors =
        layers.clone().map(|(digest, size)| json!({"mediaType": GZIP_TYPE, "digest": digest, "size": size}));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": descriptors,
        "config": {"mediaType": CONFIG_TYPE, "digest": config_digest, "size": config.len()}});
    let manifest = format!("{manifest:#}");
    let manifest_digest = sandbox.store(&manifest);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [
        {"mediaType": MANIFEST_TYPE, "digest": manifest_digest, "size": manifest.len(),
         "annotations": {"org.opencontainers.image.ref.name": "latest"}}]});
    sandbox.write("image/index.json", index.to_string());
    let stage = json!({
        "schema_version": 1,
        "layers": layers.map(|(digest, size)| json!({"digest": digest, "size": size, "media_type": GZIP_TYPE, "annotations": {}})),
        "config": {"digest": config_digest, "size": config.len(), "media_type": CONFIG_TYPE},
        "manifest": {"digest": manifest_digest, "size": manifest.len(), "media_type": MANIFEST_TYPE},
    });
    sandbox.write(STAGE, stage.to_string());
    sandbox
}

#[test]
fn a_layout_of_the_original_program_is_shown_and_valid() {
    let sandbox = original();
    sandbox.is_valid();
    // The annotations of the manifest are an additional key.
    let mut expected = sandbox.stage();
    expected["manifest"]["annotations"] = json!({});
    assert_eq!(sandbox.ok_json("layout status --path image"), expected);
    assert_eq!(sandbox.ok_json("layout show --path image"), sandbox.index());
}

#[test]
fn generate_config_corrects_the_diff_ids_of_the_original_program() {
    let sandbox = original();
    sandbox.refuses(
        "layout generate manifest --path image --ref-name latest",
        "config does not match the staged layers; run 'layout generate config' again",
    );
    let old = sandbox.stage();
    sandbox.ok("layout generate config --path image");
    assert_eq!(sandbox.stage()["config"]["digest"], CONFIG);
    sandbox.ok("layout generate manifest --path image --ref-name latest");
    // The blobs that only the old image named are gone.
    for document in ["config", "manifest"] {
        let digest = old[document]["digest"].as_str().expect("a digest");
        assert!(!sandbox.blobs().contains(digest), "{document}");
    }
    assert_eq!(sandbox.index()["manifests"].as_array().map(Vec::len), Some(1));
    sandbox.is_valid();
}

#[test]
fn every_command_works_on_a_layout_of_the_original_program() {
    let sandbox = original();
    sandbox.ok("layout annotate layer --path image --index 0 --annotation role=base");
    let digest = sandbox.ok_json("layout update config --path image --architecture arm64")["digest"].clone();
    let digest = digest.as_str().expect("a digest");
    assert_eq!(sandbox.blob_json(digest)["config"], json!({"Labels": {"a": "1"}}));
    let entry = sandbox.index()["manifests"][0].clone();
    sandbox.ok("layout annotate manifest --path image --annotation version=1");
    let annotated = sandbox.index()["manifests"][0].clone();
    assert_eq!(annotated["annotations"], entry["annotations"]);
    assert_ne!(annotated["digest"], entry["digest"]);
    sandbox.ok("layout add layer --path image --file base.tar");
    sandbox.ok("layout generate config --path image");
    let manifest = sandbox.ok_json("layout generate manifest --path image --ref-name latest");
    let manifest = sandbox.blob_json(manifest["digest"].as_str().expect("a digest"));
    let config = sandbox.blob_json(manifest["config"]["digest"].as_str().expect("a digest"));
    assert_eq!(config["rootfs"]["diff_ids"], json!([BASE_DIFF_ID, PATCHES_DIFF_ID, BASE_DIFF_ID]));
    sandbox.is_valid();
}

#[test]
fn the_original_program_can_continue_a_staging_file() {
    // It reads these keys and skips others.
    let stage = Sandbox::built().stage();
    assert_eq!(stage["schema_version"], 1);
    for layer in stage["layers"].as_array().expect("a list") {
        assert!(layer["digest"].is_string() && layer["size"].is_u64() && layer["media_type"].is_string());
        assert!(layer["annotations"].is_object());
    }
    for document in ["config", "manifest"] {
        let document = &stage[document];
        assert!(document["digest"].is_string() && document["size"].is_u64() && document["media_type"].is_string());
    }
    let stage = Sandbox::staged().stage();
    assert_eq!((stage.get("config"), stage.get("manifest")), (Some(&Value::Null), Some(&Value::Null)));
}

#[test]
fn unknown_fields_survive_every_command() {
    let sandbox = Sandbox::built();
    let foreign = sandbox.store("foreign");
    let entry = json!({"mediaType": MANIFEST_TYPE, "digest": foreign, "size": 7, "data": "Zm9yZWlnbg==",
        "urls": ["https://example.com/x"], "annotations": {"a": "1", "org.opencontainers.image.ref.name": "other"},
        "artifactType": "a/b", "platform": {"architecture": "arm", "os": "linux", "os.version": "1", "os.features": ["x"],
        "variant": "v7", "features": ["sse4"]}, "x-kept": {"deep": [null, 1.50, 12345678901234567890123u128 as f64]}});
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("a list").insert(0, entry.clone());
        index["annotations"] = json!({"k": "v"});
        index["artifactType"] = json!("c/d");
        index["x-kept"] = json!([{}]);
    });
    sandbox.edit(STAGE, |stage| {
        stage["x-kept"] = json!(true);
        for part in ["config", "manifest"] {
            stage[part]["x-kept"] = json!(part);
        }
        stage["layers"][0]["x-kept"] = json!("layer");
    });
    for words in [
        "add layer --file base.tar",
        "annotate layer --index 0 --annotation a=1",
        "annotate manifest --annotation a=1",
        "generate config --architecture arm64",
        "generate manifest --ref-name latest",
        "generate manifest --ref-name another",
        "update config --os freebsd",
    ] {
        sandbox.ok(&format!("layout {words} --path image"));
        let (index, stage) = (sandbox.index(), sandbox.stage());
        assert_eq!(index["manifests"][0], entry, "{words}");
        let kept = (&index["annotations"], &index["artifactType"], &index["x-kept"]);
        assert_eq!(kept, (&json!({"k": "v"}), &json!("c/d"), &json!([{}])), "{words}");
        assert_eq!((&stage["x-kept"], &stage["layers"][0]["x-kept"]), (&json!(true), &json!("layer")), "{words}");
        let kept = (&stage["config"]["x-kept"], &stage["manifest"]["x-kept"]);
        assert_eq!(kept, (&json!("config"), &json!("manifest")), "{words}");
        assert!(sandbox.blobs().contains(&foreign), "{words}");
    }
}

#[test]
fn an_index_that_has_no_media_type_gets_none() {
    let sandbox = Sandbox::configured();
    for content in [r#"{"schemaVersion":2,"manifests":[]}"#, r#"{"schemaVersion":2,"manifests":null}"#] {
        sandbox.write("image/index.json", content);
        sandbox.ok("layout generate manifest --path image");
        assert_eq!(
            sandbox.index(),
            json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST_TYPE, "digest": MANIFEST,
                "size": MANIFEST_SIZE, "platform": {"architecture": "amd64", "os": "linux"}}]})
        );
        sandbox.is_valid();
    }
}

#[test]
fn a_layout_without_a_staging_file_gets_one_by_add_layer() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path(STAGE)).expect("removed");
    sandbox.refuses("layout generate config --path image", "no layers have been staged; run 'layout add layer' first");
    sandbox.ok("layout add layer --path image --file base.tar");
    assert_eq!(
        sandbox.stage(),
        json!({"schema_version": 1, "config": null, "manifest": null, "layers": [{"digest": BASE, "size": BASE_SIZE,
            "media_type": GZIP_TYPE, "annotations": {}, "diff_id": BASE_DIFF_ID}]})
    );
    sandbox.ok("layout generate config --path image");
    sandbox.ok("layout generate manifest --path image --ref-name mine");
    assert_eq!(sandbox.index()["manifests"].as_array().map(Vec::len), Some(2));
    sandbox.is_valid();
}

/// The commands that read the staging file.
const READERS: [&str; 7] = [
    "status",
    "add layer --file base.tar --quiet",
    "annotate layer --index 0 --annotation a=1",
    "annotate manifest --annotation a=1",
    "generate config --quiet",
    "generate manifest --quiet",
    "update config --os linux",
];

#[test]
fn a_staging_file_of_another_version_is_not_guessed_at() {
    let sandbox = Sandbox::built();
    for (content, version) in [
        (json!({"schema_version": 2, "layers": [], "config": null, "manifest": null}), "2"),
        (json!({"schema_version": 0, "layers": [], "config": null, "manifest": null}), "0"),
        (json!({"schema_version": 7, "stages": {}}), "7"),
    ] {
        sandbox.write(STAGE, content.to_string());
        for words in READERS {
            sandbox.refuses(
                &format!("layout {words} --path image"),
                &format!("staging file at image has schema_version {version}, expected 1"),
            );
        }
    }
}

#[test]
fn a_malformed_staging_file_is_an_error_and_is_left_unchanged() {
    let sandbox = Sandbox::built();
    let good = sandbox.stage();
    let bad_digests = ["sha256:123", "sha256", "", "sha256:../../../etc/passwd", &BASE.to_uppercase()];
    let with = |path: &str, value: Option<Value>| {
        let mut stage = good.clone();
        let (parent, key) = path.rsplit_once('/').expect("a path");
        let object = stage.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Some(value) => object.insert(key.to_owned(), value),
            None => object.remove(key),
        };
        stage.to_string()
    };
    let mut cases: Vec<(String, String)> = [
        ("/schema_version", None, "missing field `schema_version`"),
        ("/layers", None, "missing field `layers`"),
        ("/config", None, "missing field `config`"),
        ("/manifest", None, "missing field `manifest`"),
        ("/layers/0/digest", None, "missing field `digest`"),
        ("/layers/0/size", None, "missing field `size`"),
        ("/layers/0/media_type", None, "missing field `media_type`"),
        ("/config/digest", None, "missing field `digest`"),
        ("/manifest/size", None, "missing field `size`"),
        ("/schema_version", Some(json!("1")), "invalid type: string \"1\""),
        ("/layers", Some(json!({})), "invalid type: map"),
        ("/layers/0/size", Some(json!("1")), "invalid type: string \"1\""),
        ("/layers/0/size", Some(json!(-1)), "invalid value: integer `-1`"),
        ("/layers/0/media_type", Some(json!(1)), "invalid type: "),
        ("/layers/0/media_type", Some(json!("a b/c")), "'a b/c' is not a media type of the form type/subtype"),
        ("/layers/1/media_type", Some(json!("")), "'' is not a media type of the form type/subtype"),
        ("/config/media_type", Some(json!("config")), "'config' is not a media type of the form type/subtype"),
        ("/manifest/media_type", Some(json!("a/b;c=d")), "'a/b;c=d' is not a media type of the form type/subtype"),
        ("/layers/0/annotations", Some(json!({"a": 1})), "invalid type: "),
        ("/config", Some(json!([])), "invalid "),
        ("/manifest", Some(json!("x")), "invalid type: string \"x\""),
    ]
    .into_iter()
    .map(|(path, value, reason)| (with(path, value), reason.to_owned()))
    .collect();
    for path in ["/layers/0/digest", "/layers/1/diff_id", "/config/digest", "/manifest/digest"] {
        cases.extend(bad_digests.map(|digest| (with(path, Some(json!(digest))), format!("'{digest}'"))));
    }
    cases.push((String::new(), "EOF while parsing".to_owned()));
    cases.push(("[]".to_owned(), "invalid type: sequence".to_owned()));
    cases.push((r#"{"schema_version":1"#.to_owned(), "EOF while parsing".to_owned()));
    for (at, (content, reason)) in cases.iter().enumerate() {
        sandbox.write(STAGE, content);
        let before = sandbox.tree();
        // Each command reads some of the contents: testing all combinations would take long and show nothing new.
        for words in ["status", READERS[at % READERS.len()]] {
            let outcome = sandbox.run(&format!("layout {words} --path image"));
            assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{words} with {content}");
            let start = "Error: staging file at image is malformed: ";
            assert!(outcome.stderr.starts_with(start), "{words} with {content}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(reason.as_str()), "{reason} is not in {}", outcome.stderr);
            assert_eq!(outcome.stderr.lines().count(), 1);
            assert_eq!(sandbox.tree(), before, "{words} with {content}");
        }
    }
}

#[test]
fn a_size_that_is_wrong_or_a_blob_that_is_missing_is_found_before_anything_changes() {
    let sandbox = original();
    let digest = sandbox.stage()["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    fs::remove_file(sandbox.path(blob_name(&digest))).expect("removed");
    sandbox.refuses(
        "layout generate config --path image --quiet",
        &format!("blob {digest} referenced by the staging file does not exist"),
    );
}
