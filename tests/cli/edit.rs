//! Editing images that are there: `-p DIR:TAG` of `update config`, `annotate`, `add layer`, `remove layer`, `move layer`.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::*;

const LEFT: &str = "signatures and other referrers stay with the old digest";
const LEFT_OUT: &str = "attestations of changed images were left out of the index";

/// Creates a layout `image` with the image `v1` of two layers and with the index `multi` for two platforms, both made by
/// `build`: nothing is staged.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    for name in ["app", "tool"] {
        sandbox.write(name, name);
    }
    sandbox.ok("build -o image:v1 --copy app:/app --next-layer --copy tool:/bin/tool --env A=1 --annotation m=n");
    sandbox.ok("build -o image:multi --platform linux/amd64 --platform linux/arm64 --copy app:/app --env A=1");
    sandbox
}

/// Returns the entry of a tag.
#[track_caller]
fn entry(sandbox: &Sandbox, tag: &str) -> Value {
    let index = sandbox.index();
    let entries = index["manifests"].as_array().expect("entries");
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    entries.iter().find(is_it).unwrap_or_else(|| panic!("no {tag} in {index}")).clone()
}

#[track_caller]
fn document(sandbox: &Sandbox, descriptor: &Value) -> Value {
    sandbox.blob_json(descriptor["digest"].as_str().expect("a digest"))
}

#[track_caller]
fn config(sandbox: &Sandbox, tag: &str) -> Value {
    document(sandbox, &document(sandbox, &entry(sandbox, tag))["config"])
}

/// Returns the manifests in the index of a tag, with their configs.
#[track_caller]
fn images(sandbox: &Sandbox, tag: &str) -> Vec<(Value, Value)> {
    let index = document(sandbox, &entry(sandbox, tag));
    let manifests = index["manifests"].as_array().expect("manifests").clone();
    let read = |entry: &Value| {
        let manifest = document(sandbox, entry);
        let config = document(sandbox, &manifest["config"]);
        (manifest, config)
    };
    manifests.iter().map(read).collect()
}

fn digest(value: &Value) -> String {
    value["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_field_of_the_config_is_changed_where_the_image_stands() {
    let sandbox = sandbox();
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["annotations"]["com.example.kept"] = json!("yes");
        index["manifests"][0]["x-unknown"] = json!([1.50]);
    });
    let (before, old) = (sandbox.index(), entry(&sandbox, "v1"));
    let old_manifest = document(&sandbox, &old);
    let outcome = sandbox.run("update config image:v1 --env B=2 --label x=y");
    let new = entry(&sandbox, "v1");
    outcome.succeeds(
        format!(
            "Updated image:v1:\n      digest: {}\n        size: {}\n  media-type: {MANIFEST_TYPE}\n    ref-name: v1\n",
            digest(&new),
            new["size"]
        ),
        "",
    );
    let mut expected = before;
    for key in ["digest", "size"] {
        expected["manifests"][0][key] = new[key].clone();
    }
    assert_eq!(sandbox.index(), expected, "only the digest and the size of one entry change");
    let made = config(&sandbox, "v1");
    assert_eq!(made["config"], json!({"Env": ["A=1", "B=2"], "Labels": {"x": "y"}}));
    let manifest = document(&sandbox, &new);
    for key in ["annotations", "layers", "mediaType", "schemaVersion"] {
        assert_eq!(manifest[key], old_manifest[key], "{key}");
    }
    // The old documents are gone, and the layers stay.
    let blobs = sandbox.blobs();
    assert!(!blobs.contains(&digest(&old)) && !blobs.contains(&digest(&old_manifest["config"])));
    sandbox.is_valid();
    // A change that changes nothing writes nothing.
    let tree = sandbox.tree();
    sandbox.ok("update config image:v1 --env B=2 --label x=y");
    assert_eq!(sandbox.tree(), tree);
    sandbox.ok("update config image:v1 --unset-env B --unset-label x");
    assert_eq!(digest(&entry(&sandbox, "v1")), digest(&old), "a field is unset again");
}

#[test]
fn f4_a_label_is_set_on_every_platform_of_an_index() {
    let sandbox = sandbox();
    sandbox.ok("tag add -p image:multi other");
    let other = digest(&entry(&sandbox, "other"));
    let value = sandbox.ok_json("update config image:multi --label x=y");
    let platforms: Vec<&Value> =
        value["images"].as_array().expect("images").iter().map(|image| &image["platform"]).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(value["digest"], entry(&sandbox, "multi")["digest"]);
    for (_, config) in images(&sandbox, "multi") {
        assert_eq!(config["config"]["Labels"], json!({"x": "y"}));
    }
    assert_eq!(digest(&entry(&sandbox, "other")), other, "other tags of the same image stay on it");
    sandbox.is_valid();
}

