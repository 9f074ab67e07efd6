//! `layout generate manifest`

use serde_json::{Value, json};

use crate::support::*;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn text(digest: &str, size: u64, ref_name: &str) -> String {
    format!(
        "Generated manifest:\n      digest: {digest}\n        size: {size}\n  media-type: {MANIFEST_TYPE}\n{ref_name}"
    )
}

/// Generates a manifest and returns its digest.
#[track_caller]
fn generate(sandbox: &Sandbox, words: &str) -> String {
    let value = sandbox.ok_json(&format!("layout generate manifest --path image {words}"));
    value["digest"].as_str().expect("a digest").to_owned()
}

/// Returns the entries of index.json, as pairs of ref name and digest.
fn entries(sandbox: &Sandbox) -> Vec<(Value, Value)> {
    let index = sandbox.index();
    let entries = index["manifests"].as_array().expect("a list").iter();
    entries.map(|entry| (entry["annotations"][REF_NAME].clone(), entry["digest"].clone())).collect()
}

#[test]
fn defaults_are_taken_where_no_question_can_be_asked_and_noted_under_verbose() {
    let sandbox = Sandbox::configured();
    let notes = format!(
        "Using no reference name; --ref-name sets one\nUsing manifest media type {MANIFEST_TYPE}; --media-type sets another\nUsing no manifest annotations; --annotation adds one\n"
    );
    let expected = text(MANIFEST, MANIFEST_SIZE, "");
    sandbox.run("layout generate manifest --path image").succeeds(&expected, "");
    sandbox.run("-v layout generate manifest --path image").succeeds(&expected, &notes);
    sandbox.run("layout generate manifest --path image --yes --verbose").succeeds(&expected, notes);
    sandbox.run("layout generate manifest --path image --quiet").succeeds(format!("{MANIFEST}\n"), "");
    assert_eq!(
        sandbox.text(&blob_name(MANIFEST)),
        format!(
            r#"{{"config":{{"digest":"{CONFIG}","mediaType":"{CONFIG_TYPE}","size":{CONFIG_SIZE}}},"layers":[{{"digest":"{BASE}","mediaType":"{GZIP_TYPE}","size":{BASE_SIZE}}},{{"digest":"{PATCHES}","mediaType":"{GZIP_TYPE}","size":{PATCHES_SIZE}}}],"mediaType":"{MANIFEST_TYPE}","schemaVersion":2}}"#
        )
    );
    assert_eq!(
        sandbox.index()["manifests"],
        json!([{"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE,
            "platform": {"architecture": "amd64", "os": "linux"}}])
    );
}

#[test]
fn json_shows_the_annotations_and_the_ref_name() {
    let sandbox = Sandbox::configured();
    assert_eq!(
        sandbox.ok_json("layout generate manifest --path image --ref-name latest"),
        json!({"digest": MANIFEST, "size": MANIFEST_SIZE, "media_type": MANIFEST_TYPE, "ref_name": "latest",
            "annotations": {REF_NAME: "latest"}})
    );
    assert_eq!(
        sandbox.ok_json("layout generate manifest --path image"),
        json!({"digest": MANIFEST, "size": MANIFEST_SIZE, "media_type": MANIFEST_TYPE, "ref_name": null, "annotations": {}})
    );
}

