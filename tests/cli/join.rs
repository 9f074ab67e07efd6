//! `layout join`

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::*;

/// Creates layouts `amd64` and `arm64` next to `image`, each with one named image.
fn parts(names: [&str; 2]) -> Images {
    let images = Images::new();
    for (image, name) in [(&images.amd64, names[0]), (&images.arm64, names[1])] {
        let output = image["platform"]["architecture"].as_str().expect("an architecture");
        let digest = digest(image);
        images.sandbox.ok(&format!("layout export --path image --ref {digest} --ref-name {name} --output {output}"));
    }
    images
}

/// Returns the generated index of some images, and all blobs reachable from it.
fn joined(images: &Images, entries: &[&Value]) -> (Value, Vec<Value>) {
    let text = index(entries).to_string();
    let made = json!({"mediaType": INDEX_TYPE, "digest": sha256(text.as_bytes()), "size": text.len()});
    let parts = entries.iter().flat_map(|image| images.parts(image));
    let blobs = once([made.clone()].into_iter().chain(parts));
    (made, blobs)
}

#[test]
fn single_platform_images_become_one_multi_platform_image() {
    let images = parts(["v1", "v1"]);
    let sandbox = &images.sandbox;
    let (made, blobs) = joined(&images, &[&images.amd64, &images.arm64]);
    sandbox.ok("layout export --path arm64 --output arm64.tar");
    sandbox.ok("layout export --path arm64 --output arm64.tar.gz");
    sandbox.ok("layout export --path arm64 --output arm64.tzst");
    for (at, (words, name)) in [
        ("--path amd64 --path arm64 --ref-name v2", "v2"),
        // The name that all images have in common.
        ("-p amd64 -p arm64", "v1"),
        ("-p amd64 -p arm64.tar", "v1"),
        ("-p amd64:v1 -p arm64.tar.gz:v1 --ref-name example/app:v1", "example/app:v1"),
        ("-p ./amd64:v1 -p ./arm64.tzst", "v1"),
    ]
    .into_iter()
    .enumerate()
    {
        let entries = [named(&made, name)];
        let output = format!("out{at}");
        sandbox
            .run(&format!("layout join {words} --output {output}"))
            .succeeds(told("Joined:", &output, &entries, &blobs), "");
        layout_holds(sandbox, &output, &entries, &blobs);
        let output = format!("out{at}.tar");
        sandbox
            .run(&format!("layout join {words} --output {output}"))
            .succeeds(told("Joined:", &output, &entries, &blobs), "");
        holds(&sandbox.read(&output), &entries, &blobs);
        let output = format!("out{at}.tar.gz");
        sandbox.ok(&format!("layout join {words} --output {output}"));
        assert!(gunzip(&sandbox.read(&output)) == sandbox.read(&format!("out{at}.tar")));
        let output = format!("out{at}.tar.zst");
        sandbox.ok(&format!("layout join {words} --output {output}"));
        let unpacked = zstd::decode_all(sandbox.read(&output).as_slice()).expect("sound");
        assert!(unpacked == sandbox.read(&format!("out{at}.tar")));
    }
    assert_eq!(
        sandbox.ok_json("layout join -p amd64 -p arm64 -o json.tar"),
        json!({
            "output": "json.tar", "dry_run": false, "blobs": counted(&blobs), "present": counted(&[]),
            "left_out": counted(&[]), "manifests": [named(&made, "v1")],
        })
    );
    // The images are in the order of the paths.
    let (made, blobs) = joined(&images, &[&images.arm64, &images.amd64]);
    let text = told("Joined:", "turned", &[named(&made, "v1")], &blobs);
    sandbox.run("layout join -p arm64 -p amd64 -o turned").succeeds(text, "");
}

#[test]
fn without_a_common_name_the_result_is_named_latest() {
    let images = parts(["v1", "v2"]);
    let sandbox = &images.sandbox;
    let (made, blobs) = joined(&images, &[&images.amd64, &images.arm64]);
    let text = told("Joined:", "out", &[named(&made, "latest")], &blobs);
    sandbox.run("layout join -p amd64 -p arm64 -o out").succeeds(text, "");
    layout_holds(sandbox, "out", &[named(&made, "latest")], &blobs);
}

#[test]
fn nested_indexes_are_unwrapped_and_platforms_are_detected() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let without = |entry: &Value| {
        let mut entry = entry.clone();
        entry.as_object_mut().expect("an object").remove("platform");
        entry
    };
    // A layout of docker buildx: a nested index with an attestation.
    list(sandbox, &[&named(&images.index, "v1")]);
    sandbox.ok("layout export --path image --output nested");
    // A layout of umoci: without a platform.
    list(sandbox, &[&named(&without(&images.s390x), "v1")]);
    sandbox.ok("layout export --path image --output plain.tar");
    let (made, blobs) = joined(&images, &[&images.amd64, &images.arm64, &images.attestation, &images.s390x]);
    let text = told("Joined:", "out", &[named(&made, "v1")], &blobs);
    sandbox.run("layout join -p nested -p plain.tar -o out").succeeds(text, "");
    layout_holds(sandbox, "out", &[named(&made, "v1")], &blobs);
    // A single image is accepted.
    let (made, blobs) = joined(&images, &[&images.s390x]);
    let text = told("Joined:", "one", &[named(&made, "v1")], &blobs);
    sandbox.run("layout join -p plain.tar -o one").succeeds(text, "");
}