#[test]
fn f4_images_of_an_index_are_picked_by_their_platforms() {
    let sandbox = sandbox();
    let before = images(&sandbox, "multi");
    sandbox.ok("update config image:multi --platform linux/arm64 --env B=2");
    let after = images(&sandbox, "multi");
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].1["config"]["Env"], json!(["A=1", "B=2"]));
    let tree = sandbox.tree();
    sandbox.run("update config image:multi --platform linux/s390x --env B=3").is(
        1,
        "",
        "Error: no linux/s390x image in 'multi'; it has linux/amd64, linux/arm64\n",
    );
    sandbox.run("update config image:multi --architecture arm64").is(
        1,
        "",
        "Error: two images would be for linux/arm64: 'multi (linux/amd64)' and another one; pick one image with \
         --platform\n",
    );
    assert_eq!(sandbox.tree(), tree);
    let lower = sandbox.run("update config image:multi --platform linux/arm64/v9 --env C=3 --json");
    assert_eq!(lower.json()["lower_variants"], json!([{"asked": "linux/arm64/v9", "taken": "linux/arm64"}]));
    let lower = sandbox.run("update config image:multi --platform linux/arm64/v9 --env D=4 -v");
    assert!(lower.stderr.starts_with("No image for linux/arm64/v9; using linux/arm64\n"), "{lower:?}");
    // The platform of a descriptor follows the config.
    sandbox.ok("update config image:multi --platform linux/arm64 --architecture arm --variant v7");
    let index = document(&sandbox, &entry(&sandbox, "multi"));
    assert_eq!(
        index["manifests"][1]["platform"],
        json!({"architecture": "arm", "os": "linux", "variant": "v7"}),
        "{index}"
    );
    sandbox.is_valid();
}

#[test]
fn the_result_gets_a_tag_of_its_own() {
    let sandbox = sandbox();
    let old = entry(&sandbox, "v1");
    let other = entry(&sandbox, "multi");
    let outcome = sandbox.run("update config image:v1 --tag v2 --user 33");
    let new = entry(&sandbox, "v2");
    // The heading names the result, not the image that it was made of.
    outcome.succeeds(
        format!(
            "Updated image:v2:\n      digest: {}\n        size: {}\n  media-type: {MANIFEST_TYPE}\n    ref-name: v2\n",
            digest(&new),
            new["size"]
        ),
        "",
    );
    assert_eq!(entry(&sandbox, "v1"), old);
    assert_eq!(config(&sandbox, "v2")["config"]["User"], "33");
    let contents = sandbox.contents();
    sandbox.run("update config image:v1 --tag multi --user 34").is(
        1,
        "",
        "Error: image has another manifest 'multi' already; use another --tag, or --replace-tag\n",
    );
    assert_eq!(sandbox.contents(), contents);
    sandbox.ok("update config image:v1 --tag multi --replace-tag --user 33");
    assert_eq!(entry(&sandbox, "multi")["digest"], entry(&sandbox, "v2")["digest"]);
    let digests: Vec<String> = sandbox.index()["manifests"].as_array().expect("entries").iter().map(digest).collect();
    assert!(digests.contains(&digest(&other)), "the other image stays without a name");
    sandbox.is_valid();
}

#[test]
fn a_digest_names_the_one_entry_that_has_it() {
    let sandbox = sandbox();
    let old = digest(&entry(&sandbox, "v1"));
    sandbox.ok(&format!("update config image@{old} --user 33"));
    assert_eq!(config(&sandbox, "v1")["config"]["User"], "33", "the entry with the digest follows");
    sandbox.ok("tag add -p image:v1 v2");
    let new = digest(&entry(&sandbox, "v1"));
    let ambiguous = format!("Error: '{new}' is not one entry of index.json; give the result a tag with --tag\n");
    sandbox.run(&format!("update config image@{new} --user 34")).is(1, "", ambiguous);
    sandbox.ok(&format!("update config image:v2@{new} --user 35"));
    assert_eq!(config(&sandbox, "v2")["config"]["User"], "35", "a tag with a digest names one entry");
    assert_eq!(digest(&entry(&sandbox, "v1")), new);
    sandbox.ok(&format!("update config image@{new} --user 34 --tag v3"));
    assert_eq!(config(&sandbox, "v3")["config"]["User"], "34");
    // An image inside an index has no entry.
    let inside = digest(&document(&sandbox, &entry(&sandbox, "multi"))["manifests"][1]);
    assert_eq!(sandbox.run(&format!("update config image@{inside} --user 34")).status, 1);
    sandbox.ok(&format!("update config image@{inside} --user 34 --tag arm"));
    assert_eq!(config(&sandbox, "arm")["architecture"], "arm64");
    sandbox.is_valid();
}