#[test]
fn an_entry_of_the_same_ref_name_is_replaced_in_place_and_keeps_unknown_fields() {
    let sandbox = Sandbox::built();
    let foreign = sandbox.store("foreign");
    sandbox.edit("image/index.json", |index| {
        let entries = index["manifests"].as_array_mut().expect("a list");
        entries[0]["annotations"]["com.example.kept"] = json!("yes");
        entries[0]["x-kept"] = json!([1]);
        entries
            .insert(0, json!({"mediaType": "a/b", "digest": foreign, "size": 7, "annotations": {REF_NAME: "first"}}));
        entries.push(json!({"mediaType": "a/b", "digest": foreign, "size": 7, "annotations": {REF_NAME: "last"}}));
    });
    let before = sandbox.index();
    let digest = generate(&sandbox, "--ref-name latest --annotation a=1");
    let mut expected = before.clone();
    expected["manifests"][1]["digest"] = json!(digest);
    expected["manifests"][1]["size"] = json!(sandbox.blob(&digest).len());
    assert_eq!(sandbox.index(), expected);
    // The annotations of the entry are separate from those of the manifest.
    assert_eq!(sandbox.blob_json(&digest)["annotations"], json!({"a": "1"}));
    sandbox.has_blobs([BASE, PATCHES, CONFIG, &foreign, &digest]);
    sandbox.is_valid();
}

#[test]
fn another_ref_name_adds_an_entry() {
    let sandbox = Sandbox::built();
    let digest = generate(&sandbox, "--ref-name v1 --annotation a=1");
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(MANIFEST)), (json!("v1"), json!(digest))]);
    // The same manifest under a third name: the digest is there twice, each name once.
    assert_eq!(generate(&sandbox, "--ref-name v2"), MANIFEST);
    let expected = [(json!("latest"), json!(MANIFEST)), (json!("v1"), json!(digest)), (json!("v2"), json!(MANIFEST))];
    assert_eq!(entries(&sandbox), expected);
    assert_eq!(generate(&sandbox, "--ref-name v1"), MANIFEST);
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST]);
    sandbox.is_valid();
}

#[test]
fn without_a_ref_name_the_same_build_replaces_its_own_entry() {
    let sandbox = Sandbox::configured();
    assert_eq!(generate(&sandbox, ""), MANIFEST);
    assert_eq!(generate(&sandbox, ""), MANIFEST);
    assert_eq!(entries(&sandbox), [(Value::Null, json!(MANIFEST))]);
    let digest = generate(&sandbox, "--annotation a=1");
    assert_eq!(entries(&sandbox), [(Value::Null, json!(digest))]);
    sandbox.has_blobs([BASE, PATCHES, CONFIG, &digest]);
    // An empty name counts as no name.
    assert_eq!(generate(&sandbox, "--ref-name="), MANIFEST);
    assert_eq!(entries(&sandbox), [(Value::Null, json!(MANIFEST))]);
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST]);
}

#[test]
fn blobs_of_an_earlier_build_are_deleted_when_unreferenced() {
    let sandbox = Sandbox::built();
    assert_eq!(generate(&sandbox, "--ref-name v1"), MANIFEST);
    sandbox.ok("layout update config --path image --architecture arm64");
    let digest = generate(&sandbox, "--ref-name latest");
    // v1 still refers to the old manifest, and that manifest to the old config.
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(digest)), (json!("v1"), json!(MANIFEST))]);
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST, CONFIG_ARM64, &digest]);
    assert_eq!(generate(&sandbox, "--ref-name v1"), digest);
    sandbox.has_blobs([BASE, PATCHES, CONFIG_ARM64, &digest]);
    sandbox.is_valid();
}

#[test]
fn blobs_of_a_nested_index_are_not_deleted() {
    let sandbox = Sandbox::built();
    let nested = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE,
        "manifests": [{"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE}]})
    .to_string();
    let nested_digest = sandbox.store(&nested);
    sandbox.edit("image/index.json", |index| {
        let entry = json!({"mediaType": INDEX_TYPE, "digest": nested_digest, "size": nested.len()});
        index["manifests"].as_array_mut().expect("a list").push(entry);
    });
    sandbox.ok("layout update config --path image --architecture arm64");
    let digest = generate(&sandbox, "--ref-name latest");
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST, CONFIG_ARM64, &nested_digest, &digest]);
    sandbox.is_valid();
}

