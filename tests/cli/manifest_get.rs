//! `layout manifest get`

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const GET: &str = "layout manifest get --path image";

/// Creates an index named `v1` with images for several platforms, an attestation and a nested index.
fn multi_platform() -> (Sandbox, Value, Value, Value) {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let attestation = with(
        image(&sandbox, "unknown"),
        json!({
            "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.digest": amd64["digest"], "vnd.docker.reference.type": "attestation-manifest"},
        }),
    );
    let arm64_v8 = with(arm64.clone(), json!({"platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}}));
    let inner = document(&sandbox, &index(&[&arm64_v8]));
    let outer = document(&sandbox, &index(&[&attestation, &on(&amd64, "amd64"), &inner]));
    list(&sandbox, &[&named(&outer, "v1")]);
    (sandbox, outer, amd64, arm64)
}

#[test]
fn a_manifest_is_written_as_it_is_stored() {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, "amd64");
    // The order of the fields and the white space are preserved, and no newline is added.
    let content = format!("{{\n\t\"layers\": [ ],\"config\":{config},  \"x\":1.50,\"schemaVersion\":2}}");
    let image = blob(&sandbox, MANIFEST_TYPE, &content);
    list(&sandbox, &[&named(&image, "app:v1")]);
    let before = sandbox.tree();
    for words in [
        "-p image --ref app:v1".to_owned(),
        "-p image:app:v1".to_owned(),
        "-p image/app:v1".to_owned(),
        format!("-p image --ref {}", digest(&image)),
    ] {
        sandbox.run(&format!("layout manifest get {words}")).succeeds(&content, "");
        sandbox.run(&format!("layout manifest get {words} -o -")).succeeds(&content, "");
        sandbox.run(&format!("layout manifest get {words} -q")).succeeds(&content, "");
    }
    // With `--json` the document is a single value with an indentation of two spaces.
    let value: Value = serde_json::from_str(&content).expect("JSON");
    let outcome = sandbox.run(&format!("{GET} --ref app:v1 --json"));
    let expected = serde_json::to_string_pretty(&value).expect("JSON").replace("1.5", "1.50");
    outcome.succeeds(expected + "\n", "");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_manifest_is_written_to_a_file() {
    let (sandbox, image) = with_image("v1");
    let (digest, size) = (digest(&image), size(&image));
    sandbox
        .run(&format!("{GET} --ref v1 -o out.json"))
        .succeeds(format!("Wrote manifest:\n  digest: {digest}\n    size: {size}\n  output: out.json\n"), "");
    assert_eq!(sandbox.read("out.json"), sandbox.blob(digest));
    sandbox.write("out.json", "x".repeat(10_000));
    assert_eq!(
        sandbox.ok_json(&format!("{GET} --ref v1 --output out.json")),
        json!({"digest": digest, "size": size, "output": "out.json"})
    );
    assert_eq!(sandbox.read("out.json"), sandbox.blob(digest));
    let before = sandbox.tree();
    let outcome = sandbox.run(&format!("{GET} --ref v1 -o missing/out.json"));
    outcome.fails_with(1, predicates::str::starts_with("Error: failed to write to missing/out.json: "));
    sandbox.refuses(&format!("{GET} --ref v2 -o out.json"), &format!("image has no manifest 'v2' {SEE_TAGS}"));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_part_is_written_as_json() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let content = with(about(&sandbox, &subject, "a/sbom"), json!({"annotations": {"b": "2", "a": "\u{9b}"}}));
    let sbom = document(&sandbox, &content);
    let all = document(&sandbox, &with(index(&[]), json!({"annotations": {"k": "v"}})));
    let nulls =
        document(&sandbox, &with(content.clone(), json!({"annotations": null, "subject": null, "layers": null})));
    list(&sandbox, &[&named(&sbom, "sbom"), &named(&all, "all"), &named(&subject, "v1"), &named(&nulls, "nulls")]);
    for (part, reference) in [
        ("config", "sbom"),
        ("layers", "sbom"),
        ("subject", "sbom"),
        ("annotations", "sbom"),
        ("layers", "v1"),
        ("config", "nulls"),
    ] {
        let words = format!("{GET} --ref {reference} --part {part}");
        let manifest: Value = serde_json::from_str(&sandbox.ok(&format!("{GET} --ref {reference}"))).expect("JSON");
        let text = serde_json::to_string_pretty(&manifest[part]).expect("JSON").replace('\u{9b}', "\\u009b") + "\n";
        sandbox.run(&words).succeeds(&text, "");
        sandbox.run(&format!("{words} --json")).succeeds(&text, "");
        sandbox.ok(&format!("{words} -o out"));
        assert_eq!(sandbox.text("out"), text);
    }
    sandbox.run(&format!("{GET} --ref all --part annotations")).succeeds("{\n  \"k\": \"v\"\n}\n", "");
    for (reference, part) in [
        ("v1", "subject"),
        ("v1", "annotations"),
        ("all", "config"),
        ("all", "layers"),
        ("nulls", "layers"),
        ("nulls", "subject"),
        ("nulls", "annotations"),
    ] {
        sandbox.refuses(
            &format!("{GET} --ref {reference} --part {part}"),
            &format!("manifest '{reference}' has no {part}"),
        );
    }
    is_usage_error(&sandbox, &format!("{GET} --ref v1 --part manifests"));
    is_usage_error(&sandbox, &format!("{GET} --ref v1 --part"));
}

#[test]
fn through_an_index_the_manifest_of_a_platform_is_found() {
    let (sandbox, outer, amd64, arm64) = multi_platform();
    let get = |words: &str| sandbox.ok(&format!("{GET} {words}")).into_bytes();
    assert_eq!(get("--ref v1"), sandbox.blob(digest(&outer)));
    for (platform, image) in
        [("linux/amd64", &amd64), ("linux/arm64", &arm64), ("linux/arm64/v8", &arm64), ("linux/amd64/v1", &amd64)]
    {
        assert_eq!(get(&format!("--ref v1 --platform {platform}")), sandbox.blob(digest(image)), "{platform}");
        let by_digest = format!("--ref {} --platform {platform}", digest(&outer));
        assert_eq!(get(&by_digest), sandbox.blob(digest(image)), "{platform}");
        // The image selected by its own digest.
        let itself = format!("--ref {} --platform {platform}", digest(image));
        assert_eq!(get(&itself), sandbox.blob(digest(image)), "{platform}");
    }
    assert_eq!(
        sandbox.ok_json(&format!("{GET} --ref v1 --platform linux/arm64 --part config"))["digest"],
        config(&sandbox, "arm64")["digest"]
    );
    // Manifests that are no images are not suggested.
    for platform in ["linux/s390x", "windows/amd64", "linux/arm/v8"] {
        sandbox.refuses(
            &format!("{GET} --ref v1 --platform {platform}"),
            &format!("no {platform} image in 'v1'; it has linux/amd64, linux/arm64/v8 (MANIFEST_UNKNOWN)"),
        );
    }
    for bad in ["", "linux/", "/amd64", "a/b/c/d", "linux/ amd64"] {
        refuses_words(
            &sandbox,
            GET,
            &["--ref", "v1", "--platform", bad],
            &format!("'{bad}' is not a platform of the form OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT"),
        );
    }
    sandbox.run(&format!("{GET} --ref v1 --platform linux")).is(
        2,
        "",
        "Error: 'linux' is an operating system without an architecture; use linux/ARCHITECTURE, such as linux/amd64\n",
    );
}

#[test]
fn the_platform_of_an_image_is_that_of_its_config_where_nothing_else_says_it() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    // Without an index, and without a platform in its entry.
    list(&sandbox, &[&named(&amd64, "v1")]);
    assert_eq!(
        sandbox.ok(&format!("{GET} --ref v1 --platform linux/amd64")).into_bytes(),
        sandbox.blob(digest(&amd64))
    );
    sandbox.refuses(
        &format!("{GET} --ref v1 --platform linux/arm64"),
        "no linux/arm64 image in 'v1'; it has linux/amd64 (MANIFEST_UNKNOWN)",
    );
    // Some programs write several entries with one name instead of an index.
    list(&sandbox, &[&named(&amd64, "v1"), &named(&arm64, "v1")]);
    assert_eq!(
        sandbox.ok(&format!("{GET} --ref v1 --platform linux/arm64")).into_bytes(),
        sandbox.blob(digest(&arm64))
    );
    sandbox.refuses(
        &format!("{GET} --ref v1"),
        &format!(
            "image has 2 manifests 'v1': {} (linux/amd64), {} (linux/arm64) (MANIFEST_UNKNOWN); choose one as TAG@DIGEST or with --platform",
            digest(&amd64),
            digest(&arm64)
        ),
    );
    // An artifact has no platform.
    let sbom = document(&sandbox, &about(&sandbox, &amd64, "a/sbom"));
    list(&sandbox, &[&named(&sbom, "sbom")]);
    sandbox.refuses(
        &format!("{GET} --ref sbom --platform linux/amd64"),
        "no linux/amd64 image in 'sbom'; it has no known platform (MANIFEST_UNKNOWN)",
    );
}

#[test]
fn invalid_images_are_not_written() {
    let (sandbox, image) = with_image("v1");
    let content = sandbox.blob(digest(&image));
    let mut corrupt = content.clone();
    corrupt[0] = b'[';
    sandbox.write(&blob_name(digest(&image)), &corrupt);
    sandbox.refuses(
        &format!("{GET} --ref v1 -o out.json"),
        &format!("digest mismatch for {0}: expected {0}, got {1} (DIGEST_INVALID)", digest(&image), sha256(&corrupt)),
    );
    fs::remove_file(sandbox.path(blob_name(digest(&image)))).expect("removed");
    sandbox.refuses(
        &format!("{GET} --ref v1"),
        &format!("blob {} referenced by index.json does not exist (BLOB_UNKNOWN)", digest(&image)),
    );
    fs::create_dir(sandbox.path(blob_name(digest(&image)))).expect("made");
    let (image_digest, path) = (digest(&image), blob_name(digest(&image)));
    let message = format!("blob {image_digest} is not a regular file: {path} is a directory");
    sandbox.refuses(&format!("{GET} --ref v1"), &message);
    let large = blob(&sandbox, "a/b", &"x".repeat(8 * 1024 * 1024 + 1));
    list(&sandbox, &[&named(&large, "large")]);
    sandbox.refuses(
        &format!("{GET} --ref large"),
        &format!("document {} is larger than 8388608 bytes (SIZE_INVALID)", digest(&large)),
    );
}

#[test]
fn a_missing_or_corrupt_manifest_elsewhere_is_no_obstacle() {
    let (sandbox, _, amd64, arm64) = multi_platform();
    sandbox.edit("image/index.json", |index| {
        let missing = json!({"mediaType": INDEX_TYPE, "digest": sha256(b"missing"), "size": 7});
        let corrupt = blob(&sandbox, INDEX_TYPE, "{");
        let entries = index["manifests"].as_array_mut().expect("a list");
        entries.insert(0, missing);
        entries.insert(1, corrupt);
    });
    assert_eq!(sandbox.ok(&format!("{GET} --ref {}", digest(&arm64))).into_bytes(), sandbox.blob(digest(&arm64)));
    fs::remove_file(sandbox.path(blob_name(digest(&arm64)))).expect("removed");
    let words = format!("{GET} --ref v1 --platform linux/amd64");
    assert_eq!(sandbox.ok(&words).into_bytes(), sandbox.blob(digest(&amd64)));
}

#[test]
fn a_manifest_that_is_not_json_is_written_whole_and_has_no_parts() {
    let sandbox = Sandbox::new();
    let thing = blob(&sandbox, "application/x-thing", "\u{1}not JSON\n");
    list(&sandbox, &[&named(&thing, "thing")]);
    sandbox.run(&format!("{GET} --ref thing")).succeeds("\u{1}not JSON\n", "");
    let message = "the manifest is not JSON: expected a value at line 1, column 1";
    sandbox.refuses(&format!("{GET} --ref thing --part config"), message);
}

#[test]
fn a_corrupt_index_is_reported() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let inner = document(&sandbox, &index(&[&on(&arm64, "arm64")]));
    let outer = document(&sandbox, &index(&[&on(&amd64, "amd64"), &inner]));
    list(&sandbox, &[&named(&outer, "v1")]);
    let child = format!("{GET} --ref {}", digest(&arm64));
    assert_eq!(sandbox.ok(&child).into_bytes(), sandbox.blob(digest(&arm64)));
    let corrupt = vec![b' '; sandbox.blob(digest(&inner)).len()];
    sandbox.write(&blob_name(digest(&inner)), &corrupt);
    let (expected, actual) = (digest(&inner), sha256(&corrupt));
    let message = format!("digest mismatch for {expected}: expected {expected}, got {actual} (DIGEST_INVALID)");
    sandbox.refuses(&child, &message);
    sandbox.refuses(&format!("{GET} --ref v1 --platform linux/arm64"), &message);
    // A manifest that can be found without the corrupt index is not affected.
    for words in [format!("--ref {}", digest(&amd64)), "--ref v1 --platform linux/amd64".to_owned()] {
        assert_eq!(sandbox.ok(&format!("{GET} {words}")).into_bytes(), sandbox.blob(digest(&amd64)), "{words}");
    }
    // A missing index is ignored: programs that copy a single platform leave out the others.
    std::fs::remove_file(sandbox.path(blob_name(expected))).expect("deleted");
    sandbox.refuses(&child, &format!("image has no manifest '{}' {SEE_TAGS}", digest(&arm64)));
}