#[test]
fn a_tag_that_is_not_there_is_an_error_that_lists_the_tags() {
    let sandbox = sandbox();
    let tree = sandbox.tree();
    for (command, status) in [
        ("update config image:v9 --user 33", 1),
        ("annotate manifest image:v9 --annotation a=b", 1),
        ("annotate layer image:v9 --index 0 --annotation a=b", 1),
        ("add layer image:v9 --copy app:/x", 1),
        ("remove layer image:v9 --index 0", 3),
        ("move layer image:v9 --index 0 --to 1", 3),
    ] {
        sandbox.run(command).is(status, "", "Error: image has no manifest 'v9'; its tags are multi, v1\n");
    }
    assert_eq!(sandbox.tree(), tree);
}

#[test]
fn the_staging_area_and_images_are_edited_apart() {
    let sandbox = sandbox();
    for command in ["update config image --user 33", "annotate manifest image --annotation a=b"] {
        let refused = sandbox.run(command);
        assert_eq!(refused.status, 1, "{refused:?}");
        assert!(refused.stderr.ends_with("; to edit an image, name it: image:v1\n"), "{refused:?}");
    }
    let refused = sandbox.run("remove layer image --index 0");
    refused.is(3, "", "Error: layer index 0 out of range (staged layers: 0); to edit an image, name it: image:v1\n");
    sandbox.misuses(
        "update config image --platform linux/amd64 --user 33",
        "--tag and --platform need an image: name it as DIR:TAG",
    );
    // What is staged is neither read nor changed.
    sandbox.ok("add layer image --copy app:/staged");
    sandbox.ok("generate config image");
    let stage = sandbox.stage();
    for command in [
        "update config image:v1 --user 33",
        "annotate manifest image:v1 --annotation a=b",
        "add layer image:v1 --copy tool:/x",
        "remove layer image:v1 --index 0",
    ] {
        sandbox.ok(command);
        assert_eq!(sandbox.stage(), stage, "{command}");
    }
    sandbox.is_valid();
}

#[test]
fn annotations_are_set_and_removed_in_manifests_and_layers() {
    let sandbox = sandbox();
    sandbox.ok("annotate manifest image:v1 --annotation a=b --unset-annotation m");
    assert_eq!(document(&sandbox, &entry(&sandbox, "v1"))["annotations"], json!({"a": "b"}));
    sandbox.ok("annotate manifest image:v1 --unset-annotation a");
    assert_eq!(document(&sandbox, &entry(&sandbox, "v1")).get("annotations"), None);
    sandbox.ok("annotate layer image:v1 --index 1 --annotation a=b");
    let manifest = document(&sandbox, &entry(&sandbox, "v1"));
    assert_eq!(manifest["layers"][1]["annotations"], json!({"a": "b"}));
    assert_eq!(manifest["layers"][0].get("annotations"), None);
    sandbox.ok("annotate manifest image:multi --annotation a=b");
    for (manifest, _) in images(&sandbox, "multi") {
        assert_eq!(manifest["annotations"], json!({"a": "b"}));
    }
    sandbox.is_valid();
    let tree = sandbox.tree();
    sandbox.run("annotate layer image:multi --index 1 --annotation a=b").is(
        1,
        "",
        "Error: layer index 1 out of range ('multi (linux/amd64)' has 1 layer)\n",
    );
    let both = sandbox.run("annotate manifest image:v1 --unset-annotation a --replace");
    let message = "error: the argument '--unset-annotation <KEY>' cannot be used with '--replace'\n";
    assert_eq!((both.status, both.stderr.starts_with(message)), (2, true), "{both:?}");
    assert_eq!(sandbox.tree(), tree);
}