#[test]
fn a_config_that_was_made_for_other_layers_is_refused() {
    let sandbox = Sandbox::configured();
    sandbox.ok("layout add layer --path image --file patches.tar.gz");
    let message = "config does not match the staged layers; run 'layout generate config' again";
    sandbox.refuses("layout generate manifest --path image", message);
    sandbox.ok("layout generate config --path image");
    generate(&sandbox, "");
    sandbox.is_valid();
}

#[test]
fn a_ref_name_outside_the_grammar_is_refused_on_writing_and_tolerated_on_reading() {
    let sandbox = Sandbox::built();
    let before = sandbox.tree();
    for name in ["-a", "a b", "a..b", "/a", "é", "a\n"] {
        let words = ["layout", "generate", "manifest", "--path", "image", &format!("--ref-name={name}")];
        sandbox.run_words(words).fails(format!(
            "Error: '{}' is not a reference name: letters and digits, joined by one of - . _ : @ + / or by --\n",
            name.escape_debug()
        ));
        assert_eq!(sandbox.tree(), before);
    }
    sandbox.edit("image/index.json", |index| index["manifests"][0]["annotations"][REF_NAME] = json!("a b"));
    assert_eq!(entries(&sandbox)[0].0, "a b");
    generate(&sandbox, "--ref-name latest");
    assert_eq!(entries(&sandbox), [(json!("a b"), json!(MANIFEST)), (json!("latest"), json!(MANIFEST))]);
    assert_eq!(sandbox.ok_json("layout validate --path image")["errors"], json!([]));
}

#[test]
fn a_manifest_may_be_of_any_type() {
    let sandbox = Sandbox::configured();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let digest = generate(&sandbox, &format!("--media-type {docker}"));
    assert_eq!(sandbox.blob_json(&digest)["mediaType"], docker);
    assert_eq!(sandbox.index()["manifests"][0]["mediaType"], docker);
    sandbox.is_valid();
}

#[test]
fn the_platform_has_all_platform_fields_of_the_config() {
    let sandbox = Sandbox::configured();
    sandbox.edit(&blob_name(CONFIG), |config| {
        config["variant"] = json!("v8");
        config["os.version"] = json!("1.2");
        config["os.features"] = json!(["x"]);
        config["author"] = json!("somebody");
    });
    let digest = sandbox.store(sandbox.blob(CONFIG));
    std::fs::remove_file(sandbox.path(blob_name(CONFIG))).expect("removed");
    let size = sandbox.blob(&digest).len();
    sandbox.edit("image/.regshape-stage.json", |stage| {
        stage["config"]["digest"] = json!(digest);
        stage["config"]["size"] = json!(size);
    });
    generate(&sandbox, "");
    assert_eq!(
        sandbox.index()["manifests"][0]["platform"],
        json!({"architecture": "amd64", "os": "linux", "variant": "v8", "os.version": "1.2", "os.features": ["x"]})
    );
}

#[test]
fn the_entry_without_a_ref_name_is_found_after_others_were_made() {
    let sandbox = Sandbox::configured();
    generate(&sandbox, "");
    let named = generate(&sandbox, "--ref-name latest");
    sandbox.ok("layout update config -p image --architecture arm64");
    let unnamed = generate(&sandbox, "");
    assert_eq!(entries(&sandbox), [(Value::Null, json!(unnamed)), (json!("latest"), json!(named))]);
    let changed = sandbox.ok_json("layout annotate manifest -p image --annotation a=1")["digest"].clone();
    sandbox.ok("layout generate manifest -p image --ref-name other -q");
    let again = generate(&sandbox, "--annotation a=2");
    assert_ne!(changed, json!(again));
    let names: Vec<_> = entries(&sandbox).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [Value::Null, json!("latest"), json!("other")]);
    assert_eq!(entries(&sandbox)[0].1, json!(again));
    sandbox.is_valid();
}