#[test]
fn two_images_for_one_platform_cause_a_warning() {
    let images = parts(["v1", "v1"]);
    let sandbox = &images.sandbox;
    let more = json!({"annotations": {"a": "b"}});
    let layers = [&layer(sandbox), &layer(sandbox)];
    let other = manifest(&config_of(sandbox, "amd64", &layers), &layers);
    let other = on(&document(sandbox, &with(other, more)), "amd64");
    list(sandbox, &[&named(&other, "v1")]);
    let (made, blobs) = joined(&images, &[&images.amd64, &other]);
    let blobs = once(blobs);
    let warning = "several images are for linux/amd64: programs take the first";
    let text = told("Joined:", "out", &[named(&made, "v1")], &blobs);
    sandbox.run("layout join -p amd64 -p image -o out").succeeds(text, format!("Warning: {warning}\n"));
    let value = sandbox.ok_json("layout join -p amd64 -p image -o out");
    assert_eq!(value["warnings"], json!([warning]));
    // The same image given twice is added once.
    let (made, blobs) = joined(&images, &[&images.amd64]);
    let text = told("Joined:", "one", &[named(&made, "v1")], &blobs);
    sandbox.run("layout join -p amd64 -p amd64 -o one").succeeds(text, "");
    // A manifest without a platform.
    let artifact = document(sandbox, &about(sandbox, &images.amd64, "application/x-signature"));
    list(sandbox, &[&artifact]);
    let (made, blobs) = joined(&images, &[&images.amd64, &artifact]);
    let text = told("Joined:", "artifact", &[named(&made, "v1")], &blobs);
    let warning = format!("Warning: {} has no platform\n", digest(&artifact));
    sandbox.run("layout join -p amd64 -p image -o artifact").succeeds(text, warning);
}

#[test]
fn an_existing_layout_is_extended_and_its_names_are_kept() {
    let images = parts(["v1", "v1"]);
    let sandbox = &images.sandbox;
    let (made, blobs) = joined(&images, &[&images.amd64, &images.arm64]);
    sandbox.ok("layout export --path image --ref old --output out");
    let shared = layer(sandbox);
    let new: Vec<_> = blobs.iter().filter(|blob| digest(blob) != digest(&shared)).cloned().collect();
    let entries = [named(&made, "v1")];
    let text = told_all("Joined:", "out", &entries, [("blobs", new.as_slice()), ("there already", &[shared][..])]);
    sandbox.run("layout join -p amd64 -p arm64 -o out").succeeds(text, "");
    let old = named(&images.s390x, "old");
    let all = once(images.parts(&images.s390x).into_iter().chain(blobs.iter().cloned()));
    layout_holds(sandbox, "out", &[old.clone(), named(&made, "v1")], &all);
    sandbox.refuses(
        "layout join -p amd64 -p arm64 -o out --ref-name old",
        "out has another manifest 'old' already; use --ref-name or --replace-tag",
    );
    sandbox.ok("layout join -p amd64 -p arm64 -o out --ref-name old --replace");
    assert_eq!(
        sandbox.json("out/index.json")["manifests"],
        json!([named(&made, "old"), named(&made, "v1"), images.s390x])
    );
}

#[test]
fn a_failed_join_leaves_nothing() {
    let images = parts(["v1", "v1"]);
    let sandbox = &images.sandbox;
    let see = "'layout tag list' lists the tags";
    fs::create_dir(sandbox.path("full")).expect("made");
    sandbox.write("full/file", "content");
    for (words, message) in [
        ("-p amd64 -p nowhere -o out", "File not found: nowhere"),
        ("-p amd64 -p nowhere.tar -o new/out", "File not found: nowhere.tar"),
        ("-p amd64 -p full -o out.tar", "full is not an OCI Image Layout (missing oci-layout file)"),
        ("-p amd64 -p arm64 -o full", "full is neither empty nor an OCI Image Layout"),
        ("-p amd64:v2 -p arm64 -o out.tar", &format!("amd64 has no manifest 'v2'; {see}")),
        ("-p amd64 -p arm64 -o out --ref-name .x", &format!("'.x' {REF_NAME_GRAMMAR}").replace(" (NAME_INVALID)", "")),
    ] {
        sandbox.refuses(&format!("layout join {words}"), message);
    }
    is_usage_error(sandbox, "layout join -o out");
    is_usage_error(sandbox, "layout join -p amd64");
    // A corrupt layer in one of the layouts.
    let wrong = sha256(&[0; 1024]);
    sandbox.write(&format!("amd64/{}", blob_path(&layer(sandbox))), [1; 1024]);
    for output in ["out", "out.tar", "out.tar.gz", "new/out"] {
        sandbox.refuses(
            &format!("layout join -p amd64 -p arm64 -o {output}"),
            &format!("digest mismatch for {wrong}: expected {wrong}, got {}", sha256(&[1; 1024])),
        );
    }
    // An existing file is unchanged.
    sandbox.write("out.tar", "content");
    sandbox.refuses(
        "layout join -p amd64 -p arm64 -o out.tar",
        &format!("digest mismatch for {wrong}: expected {wrong}, got {}", sha256(&[1; 1024])),
    );
}

#[test]
fn standard_input_is_read_once_and_standard_output_is_no_layout() {
    let sandbox = Sandbox::new();
    for words in ["--path image --output -", "--path - --path - --output out"] {
        sandbox.misuses(&format!("layout join {words}"), "only one PATH can be -, and --output cannot be -");
    }
}