#[test]
fn e6_a_layer_goes_with_its_diff_id_and_its_history() {
    let sandbox = sandbox();
    sandbox.ok("update config image:v1 --history nothing");
    sandbox.ok("add layer image:v1 --copy app:/c");
    let (manifest, before) = (document(&sandbox, &entry(&sandbox, "v1")), config(&sandbox, "v1"));
    let step = |at: usize| before["history"][at].clone();
    assert_eq!(step(3)["created_by"], "regshape add layer --copy /c");
    sandbox.ok("move layer image:v1 --index 2 --to 0");
    let (moved, after) = (document(&sandbox, &entry(&sandbox, "v1")), config(&sandbox, "v1"));
    let order = |value: &Value, order: &[usize]| json!(order.iter().map(|at| value[*at].clone()).collect::<Vec<_>>());
    assert_eq!(moved["layers"], order(&manifest["layers"], &[2, 0, 1]));
    assert_eq!(after["rootfs"]["diff_ids"], order(&before["rootfs"]["diff_ids"], &[2, 0, 1]));
    assert_eq!(after["history"], order(&before["history"], &[3, 0, 2, 1]), "the entry without a layer stays");
    sandbox.ok("remove layer image:v1 --index 0");
    let (removed, after) = (document(&sandbox, &entry(&sandbox, "v1")), config(&sandbox, "v1"));
    assert_eq!(removed["layers"], order(&manifest["layers"], &[0, 1]));
    assert_eq!(after["rootfs"]["diff_ids"], order(&before["rootfs"]["diff_ids"], &[0, 1]));
    assert_eq!(after["history"], order(&before["history"], &[0, 2, 1]));
    sandbox.ok("gc image");
    sandbox.is_valid();
    let tree = sandbox.tree();
    sandbox.run("remove layer image:v1 --index 2").is(3, "", "Error: layer index 2 out of range ('v1' has 2 layers)\n");
    sandbox.run("move layer image:v1 --index 0 --to 2").is(
        3,
        "",
        "Error: layer index 2 out of range ('v1' has 2 layers)\n",
    );
    assert_eq!(sandbox.tree(), tree);
}

#[test]
fn entries_of_the_history_never_have_the_time_of_the_image() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -o image:v1 --copy app:/app --created 2026-03-08T12:00:00Z");
    sandbox.ok("add layer image:v1 --copy app:/b");
    sandbox.ok("update config image:v1 --history text");
    let mut command = sandbox.command();
    command.env("SOURCE_DATE_EPOCH", "86400").args("add layer image:v1 --copy app:/c -q".split(' '));
    assert!(command.output().expect("it runs").status.success());
    let made = config(&sandbox, "v1");
    assert_eq!(made["created"], "2026-03-08T12:00:00Z", "a field that is not named stays");
    let times: Vec<&Value> =
        made["history"].as_array().expect("a history").iter().map(|entry| &entry["created"]).collect();
    assert_eq!(times, ["2026-03-08T12:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"]);
}

#[test]
fn e6_staged_layers_are_removed_and_moved() {
    let sandbox = Sandbox::staged();
    let moved = sandbox.run("move layer image --index 1 --to 0");
    assert_eq!((moved.status, moved.stderr.as_str()), (0, ""), "{moved:?}");
    let layers = sandbox.stage()["layers"].clone();
    assert_eq!((&layers[0]["digest"], &layers[1]["digest"]), (&json!(PATCHES), &json!(BASE)));
    sandbox.ok("remove layer image --index 0");
    assert_eq!(sandbox.stage()["layers"].as_array().map(Vec::len), Some(1));
    sandbox.ok("generate config image");
    sandbox.ok("generate manifest image --ref-name v1");
    sandbox.ok("gc image");
    sandbox.is_valid();
}

#[test]
fn a_layer_is_added_to_every_platform() {
    let sandbox = sandbox();
    sandbox.write("base.tar", base_tar());
    for (command, step) in [
        ("add layer image:multi --copy tool:/bin/tool", "regshape add layer --copy /bin/tool"),
        ("add layer image:multi --file base.tar --yes", "regshape add layer --file"),
    ] {
        let value = sandbox.ok_json(command);
        assert_eq!(value["images"].as_array().map(Vec::len), Some(2), "{value}");
        let images = images(&sandbox, "multi");
        let last = |value: &Value| value.as_array().and_then(|values| values.last()).expect("one").clone();
        assert_eq!(last(&images[0].0["layers"]), last(&images[1].0["layers"]));
        for (_, config) in &images {
            assert_eq!(last(&config["history"])["created_by"], step);
        }
    }
    sandbox.is_valid();
}

#[test]
fn b3_parents_of_a_layer_on_an_image_are_those_of_its_layers() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.write("tree.mtree", "#mtree\n/set uid=5 gid=6 mode=0750\n./srv type=dir\n./lib type=link link=srv\n");
    sandbox.ok("build -o image:v1 --mtree tree.mtree");
    sandbox.ok("add layer image:v1 --copy app:/lib/app");
    let manifest = document(&sandbox, &entry(&sandbox, "v1"));
    let layer = gunzip(&sandbox.blob(&digest(&manifest["layers"][1])));
    let mut archive = tar::Archive::new(layer.as_slice());
    let entries: Vec<_> = archive
        .entries()
        .expect("a tar")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let header = entry.header();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            (path, header.uid().expect("a uid"), header.mode().expect("a mode"))
        })
        .collect();
    assert_eq!(entries[0], ("srv/".to_owned(), 5, 0o750));
    assert_eq!((entries[1].0.as_str(), entries.len()), ("srv/app", 2));
}