#[test]
fn a_manifest_of_any_media_type_keeps_its_blobs() {
    let sandbox = Sandbox::configured();
    let other = "--media-type application/vnd.example.manifest+json";
    generate(&sandbox, &format!("--ref-name a {other}"));
    sandbox.ok("layout update config -p image --architecture arm64");
    assert!(sandbox.blobs().contains(CONFIG), "a manifest still names it");
    sandbox.ok("layout generate manifest -p image --ref-name a -q");
    assert!(!sandbox.blobs().contains(CONFIG), "the last manifest that named it is gone");
    for annotation in ["n=1", "n=2", "n=3"] {
        generate(&sandbox, &format!("--ref-name a {other} --annotation {annotation}"));
    }
    // Two layers, a config, a manifest.
    assert_eq!(sandbox.blobs().len(), 4);
}

#[test]
fn a_staged_layer_without_its_blob_is_not_listed() {
    let sandbox = Sandbox::configured();
    std::fs::remove_file(sandbox.path(blob_name(PATCHES))).expect("removed");
    let before = sandbox.tree();
    sandbox.refuses(
        "layout generate manifest -p image",
        &format!("blob {PATCHES} referenced by the staging file does not exist"),
    );
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn no_note_is_printed_before_all_checks_pass() {
    let sandbox = Sandbox::configured();
    let message = "'bad' is not a media type";
    for words in ["generate manifest", "generate config"] {
        let outcome = sandbox.run(&format!("layout {words} -p image --media-type bad"));
        outcome.fails_with(1, predicates::str::starts_with(format!("Error: {message}")));
    }
    std::fs::remove_file(sandbox.path("image/index.json")).expect("removed");
    for words in ["generate manifest", "generate config"] {
        sandbox.run(&format!("layout {words} -p image")).fails_with(
            1,
            predicates::str::starts_with(
                "Error: index.json at image is not a valid OCI Image Index; the file is missing: ",
            ),
        );
    }
}

#[test]
fn a_staged_size_that_is_not_that_of_the_blob_is_refused() {
    for (part, digest, size) in [("layer", BASE, BASE_SIZE), ("config", CONFIG, CONFIG_SIZE)] {
        let sandbox = Sandbox::configured();
        sandbox.edit("image/.regshape-stage.json", |stage| {
            let staged = if part == "layer" { &mut stage["layers"][0] } else { &mut stage["config"] };
            staged["size"] = json!(4_611_686_018_427_387_904u64);
        });
        let before = sandbox.tree();
        sandbox.refuses(
            "layout generate manifest -p image",
            &format!("size mismatch for {digest}: expected 4611686018427387904, got {size}"),
        );
        assert_eq!(sandbox.tree(), before);
    }
}

#[test]
fn a_reference_name_that_would_be_taken_for_a_digest_is_refused() {
    let sandbox = Sandbox::configured();
    for name in [CONFIG.to_owned(), format!("app@{CONFIG}")] {
        let before = sandbox.tree();
        let words = format!("layout generate manifest --path image --ref-name {name}");
        let message = format!("Error: '{name}' would be read as a digest, because it is one or ends in one\n");
        sandbox.run(&words).fails_with(1, predicates::str::ends_with(message));
        assert_eq!(sandbox.tree(), before);
    }
}

#[test]
fn a_manifest_that_would_not_be_valid_is_refused() {
    let empty = "application/vnd.oci.empty.v1+json";
    for (layer, config, manifest) in [
        (GZIP_TYPE, CONFIG_TYPE, INDEX_TYPE),
        (MANIFEST_TYPE, CONFIG_TYPE, MANIFEST_TYPE),
        (GZIP_TYPE, MANIFEST_TYPE, MANIFEST_TYPE),
        (GZIP_TYPE, empty, MANIFEST_TYPE),
    ] {
        let sandbox = Sandbox::new();
        sandbox.ok(&format!("layout add layer -p image -f base.tar -q --media-type {layer}"));
        sandbox.ok(&format!("layout generate config -p image -q --media-type {config}"));
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("layout generate manifest -p image -q --media-type {manifest}"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{layer} {config} {manifest}");
        assert!(outcome.stderr.starts_with("Error: the manifest is not valid: "), "{outcome:?}");
        assert_eq!(sandbox.tree(), before);
    }
}

/// Replaces the image of a tag as another program does: with a manifest that the staging file does not know.
fn retag(sandbox: &Sandbox, tag: &str) -> String {
    let mut manifest = sandbox.blob_json(MANIFEST);
    manifest["annotations"] = json!({"by": "another program"});
    sandbox.write("other.json", manifest.to_string());
    sandbox.ok(&format!("layout manifest put -p image -f other.json --tag {tag} -q"));
    sha256(manifest.to_string().as_bytes())
}

#[test]
fn the_tag_of_a_manifest_that_was_not_generated_here_is_not_taken() {
    let sandbox = Sandbox::built();
    let other = retag(&sandbox, "latest");
    let message = format!(
        "tag 'latest' of image is that of {other}, which was not generated here; use --replace-tag, or another --ref-name"
    );
    for words in ["", " --annotation a=1"] {
        sandbox.refuses(&format!("layout generate manifest -p image --ref-name latest{words}"), &message);
    }
    let hint = "use --replace-tag, or another --ref-name";
    let text = message.trim_end_matches(&format!("; {hint}"));
    let error = format!(r#"{{"error":{{"code":"NAME_TAKEN","message":"{text}","hint":"{hint}"}}}}"#);
    sandbox.run("layout generate manifest -p image --ref-name latest --json").fails(format!("{error}\n"));
    generate(&sandbox, "--ref-name v1");
    assert_eq!(entries(&sandbox)[0], (json!("latest"), json!(other)));
}

#[test]
fn replace_tag_leaves_the_other_manifest_as_an_entry_without_a_name() {
    let sandbox = Sandbox::built();
    let other = retag(&sandbox, "latest");
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["annotations"]["com.example.kept"] = json!("yes");
        index["manifests"][0]["annotations"]["io.containerd.image.name"] = json!("docker.io/library/app:latest");
        index["manifests"][0]["x-kept"] = json!(1);
    });
    let before = entries(&sandbox).len();
    let new = generate(&sandbox, "--ref-name latest --annotation a=1 --replace-tag");
    let index = sandbox.index();
    let entry = index["manifests"].as_array().expect("a list").iter().find(|entry| entry["digest"] == json!(other));
    let entry = entry.expect("it stays");
    assert_eq!((&entry["annotations"], &entry["x-kept"]), (&json!({"com.example.kept": "yes"}), &json!(1)));
    let names = json!({REF_NAME: "latest", "io.containerd.image.name": "docker.io/library/app:latest"});
    assert_eq!((&index["manifests"][0]["digest"], &index["manifests"][0]["annotations"]), (&json!(new), &names));
    assert_eq!(entries(&sandbox).len(), before + 1);
    assert!(sandbox.blobs().contains(&other));
    sandbox.is_valid();
    // It is made here now.
    let again = generate(&sandbox, "--ref-name latest --annotation a=2");
    assert_eq!(sandbox.index()["manifests"][0]["digest"], json!(again));
    assert_eq!(entries(&sandbox).len(), before + 1);
}

#[test]
fn replace_tag_takes_the_tag_from_every_manifest_that_has_it() {
    let sandbox = Sandbox::built();
    let other = retag(&sandbox, "latest");
    sandbox.edit("image/index.json", |index| {
        // The one that lost the tag.
        index["manifests"][1]["annotations"][REF_NAME] = json!("latest");
    });
    // The own one is replaced, the other one is left alone.
    let new = generate(&sandbox, "--ref-name latest --annotation a=1");
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(other)), (json!("latest"), json!(new))]);
    let new = generate(&sandbox, "--ref-name latest --replace-tag");
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(new)), (Value::Null, json!(other))]);
    sandbox.is_valid();
}