#[test]
fn e2_the_base_is_named_as_long_as_its_layers_are_the_lowest() {
    let sandbox = sandbox();
    let annotations = |sandbox: &Sandbox, tag: &str| document(sandbox, &entry(sandbox, tag))["annotations"].clone();
    // The base is stored beside it, or elsewhere.
    for (output, layout) in [("image:on", "image"), ("other:on", "other")] {
        let tag = "on";
        sandbox.ok(&format!("build -o {output} --base image:v1 --copy app:/x --base-name example.com/base:1"));
        let read = |sandbox: &Sandbox| {
            let name = format!("{layout}/blobs/sha256");
            let index = sandbox.json(&format!("{layout}/index.json"));
            let entries = index["manifests"].as_array().expect("entries").clone();
            let entry = entries
                .iter()
                .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag)
                .expect("it is there")
                .clone();
            let encoded = digest(&entry).replace("sha256:", "");
            sandbox.json(&format!("{name}/{encoded}"))
        };
        let named = read(&sandbox)["annotations"].clone();
        assert!(named["org.opencontainers.image.base.digest"].is_string(), "{named}");
        sandbox.ok(&format!("add layer {output} --copy tool:/y"));
        sandbox.ok(&format!("remove layer {output} --index 3"));
        assert_eq!(read(&sandbox)["annotations"], named);
        let outcome = sandbox.run(&format!("move layer {output} --index 0 --to 2"));
        assert_eq!(
            outcome.stderr,
            "Warning: the layers of the base are no longer the lowest: the annotations that name the base are removed\n"
        );
        assert_eq!(read(&sandbox).get("annotations"), None);
    }
    assert_eq!(annotations(&sandbox, "v1"), json!({"m": "n"}));
}

/// Section 0: attestations of an image that changed leave the index; signatures stay with the old digest.
#[test]
fn attestations_leave_the_index_and_signatures_stay_with_the_old_digest() {
    let sandbox = sandbox();
    let mut index = document(&sandbox, &entry(&sandbox, "multi"));
    let subject = index["manifests"][0].clone();
    let empty = sandbox.store("{}");
    let media_type = "application/vnd.oci.empty.v1+json";
    let of_attestation = sandbox.store(r#"{"attests":1}"#);
    // BuildKit gives attestations a subject too, if it is asked for artifacts.
    let manifest = |config: &str, size: u64| {
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": "application/vnd.example",
            "config": {"mediaType": media_type, "digest": config, "size": size},
            "layers": [{"mediaType": media_type, "digest": empty, "size": 2}],
            "subject": {"mediaType": MANIFEST_TYPE, "digest": subject["digest"], "size": subject["size"]},
        })
        .to_string()
    };
    let (attestation, signature) = (manifest(&of_attestation, 13), manifest(&empty, 2));
    let (attests, signs) = (sandbox.store(&attestation), sandbox.store(&signature));
    index["manifests"].as_array_mut().expect("a list").push(json!({
        "mediaType": MANIFEST_TYPE, "digest": attests, "size": attestation.len(),
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject["digest"],
        },
    }));
    let content = index.to_string();
    let digest = sandbox.store(&content);
    let tag = format!("{}.sig", digest.replace(':', "-"));
    sandbox.edit("image/index.json", |index| {
        let entries = index["manifests"].as_array_mut().expect("entries");
        let multi =
            entries.iter_mut().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == "multi");
        let multi = multi.expect("it is there");
        (multi["digest"], multi["size"]) = (json!(digest), json!(content.len()));
        let entry = |name: Option<&str>| {
            let mut entry = json!({"mediaType": MANIFEST_TYPE, "digest": signs, "size": signature.len()});
            if let Some(name) = name {
                entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
            }
            entry
        };
        entries.extend([entry(None), entry(Some(&tag))]);
    });
    let mut left = [signs.clone(), tag];
    left.sort();
    let warnings = [format!("{LEFT_OUT}: {attests}"), format!("{LEFT}: {}", left.join(", "))];
    // With a tag of its own for the result, the old index keeps its attestation.
    let outcome = sandbox.run("update config image:multi --user 33 --tag new --json");
    assert_eq!((outcome.status, &outcome.json()["warnings"]), (0, &json!(warnings)));
    assert!(sandbox.blobs().contains(&attests) && sandbox.blobs().contains(&of_attestation));
    let outcome = sandbox.run("update config image:multi --user 33 -q");
    let text: String = warnings.iter().map(|warning| format!("Warning: {warning}\n")).collect();
    assert_eq!((outcome.status, outcome.stderr), (0, text));
    let after = document(&sandbox, &entry(&sandbox, "multi"));
    assert_eq!(after["manifests"].as_array().map(Vec::len), Some(2), "the attestation leaves the index");
    let blobs = sandbox.blobs();
    assert!(blobs.contains(&signs));
    assert!(!blobs.contains(&attests) && !blobs.contains(&of_attestation), "nothing refers to them any more");
}

#[test]
fn e1_an_image_with_media_types_of_docker_becomes_one_of_the_image_spec() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -o image:v1 --copy app:/app");
    let mut manifest = document(&sandbox, &entry(&sandbox, "v1"));
    let docker = |name: &str| format!("application/vnd.docker.{name}");
    manifest["mediaType"] = json!(docker("distribution.manifest.v2+json"));
    manifest["config"]["mediaType"] = json!(docker("container.image.v1+json"));
    manifest["layers"][0]["mediaType"] = json!(docker("image.rootfs.diff.tar.gzip"));
    let content = manifest.to_string();
    let digest = sandbox.store(&content);
    sandbox.edit("image/index.json", |index| {
        let entry = &mut index["manifests"][0];
        (entry["digest"], entry["size"]) = (json!(digest), json!(content.len()));
        entry["mediaType"] = json!(docker("distribution.manifest.v2+json"));
    });
    let outcome = sandbox.run("update config image:v1 --user 33 -q");
    let warning = "Warning: the image had media types of Docker; it has those of the image-spec now\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, warning));
    let after = document(&sandbox, &entry(&sandbox, "v1"));
    assert_eq!(entry(&sandbox, "v1")["mediaType"], MANIFEST_TYPE);
    assert_eq!(after["mediaType"], MANIFEST_TYPE);
    assert_eq!(after["config"]["mediaType"], CONFIG_TYPE);
    assert_eq!(after["layers"][0]["mediaType"], GZIP_TYPE);
    sandbox.ok("gc image");
    sandbox.is_valid();
}

/// E1: the warning says which documents have other media types.
#[test]
fn e1_only_the_images_that_change_lose_the_media_types_of_docker() {
    let sandbox = sandbox();
    let docker = |name: &str| format!("application/vnd.docker.{name}");
    let mut index = document(&sandbox, &entry(&sandbox, "multi"));
    for image in index["manifests"].as_array_mut().expect("images") {
        let mut manifest = document(&sandbox, image);
        manifest["mediaType"] = json!(docker("distribution.manifest.v2+json"));
        manifest["config"]["mediaType"] = json!(docker("container.image.v1+json"));
        manifest["layers"][0]["mediaType"] = json!(docker("image.rootfs.diff.tar.gzip"));
        image["mediaType"] = manifest["mediaType"].clone();
        (image["digest"], image["size"]) =
            (json!(sandbox.store(manifest.to_string())), json!(manifest.to_string().len()));
    }
    index["mediaType"] = json!(docker("distribution.manifest.list.v2+json"));
    let content = index.to_string();
    let stored = sandbox.store(&content);
    sandbox.edit("image/index.json", |listed| {
        let entries = listed["manifests"].as_array_mut().expect("entries");
        let name = "org.opencontainers.image.ref.name";
        entries.retain(|entry| entry["annotations"][name] != "multi");
        entries.push(json!({
            "mediaType": index["mediaType"], "digest": stored, "size": content.len(), "annotations": {name: "multi"},
        }));
    });
    let of_index =
        "Warning: the index had Docker's media type; it has that of the image-spec now, and its images keep theirs\n";
    let types = |tag: &str| {
        let index = document(&sandbox, &entry(&sandbox, tag));
        let types = index["manifests"].as_array().expect("images").iter();
        let types: Vec<_> = types.map(|image| image["mediaType"] == MANIFEST_TYPE).collect();
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
        types
    };
    for command in ["index annotate", "index annotate --at descriptor", "index remove --platform linux/arm64"] {
        let words = if command.contains("remove") { "" } else { "--annotation a=b" };
        let outcome = sandbox.run(&format!("{command} -p image:multi {words} --tag new --replace-tag -q"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, of_index), "{command}");
        assert!(types("new").into_iter().all(|is_oci| !is_oci), "{command}");
    }
    let outcome = sandbox.run("update config image:multi --user 33 --platform linux/arm64 --tag new --replace-tag -q");
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (
            0,
            "Warning: the images that changed had media types of Docker; they have those of the image-spec now, and the \
             other images keep theirs\n"
        )
    );
    assert_eq!(types("new"), [false, true]);
    let outcome = sandbox.run("update config image:multi --user 33 -q");
    let all = "Warning: the image had media types of Docker; it has those of the image-spec now\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, all));
    assert_eq!(types("multi"), [true, true]);
    sandbox.ok("gc image");
    sandbox.is_valid();
}