#[test]
fn a_manifest_that_gets_its_tag_back_has_one_entry() {
    let sandbox = Sandbox::built();
    // The manifest stays without a name when another one takes its tag.
    let other = retag(&sandbox, "latest");
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(other)), (Value::Null, json!(MANIFEST))]);
    sandbox.edit("image/index.json", |index| {
        index["manifests"][1]["annotations"] = json!({"com.example.kept": "yes"});
        index["manifests"][1]["x-kept"] = json!(1);
    });
    assert_eq!(generate(&sandbox, "--ref-name latest --replace-tag"), MANIFEST);
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(MANIFEST)), (Value::Null, json!(other))]);
    let entry = &sandbox.index()["manifests"][0];
    let annotations = json!({REF_NAME: "latest", "com.example.kept": "yes"});
    assert_eq!((&entry["annotations"], &entry["x-kept"]), (&annotations, &json!(1)));
    sandbox.is_valid();
}

#[test]
fn a_tag_of_the_same_manifest_is_no_obstacle() {
    let sandbox = Sandbox::built();
    // As another program copies it, or as a killed command leaves it.
    sandbox.edit("image/.regshape-stage.json", |stage| {
        stage.as_object_mut().expect("an object").remove("generated");
        stage["manifest"] = Value::Null;
    });
    assert_eq!(generate(&sandbox, "--ref-name latest"), MANIFEST);
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(MANIFEST))]);
}