#[test]
fn of_an_artifact_only_the_manifest_is_edited() {
    let sandbox = Sandbox::empty();
    sandbox.write("file", "content");
    sandbox.ok("init image");
    let (empty, file) = (sandbox.store("{}"), sandbox.store("content"));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": "application/vnd.example",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": file, "size": 7}],
    });
    sandbox.write("manifest.json", manifest.to_string());
    sandbox.ok("manifest put image:a --file manifest.json");
    sandbox.run("update config image:a --user 33").is(1, "", "Error: 'a' is an artifact: it has no image config\n");
    sandbox.ok("annotate manifest image:a --annotation a=b");
    sandbox.ok("add layer image:a --file file --media-type text/plain --compress-format none");
    let after = document(&sandbox, &entry(&sandbox, "a"));
    assert_eq!(after["layers"], json!([manifest["layers"][0], manifest["layers"][0]]));
    sandbox.ok("remove layer image:a --index 0");
    let after = document(&sandbox, &entry(&sandbox, "a"));
    assert_eq!((&after["layers"], &after["config"]), (&manifest["layers"], &manifest["config"]));
    assert_eq!(after["annotations"], json!({"a": "b"}));
    sandbox.is_valid();
}

/// G1: an artifact without layers has one empty layer, which the first layer replaces.
#[test]
fn g1_the_last_layer_of_an_artifact_leaves_the_empty_one() {
    let sandbox = Sandbox::empty();
    sandbox.write("file", "content");
    sandbox.ok("init image");
    let (config, file) = (sandbox.store(r#"{"a":1}"#), sandbox.store("content"));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": "application/vnd.example",
        "config": {"mediaType": "application/vnd.example.config", "digest": config, "size": 7},
        "layers": [{"mediaType": "text/plain", "digest": file, "size": 7}],
    });
    sandbox.write("manifest.json", manifest.to_string());
    sandbox.ok("manifest put image:a --file manifest.json");
    let layers = || document(&sandbox, &entry(&sandbox, "a"))["layers"].clone();
    let empty = sha256(b"{}");
    sandbox.ok("remove layer image:a --index 0");
    assert_eq!(
        layers(),
        json!([{"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2, "data": "e30="}])
    );
    assert_eq!(sandbox.blob(&empty), b"{}");
    let tree = sandbox.tree();
    sandbox.ok("remove layer image:a --index 0");
    assert_eq!(sandbox.tree(), tree);
    sandbox.ok("add layer image:a --file file --media-type text/plain --compress-format none");
    assert_eq!(layers(), manifest["layers"]);
    assert!(!sandbox.blobs().contains(&empty), "nothing refers to it any more");
    sandbox.is_valid();
}

/// D8: an image with layers and no history gets none, with a note.
#[test]
fn d8_an_image_without_a_history_gets_none() {
    let sandbox = sandbox();
    sandbox.ok("update config image:v1 --no-history");
    let note = |rest: &str| format!("Note: the image gets no history, because {rest}\n");
    let not_kept = "; the text of --created-by is not kept";
    for (words, end) in [("--copy tool", ""), ("--copy tool:/x --created-by foo", not_kept)] {
        let outcome = sandbox.run(&format!("add layer image:v1 {words}"));
        assert_eq!((outcome.status, outcome.stderr), (0, note(&format!("it has none{end}"))));
        let config = document(&sandbox, &document(&sandbox, &entry(&sandbox, "v1"))["config"]);
        assert_eq!(config.get("history"), None);
    }
    for (words, end) in [("--copy tool:/y", ""), ("--copy tool:/y --created-by foo", not_kept)] {
        let built = sandbox.run(&format!("build -o image:new --base image:v1 {words}"));
        assert_eq!((built.status, built.stderr), (0, note(&format!("its base has none{end}"))));
        sandbox.ok("reset image");
        sandbox.ok("add base image --from image:v1");
        sandbox.ok(&format!("add layer image {words}"));
        let generated = sandbox.run("generate config image");
        assert_eq!((generated.status, generated.stderr), (0, note(&format!("its base has none{end}"))));
    }
    assert_eq!(sandbox.run("add layer image:v1 --copy app:/z --created-by foo -q").stderr, "");
    // An image with a history says how the layer was made.
    assert_eq!(sandbox.run("add layer image:multi --copy tool:/x --created-by foo").stderr, "");
}

#[test]
fn an_index_with_an_image_that_cannot_be_edited_stays_as_it_is() {
    let sandbox = sandbox();
    let index = document(&sandbox, &entry(&sandbox, "multi"));
    let config = digest(&document(&sandbox, &index["manifests"][1])["config"]);
    std::fs::remove_file(sandbox.path(blob_name(&config))).expect("removed");
    let tree = sandbox.tree();
    for command in ["update config image:multi --user 33", "add layer image:multi --copy app:/x"] {
        let outcome = sandbox.run(command);
        assert_eq!((outcome.status, outcome.stderr.contains(&config)), (1, true), "{outcome:?}");
        assert_eq!(sandbox.tree(), tree);
    }
    sandbox.ok("update config image:multi --user 33 --platform linux/amd64");
}

#[test]
fn forty_edits_of_one_tag_at_once_are_all_in_the_result() {
    let sandbox = sandbox();
    let commands: Vec<String> = (0..40)
        .map(|number| match number % 3 {
            0 => format!("update config image:multi --label l{number}=x -q"),
            1 => format!("annotate manifest image:multi --annotation a{number}=x -q"),
            _ => format!("annotate layer image:multi --index 0 --annotation a{number}=x -q"),
        })
        .collect();
    let children: Vec<_> = commands
        .iter()
        .map(|words| {
            let mut command = sandbox.command();
            command.args(words.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the program starts")
        })
        .collect();
    for child in children {
        let outcome: Outcome = child.wait_with_output().expect("the program ends").into();
        assert_eq!(outcome.status, 0, "{outcome:?}");
    }
    for (manifest, config) in images(&sandbox, "multi") {
        let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
        let mut found = keys(&config["config"]["Labels"]);
        found.extend(keys(&manifest["annotations"]));
        found.extend(keys(&manifest["layers"][0]["annotations"]));
        let expected = (0..40).map(|number| format!("{}{number}", if number % 3 == 0 { 'l' } else { 'a' })).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(sandbox.blobs().len(), 2 + 2 + 2 + 2 + 1, "old documents are gone");
    sandbox.is_valid();
}

#[test]
fn layers_added_at_once_are_all_in_the_image_or_say_that_it_changed() {
    let sandbox = sandbox();
    let children: Vec<_> = (0..12)
        .map(|number| {
            let mut command = sandbox.command();
            let words = format!("add layer image:v1 --copy app:/app{number} -q");
            command.args(words.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the program starts")
        })
        .collect();
    let mut added = BTreeSet::new();
    for (number, child) in children.into_iter().enumerate() {
        let outcome: Outcome = child.wait_with_output().expect("the program ends").into();
        assert!([0, 75].contains(&outcome.status), "{outcome:?}");
        let again = "Error: image was changed while it was read; try again\n";
        assert_eq!(outcome.stderr, if outcome.status == 0 { "" } else { again });
        if outcome.status == 0 {
            added.insert(format!("regshape add layer --copy /app{number}"));
        }
    }
    let config = config(&sandbox, "v1");
    let steps = config["history"].as_array().expect("a history").iter();
    let found: BTreeSet<_> =
        steps.skip(2).map(|step| step["created_by"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(found, added);
    assert!(!added.is_empty());
    sandbox.is_valid();
}

#[test]
fn a_manifest_that_is_not_stored_is_missed_by_the_index_that_lists_it() {
    let sandbox = sandbox();
    let index = entry(&sandbox, "multi");
    let missing = digest(&document(&sandbox, &index)["manifests"][1]);
    std::fs::remove_file(sandbox.path(blob_name(&missing))).expect("removed");
    sandbox.write("file", "x");
    let tree = sandbox.tree();
    let message = format!("blob {missing} referenced by {} does not exist", digest(&index));
    for words in [
        "update config image:multi --label a=b",
        "annotate manifest image:multi --annotation a=b",
        "add layer image:multi --copy tool:/x",
        "attach image:multi --platform linux/arm64 --artifact-type a/b --file file",
    ] {
        sandbox.run(words).is(1, "", format!("Error: {message}\n"));
    }
    for words in ["manifest get -p", "config get -p"] {
        sandbox.run(&format!("{words} image@{missing}")).is(1, "", format!("Error: {message} (BLOB_UNKNOWN)\n"));
    }
    assert_eq!(sandbox.tree(), tree);
}