#[test]
fn the_staging_file_records_the_other_manifests_that_are_listed() {
    let sandbox = Sandbox::built();
    assert_eq!(sandbox.stage().get("generated"), None);
    let v1 = generate(&sandbox, "--ref-name v1 --annotation a=1");
    assert_eq!(sandbox.stage()["generated"], json!([MANIFEST]));
    let v2 = generate(&sandbox, "--ref-name v2 --annotation a=2");
    assert_eq!(sandbox.stage()["generated"], json!([MANIFEST, v1]));
    sandbox.ok("layout annotate manifest -p image --annotation b=1");
    assert_eq!(sandbox.stage()["generated"], json!([MANIFEST, v1]));
    assert!(!sandbox.blobs().contains(&v2));
    generate(&sandbox, "--ref-name v1 --annotation a=3");
    assert_eq!(sandbox.stage()["generated"].as_array().map(Vec::len), Some(2));
    // A manifest whose entry is gone can be collected: the record keeps nothing.
    sandbox.ok("layout tag delete -p image:latest");
    sandbox.ok("layout gc -p image");
    assert!(!sandbox.blobs().contains(MANIFEST));
    assert_eq!(generate(&sandbox, "--ref-name latest"), MANIFEST);
    // A tag that was added to a manifest from here may be taken.
    sandbox.ok("layout tag add -p image:v1 stable");
    generate(&sandbox, "--ref-name stable --annotation c=1");
    sandbox.is_valid();
}

#[test]
fn without_the_record_the_last_manifest_counts_alone() {
    let sandbox = Sandbox::built();
    let v1 = generate(&sandbox, "--ref-name v1 --annotation a=1");
    sandbox.edit("image/.regshape-stage.json", |stage| {
        drop(stage.as_object_mut().expect("an object").remove("generated"))
    });
    let message = format!(
        "tag 'latest' of image is that of {MANIFEST}, which was not generated here; use --replace-tag, or another --ref-name"
    );
    sandbox.refuses("layout generate manifest -p image --ref-name latest --annotation b=1", &message);
    let new = generate(&sandbox, "--ref-name v1 --annotation a=2");
    assert_eq!(entries(&sandbox), [(json!("latest"), json!(MANIFEST)), (json!("v1"), json!(new))]);
    assert!(!sandbox.blobs().contains(&v1));
}
