//! `layout validate`

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn a_valid_layout_is_reported_and_json_counts_the_verified_blobs() {
    let sandbox = Sandbox::built();
    sandbox.run("layout validate --path image").succeeds("Layout at image is valid.\n", "");
    assert_eq!(
        sandbox.ok_json("layout validate --path image"),
        json!({
            "valid": true, "layout_path": "image", "errors": [], "warnings": [],
            "checked": {"blobs": 4, "bytes": BASE_SIZE + PATCHES_SIZE + CONFIG_SIZE + MANIFEST_SIZE}, "findings": [],
        })
    );
    assert_eq!(Sandbox::new().ok_json("layout validate --path image")["checked"], json!({"blobs": 0, "bytes": 0}));
}

/// Compares the findings under `--json` with those in text.
#[track_caller]
fn finds(sandbox: &Sandbox, errors: &[String]) {
    let before = sandbox.tree();
    let text: String = errors.iter().map(|error| format!("Error: {error}\n")).collect();
    sandbox.run("layout validate --path image").fails(text);
    let outcome = sandbox.run("layout validate --path image --json");
    let value = outcome.json();
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""));
    assert_eq!(
        (&value["valid"], &value["errors"], &value["layout_path"]),
        (&json!(false), &json!(errors), &json!("image"))
    );
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn every_finding_is_reported_not_only_the_first() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path(blob_name(BASE))).expect("removed");
    sandbox.write(&blob_name(CONFIG), "{}");
    sandbox.write(&blob_name(PATCHES), "short");
    let mismatch = |digest, content: &str| {
        format!("digest mismatch for {digest}: expected {digest}, got {}", sha256(content.as_bytes()))
    };
    finds(
        &sandbox,
        &[
            format!("size mismatch for {CONFIG}: expected {CONFIG_SIZE}, got 2"),
            mismatch(CONFIG, "{}"),
            format!("blob {BASE} referenced by {MANIFEST} does not exist"),
            format!("size mismatch for {PATCHES}: expected {PATCHES_SIZE}, got 5"),
            mismatch(PATCHES, "short"),
        ],
    );
}

#[test]
fn the_marker_is_checked() {
    let sandbox = Sandbox::built();
    for (content, reason) in [
        ("{}", "it has no imageLayoutVersion"),
        (r#"["1.0.0"]"#, "it is not a JSON object"),
        (r#"{"imageLayoutVersion":1}"#, "imageLayoutVersion is not a string"),
        (r#"{"imageLayoutVersion":"1.0.0","x":"\ud800"}"#, "unexpected end of hex escape at line 1, column 42"),
        ("", "EOF while parsing a value at line 1, column 0"),
    ] {
        sandbox.write("image/oci-layout", content);
        finds(&sandbox, &[format!("oci-layout at image is malformed: {reason}")]);
    }
    sandbox.write("image/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    finds(&sandbox, &["Invalid imageLayoutVersion in oci-layout: '2.0.0', expected '1.0.0'".to_owned()]);
    fs::remove_file(sandbox.path("image/oci-layout")).expect("removed");
    finds(&sandbox, &["image is not an OCI Image Layout (missing oci-layout file)".to_owned()]);
}

/// Creates a layout with a single entry, written by hand.
fn listing(entry: Value) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([entry]));
    sandbox
}

/// Returns a descriptor of content without storing it.
fn described(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(content), "size": content.len()})
}

/// Stores content and returns its descriptor.
fn stored(sandbox: &Sandbox, media_type: &str, content: impl AsRef<[u8]>) -> Value {
    sandbox.store(content.as_ref());
    described(media_type, content.as_ref())
}

fn set_entries(sandbox: &Sandbox, entries: &[Value]) {
    sandbox.edit("image/index.json", |index| index["manifests"] = json!(entries));
}

/// Stores an image with a config and layers; returns the digest of its manifest.
fn list_image(sandbox: &Sandbox, config: &Value, layers: &[Value]) -> String {
    let config = stored(sandbox, CONFIG_TYPE, config.to_string());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
    set_entries(sandbox, &[stored(sandbox, MANIFEST_TYPE, &manifest)]);
    sha256(manifest.as_bytes())
}

fn image_config(diff_ids: &[&str]) -> Value {
    json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
}

/// Compares the warnings of a layout without errors, in JSON and in text.
#[track_caller]
fn warns(sandbox: &Sandbox, flags: &str, warnings: &[String]) {
    let words = format!("layout validate --path image {flags}");
    assert_eq!(sandbox.ok_json(&words)["warnings"], json!(warnings));
    let text: String = warnings.iter().map(|warning| format!("Warning: {warning}\n")).collect();
    sandbox.run(&words).succeeds("Layout at image is valid.\n", text);
}

/// Compares only the errors.
#[track_caller]
fn errors(sandbox: &Sandbox, flags: &str, errors: &[String]) {
    let outcome = sandbox.run(&format!("layout validate --path image --json {flags}"));
    assert_eq!(outcome.json()["errors"], json!(errors));
    assert_eq!(outcome.status, i32::from(!errors.is_empty()));
}

#[test]
fn every_fault_of_a_descriptor_is_reported_with_its_location() {
    let sandbox = Sandbox::built();
    let good = sandbox.index()["manifests"][0].clone();
    let digest = good["digest"].as_str().expect("a digest");
    let size = &good["size"];
    let cases = [
        (json!({"size": -1}), vec!["size is -1, not a number of bytes".to_owned()]),
        (json!({"size": "7"}), vec!["size is '7', not a number of bytes".to_owned()]),
        (json!({"size": 1.5}), vec!["size is 1.5, not a number of bytes".to_owned()]),
        (json!({"size": u64::MAX}), vec![format!("size is {}, not a number of bytes", u64::MAX)]),
        (json!({"mediaType": "a"}), vec!["mediaType is 'a', not a media type of the form type/subtype".to_owned()]),
        (json!({"mediaType": 1}), vec!["mediaType is 1, not a string".to_owned()]),
        (
            json!({"urls": ["x", "https://a b"]}),
            vec!["urls[0] is 'x', not a URL".to_owned(), "urls[1] is 'https://a b', not a URL".to_owned()],
        ),
        (json!({"urls": null}), vec!["urls is null, not an array".to_owned()]),
        (json!({"data": "e30"}), vec!["data is not base64".to_owned()]),
        (
            json!({"data": "e30="}),
            vec![format!("data is not the content of {digest}: its digest is {}", sha256(b"{}"))],
        ),
        (
            json!({"artifactType": "?/?"}),
            vec!["artifactType is '?/?', not a media type of the form type/subtype".to_owned()],
        ),
        (
            json!({"annotations": {"a": 1, "b": "", "c\u{1b}": null}}),
            vec![
                "annotations['a'] is 1, not a string".to_owned(),
                "annotations['c\\u{1b}'] is null, not a string".to_owned(),
            ],
        ),
        (json!({"annotations": []}), vec!["annotations is an array, not an object".to_owned()]),
        (
            json!({"platform": {"os": "linux", "os.features": [1], "variant": 8}}),
            vec![
                "platform.architecture is missing".to_owned(),
                "platform.variant is 8, not a string".to_owned(),
                "platform.os.features[0] is 1, not a string".to_owned(),
            ],
        ),
        (json!({"platform": "linux"}), vec!["platform is 'linux', not an object".to_owned()]),
        (
            json!({"MediaType": "a/b", "\u{17f}ize": 1}),
            vec![
                "key 'MediaType' is in the wrong case: 'mediaType'".to_owned(),
                "key '\u{17f}ize' is in the wrong case: 'size'".to_owned(),
            ],
        ),
    ];
    for (change, faults) in cases {
        let mut entry = json!({"mediaType": MANIFEST_TYPE, "digest": digest, "size": size});
        entry.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        set_entries(&sandbox, &[good.clone(), json!([]), entry, json!({})]);
        let mut expected = vec!["manifests[1] in index.json: it is an array, not an object".to_owned()];
        expected.extend(faults.iter().map(|fault| format!("manifests[2] in index.json: {fault}")));
        expected
            .extend(["mediaType", "digest", "size"].map(|key| format!("manifests[3] in index.json: {key} is missing")));
        finds(&sandbox, &expected);
    }
}

#[test]
fn invalid_digests_are_not_followed() {
    let hash = "0".repeat(64);
    for (digest, reason) in [
        ("sha256:../../x".to_owned(), "its hash has the wrong length"),
        (format!("/sha256:{hash}"), "its algorithm is not of the form that the image-spec allows"),
        (format!("sha256:{}", "A".repeat(64)), "its hash is not lower-case hexadecimal"),
        (format!("sha256:{}", "0".repeat(63)), "its hash has the wrong length"),
        (String::new(), "it has no colon"),
        (format!("sha256:{hash}\n"), "its hash has the wrong length"),
        (format!("blake3:{hash}0"), "its hash has the wrong length"),
        ("other:../x".to_owned(), "its hash has a character that the image-spec does not allow"),
    ] {
        let sandbox = listing(json!({"mediaType": "a/b", "digest": digest, "size": 1}));
        let shown = digest.escape_debug();
        finds(&sandbox, &[format!("manifests[0] in index.json: digest '{shown}' is not a digest: {reason}")]);
    }
}

#[test]
fn every_registered_algorithm_is_verified_and_another_is_a_warning() {
    let right = [
        (
            "sha512",
            concat!(
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a",
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
            ),
        ),
        ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ];
    for (algorithm, hash) in right {
        let digest = format!("{algorithm}:{hash}");
        let sandbox = listing(json!({"mediaType": "a/b", "digest": digest, "size": 3}));
        fs::create_dir(sandbox.path(format!("image/blobs/{algorithm}"))).expect("created");
        sandbox.write(&blob_name(&digest), "abc");
        sandbox.is_valid();
        sandbox.write(&blob_name(&digest), "abd");
        let value = sandbox.run("layout validate --path image --json").json();
        let error = value["errors"][0].as_str().expect("a text");
        assert!(
            error.starts_with(&format!("digest mismatch for {digest}: expected {digest}, got {algorithm}:")),
            "{error}"
        );
    }
    let sandbox = listing(json!({"mediaType": "a/b", "digest": "md5+b64:QUJD", "size": 3}));
    fs::create_dir(sandbox.path("image/blobs/md5+b64")).expect("created");
    sandbox.write("image/blobs/md5+b64/QUJD", "abc");
    warns(&sandbox, "", &["digest md5+b64:QUJD cannot be verified: its algorithm is not supported".to_owned()]);
}

#[test]
fn an_index_that_cannot_be_used_is_one_finding_with_its_reason() {
    let deep = "[".repeat(100_000);
    for (content, reason) in [
        (&b""[..], "EOF while parsing a value at line 1, column 0"),
        (b"[]", "it is an array, not an object"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b"\xff\xfe{\0}\0", "it is not UTF-8 (UTF-16 or UTF-32)"),
        (b"{\"schemaVersion\":2,\"manifests\":[]} x", "trailing characters at line 1, column 36"),
        (b"{\"schemaVersion\":NaN,\"manifests\":[]}", "expected a value at line 1, column 18"),
        (
            b"{\"schemaVersion\":2,\"manifests\":[],\"a\":\"\\ud800\"}",
            "unexpected end of hex escape at line 1, column 46",
        ),
        (deep.as_bytes(), "its values are nested too deeply at line 1, column 128"),
        (b"{\"schemaVersion\":2}", "manifests is missing"),
        (b"{\"schemaVersion\":1,\"manifests\":[]}", "schemaVersion is 1, not 2"),
        (b"{\"schemaVersion\":1e999,\"manifests\":[]}", "schemaVersion is 1e+999, not 2"),
        (b"{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[]}", "key 'manifests' occurs more than once"),
        (b"{\"schemaVersion\":2,\"Manifests\":[]}", "key 'Manifests' is in the wrong case: 'manifests'"),
        (b"{\"schemaVersion\":2,\"manifests\":[],\"x\":[{\"a\":1,\"a\":2}]}", "key 'x[0].a' occurs more than once"),
        (
            b"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}",
            "it has both layers and manifests: it is a manifest to some readers and an index to others",
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("image/index.json", content);
        let words = "index.json at image is not a valid OCI Image Index";
        sandbox.run("layout validate --path image").fails(format!("Error: {words}\n  caused by: {reason}\n"));
        errors(&sandbox, "", &[format!("{words}: {reason}")]);
    }
    let sandbox = Sandbox::new();
    // umoci writes null for an empty list.
    sandbox.write("image/index.json", r#"{"schemaVersion":2,"manifests":null}"#);
    warns(&sandbox, "", &["index.json: manifests is null, not an array".to_owned()]);
    // Unknown fields are allowed, as is an index without a media type.
    sandbox.write("image/index.json", r#"{"schemaVersion":2,"manifests":[],"x":1e999}"#);
    sandbox.is_valid();
    sandbox.write("image/oci-layout", r#"{"imageLayoutVersion":"1.0.0","more":[]}"#);
    sandbox.is_valid();
}

#[test]
fn a_document_that_contradicts_its_media_type_is_an_error() {
    let sandbox = Sandbox::new();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    for (media_type, content, faults) in [
        (MANIFEST_TYPE, "[]", vec!["image manifest: it is an array, not an object"]),
        (INDEX_TYPE, "x", vec!["image index: expected a value at line 1, column 1"]),
        (MANIFEST_TYPE, index, vec!["image manifest: config is missing", "image manifest: layers is missing"]),
        (
            MANIFEST_TYPE,
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            vec!["image manifest: it is a Docker schema 1 manifest, which is not supported"],
        ),
        (
            INDEX_TYPE,
            r#"{"schemaVersion":2,"manifests":{},"annotations":{"a":1,"a":2}}"#,
            vec![
                "image index: manifests is an object, not an array",
                "image index: annotations['a'] occurs more than once",
                "image index: annotations['a'] is 1, not a string",
                "image index: annotations['a'] is 2, not a string",
            ],
        ),
    ] {
        set_entries(&sandbox, &[stored(&sandbox, media_type, content)]);
        let digest = sha256(content.as_bytes());
        let expected: Vec<_> = faults.iter().map(|fault| format!("{digest} is not a valid {fault}")).collect();
        errors(&sandbox, "", &expected);
    }
}

#[test]
fn documents_of_two_kinds_at_once_are_errors() {
    let sandbox = Sandbox::built();
    let mut both = sandbox.blob_json(MANIFEST);
    both["manifests"] = json!([]);
    let entry = stored(&sandbox, MANIFEST_TYPE, both.to_string());
    let digest = entry["digest"].as_str().expect("a digest").to_owned();
    set_entries(&sandbox, &[entry]);
    let says = "it has both layers and manifests: it is a manifest to some readers and an index to others";
    finds(&sandbox, &[format!("{digest} is not a valid image manifest: {says}")]);

    // Docker's equivalent media type is a warning, not an error.
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let sandbox = Sandbox::built();
    let entry = |media_type: &str| json!({"mediaType": media_type, "digest": MANIFEST, "size": MANIFEST_SIZE});
    set_entries(&sandbox, &[entry(INDEX_TYPE)]);
    let location = "manifests[0] in index.json";
    finds(&sandbox, &[format!("{location}: mediaType is {INDEX_TYPE}, but the document says {MANIFEST_TYPE}")]);
    set_entries(&sandbox, &[entry(docker)]);
    warns(&sandbox, "", &[format!("{location}: mediaType is {docker}, but the document says {MANIFEST_TYPE}")]);
}

#[test]
fn an_entry_of_an_unknown_type_is_followed_if_it_is_a_document() {
    let sandbox = Sandbox::built();
    let content =
        json!({"schemaVersion": 2, "config": described("a/b", b"gone"), "layers": [described("a/b", b"gone too")]});
    let content = content.to_string();
    let digest = sha256(content.as_bytes());
    set_entries(&sandbox, &[stored(&sandbox, "application/x-thing", &content)]);
    errors(
        &sandbox,
        "",
        &[
            format!("blob {} referenced by {digest} does not exist", sha256(b"gone")),
            format!("blob {} referenced by {digest} does not exist", sha256(b"gone too")),
        ],
    );
    // Other content is only checked against its digest and size.
    let sandbox = Sandbox::new();
    set_entries(&sandbox, &[stored(&sandbox, "application/x-thing", "[")]);
    sandbox.is_valid();
    let mut entry = described("application/x-thing", b"[");
    entry["size"] = json!(3);
    set_entries(&sandbox, &[entry]);
    finds(&sandbox, &[format!("size mismatch for {}: expected 3, got 1", sha256(b"["))]);
}

#[test]
fn a_document_beyond_the_bound_is_refused_with_the_bound() {
    let sandbox = Sandbox::new();
    let size = 200 * 1024 * 1024;
    let digest = format!("sha256:{}", "0".repeat(64));
    let blob = fs::File::create(sandbox.path(blob_name(&digest))).expect("created");
    blob.set_len(size).expect("a sparse file");
    set_entries(&sandbox, &[json!({"mediaType": MANIFEST_TYPE, "digest": digest, "size": size})]);
    finds(&sandbox, &[format!("document {digest} is larger than 8388608 bytes")]);
}

#[test]
fn a_config_is_compared_with_its_layers_and_the_schema() {
    let sandbox = Sandbox::new();
    let layer = stored(&sandbox, TAR_TYPE, base_tar());
    let manifest = list_image(&sandbox, &image_config(&[]), std::slice::from_ref(&layer));
    errors(
        &sandbox,
        "",
        &[format!("config in manifest {manifest}: rootfs.diff_ids has 0 entries, but the manifest has 1 layer")],
    );
    let config = json!({
        "created": "yesterday", "os": 1, "Architecture": "amd64", "history": [{"empty_layer": "no"}, 7],
        "config": {"Env": ["A=", "B"], "Cmd": null, "Volumes": ["/x"], "Labels": {"a": 1}},
        "rootfs": {"type": "stack", "diff_ids": ["x"]},
    });
    list_image(&sandbox, &config, &[layer]);
    let digest = sha256(config.to_string().as_bytes());
    let faults = [
        "key 'Architecture' is in the wrong case: 'architecture'",
        "os is 1, not a string",
        "created is 'yesterday', not a time (RFC 3339)",
        "config.Env[1] is 'B', not of the form NAME=VALUE",
        "config.Volumes is an array, not an object",
        "config.Labels['a'] is 1, not a string",
        "rootfs.type is 'stack', not 'layers'",
        "rootfs.diff_ids[0] is 'x', not a digest",
        "history[0].empty_layer is 'no', not true or false",
        "history[1] is 7, not an object",
    ];
    errors(&sandbox, "", &faults.map(|fault| format!("{digest} is not a valid image config: {fault}")));
}

#[test]
fn artifacts_are_valid() {
    let sandbox = Sandbox::new();
    let empty = stored(&sandbox, "application/vnd.oci.empty.v1+json", "{}");
    let chart = stored(&sandbox, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "no gzip");
    let text = stored(&sandbox, GZIP_TYPE, "no gzip either");
    let subject = described(MANIFEST_TYPE, b"elsewhere");
    let manifest = |config: &Value, layer: &Value| json!({"schemaVersion": 2, "artifactType": "application/x", "config": config, "layers": [layer], "subject": subject});
    let docker = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let image_type = stored(&sandbox, CONFIG_TYPE, "{}");
    set_entries(
        &sandbox,
        &[
            stored(&sandbox, MANIFEST_TYPE, manifest(&empty, &chart).to_string()),
            stored(&sandbox, MANIFEST_TYPE, manifest(&chart, &text).to_string()),
            stored(&sandbox, MANIFEST_TYPE, manifest(&image_type, &chart).to_string()),
            stored(&sandbox, docker, r#"{"schemaVersion":1}"#),
        ],
    );
    let schema_1 = sha256(br#"{"schemaVersion":1}"#);
    warns(
        &sandbox,
        "--deep",
        &[format!("manifests[3] in index.json: {schema_1} is a Docker schema 1 manifest, which is not supported")],
    );
}

#[test]
fn nested_indexes_are_followed_and_cycles_end() {
    let sandbox = Sandbox::built();
    let missing = format!("sha256:{}", "0".repeat(64));
    let entry = |digest: &str, size: usize| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": size});
    let mut content = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE},
        {"mediaType": MANIFEST_TYPE, "digest": missing, "size": 1}]})
    .to_string();
    let mut digest = sandbox.store(&content);
    let innermost = digest.clone();
    for _ in 0..200 {
        content =
            json!({"schemaVersion": 2, "manifests": [entry(&digest, content.len()), entry(&digest, content.len())]})
                .to_string();
        digest = sandbox.store(&content);
    }
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([entry(&digest, content.len())]));
    finds(&sandbox, &[format!("blob {missing} referenced by {innermost} does not exist")]);
}

#[test]
fn content_that_may_be_elsewhere_is_a_warning_if_it_is_missing() {
    let sandbox = Sandbox::new();
    let digest = sha256(b"elsewhere");
    let entry = json!({"mediaType": "a/b", "digest": digest, "size": 9, "urls": ["https://example.com/x"]});
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([entry]));
    let message = format!("blob {digest} referenced by index.json does not exist");
    sandbox
        .run("layout validate --path image")
        .succeeds("Layout at image is valid.\n", format!("Warning: {message}\n"));
    let value = sandbox.ok_json("layout validate --path image");
    assert_eq!((&value["valid"], &value["warnings"]), (&json!(true), &json!([message])));
}

#[test]
fn unreferenced_blobs_are_counted() {
    let sandbox = Sandbox::built();
    sandbox.store("an orphan");
    warns(&sandbox, "", &["1 blob (9 bytes) is not referenced".to_owned()]);
    sandbox.store("another");
    sandbox.write("image/blobs/notes.txt", "");
    sandbox.write("image/blobs/sha256/x\u{1b}", "");
    fs::create_dir(sandbox.path(format!("image/blobs/sha256/{}", "0".repeat(64)))).expect("created");
    warns(
        &sandbox,
        "",
        &[
            "2 blobs (16 bytes) are not referenced".to_owned(),
            "blobs/notes.txt is no blob".to_owned(),
            format!("blobs/sha256/{} is no blob", "0".repeat(64)),
            "blobs/sha256/x\\u{1b} is no blob".to_owned(),
        ],
    );
    // Staged blobs count as referenced.
    Sandbox::staged().is_valid();
}

#[test]
fn suspicious_ref_names_attestations_and_platforms_are_warnings() {
    let sandbox = Sandbox::built();
    let entry = |name: &str, platform: Value| {
        json!({"mediaType": MANIFEST_TYPE, "digest": MANIFEST, "size": MANIFEST_SIZE, "platform": platform,
            "annotations": {"org.opencontainers.image.ref.name": name}})
    };
    let amd64 = json!({"os": "linux", "architecture": "amd64"});
    let mut attestation = entry("c", json!({"os": "unknown", "architecture": "unknown"}));
    attestation["annotations"]["vnd.docker.reference.type"] = json!("attestation-manifest");
    set_entries(&sandbox, &[entry("a", amd64.clone()), entry("b b", amd64.clone()), entry("a", amd64), attestation]);
    warns(&sandbox, "", &[
        "manifests[1] in index.json: 'b b' is not a reference name: letters and digits, joined by one of - . _ : @ + / or by --".to_owned(),
        "manifests[2] in index.json: ref name 'a' is that of manifests[0] too".to_owned(),
        format!("manifests[3] in index.json: {MANIFEST} is an attestation, not an image"),
        "manifests[3] in index.json: platform is unknown/unknown, but the image's config says linux/amd64".to_owned(),
    ]);
}

#[test]
fn embedded_content_stands_in_for_a_blob() {
    let sandbox = Sandbox::new();
    let mut config = described("application/vnd.oci.empty.v1+json", b"{}");
    config["data"] = json!("e30=");
    let manifest = json!({"schemaVersion": 2, "artifactType": "a/b", "config": config, "layers": [config]}).to_string();
    set_entries(&sandbox, &[stored(&sandbox, MANIFEST_TYPE, &manifest)]);
    let (empty, manifest) = (sha256(b"{}"), sha256(manifest.as_bytes()));
    warns(&sandbox, "", &[format!("blob {empty} referenced by {manifest} does not exist")]);
    sandbox.store("{}");
    sandbox.is_valid();
}

#[test]
fn a_deep_validation_finds_faults_inside_layers() {
    let (tar, diff_id) = (base_tar(), BASE_DIFF_ID);
    let gzipped = gzip(&tar);
    let garbage = [gzipped.as_slice(), b"garbage, more than a header"].concat();
    let broken_tar = {
        let mut tar = tar.clone();
        tar[0] ^= 1;
        tar
    };
    let broken_id = sha256(&broken_tar);
    let other = sha256(b"other");
    let mismatch = format!("diff_id mismatch: the config says {other}, the content has {diff_id}");
    let cases: Vec<(&str, Vec<u8>, &str, Vec<String>)> = vec![
        (GZIP_TYPE, gzipped.clone(), diff_id, vec![]),
        (ZSTD_TYPE, zstd(&tar), diff_id, vec![]),
        (TAR_TYPE, tar.clone(), diff_id, vec![]),
        (GZIP_TYPE, gzipped.clone(), &other, vec![mismatch]),
        (ZSTD_TYPE, gzipped.clone(), diff_id, vec![format!("mediaType is {ZSTD_TYPE}, but the blob is gzip")]),
        (GZIP_TYPE, zstd(&tar), diff_id, vec![format!("mediaType is {GZIP_TYPE}, but the blob is zstd")]),
        (GZIP_TYPE, tar.clone(), diff_id, vec![format!("mediaType is {GZIP_TYPE}, but the blob is uncompressed")]),
        (TAR_TYPE, gzipped.clone(), diff_id, vec![format!("mediaType is {TAR_TYPE}, but the blob is gzip")]),
        (GZIP_TYPE, garbage, diff_id, vec!["27 bytes follow the gzip stream; readers refuse that".to_owned()]),
        (
            GZIP_TYPE,
            gzipped[..gzipped.len() - 9].to_vec(),
            diff_id,
            vec!["the blob is not a sound gzip stream: incomplete deflate stream".to_owned()],
        ),
        (
            TAR_TYPE,
            broken_tar,
            &broken_id,
            vec!["the content is not a well-formed tar: the checksum of its first header is wrong".to_owned()],
        ),
    ];
    for (media_type, layer, diff_id, faults) in cases {
        let sandbox = Sandbox::new();
        let layer = stored(&sandbox, media_type, layer);
        let manifest = list_image(&sandbox, &image_config(&[diff_id]), &[layer]);
        errors(&sandbox, "", &[]);
        let expected: Vec<_> = faults.iter().map(|fault| format!("layer[0] in manifest {manifest}: {fault}")).collect();
        errors(&sandbox, "--deep", &expected);
    }
}

#[test]
fn a_layer_that_decompresses_without_end_is_stopped() {
    let zeros = vec![0; 1 << 20];
    for (media_type, layer) in [(GZIP_TYPE, gzip(&zeros)), (ZSTD_TYPE, zstd(&zeros))] {
        let sandbox = Sandbox::new();
        let layer = stored(&sandbox, media_type, layer);
        let manifest = list_image(&sandbox, &image_config(&[&sha256(&zeros)]), &[layer]);
        errors(&sandbox, "--deep", &[]);
        errors(&sandbox, "--deep --max-layer-size 1048576", &[]);
        let says = "the blob decompresses to more than 1048575 bytes";
        errors(&sandbox, "--deep --max-layer-size 1048575", &[format!("layer[0] in manifest {manifest}: {says}")]);
    }
    // A frame of 1 GiB, with a window of the same size in its header.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
    let sandbox = Sandbox::new();
    let layer = stored(&sandbox, ZSTD_TYPE, frame);
    let manifest = list_image(&sandbox, &image_config(&[&sha256(b"")]), &[layer]);
    let says = "the blob is not a sound zstd stream: Frame requires too much memory for decoding";
    errors(&sandbox, "--deep", &[format!("layer[0] in manifest {manifest}: {says}")]);
    // The limits require `--deep`.
    assert_eq!(sandbox.run("layout validate --path image --max-ratio 3").status, 2);
}

#[test]
fn deeply_nested_and_cyclic_indexes_can_be_validated() {
    let sandbox = Sandbox::new();
    let itself = format!("sha256:{}", "0".repeat(64));
    let content = json!({"schemaVersion": 2, "manifests": [{"mediaType": INDEX_TYPE, "digest": itself, "size": 170}]});
    sandbox.write(&blob_name(&itself), content.to_string());
    let actual = sha256(content.to_string().as_bytes());
    let size = content.to_string().len();
    set_entries(&sandbox, &[json!({"mediaType": INDEX_TYPE, "digest": itself, "size": size})]);
    finds(&sandbox, &[format!("digest mismatch for {itself}: expected {itself}, got {actual}")]);

    let sandbox = Sandbox::new();
    let mut entry = described("a/b", b"innermost");
    for _ in 0..10_000 {
        entry = stored(&sandbox, INDEX_TYPE, json!({"schemaVersion": 2, "manifests": [entry]}).to_string());
    }
    set_entries(&sandbox, &[entry]);
    let outcome = sandbox.run("layout validate --path image --json").json();
    let error = outcome["errors"][0].as_str().expect("a text").to_owned();
    assert!(error.starts_with(&format!("blob {} referenced by sha256:", sha256(b"innermost"))), "{error}");
    assert_eq!(outcome["checked"]["blobs"], json!(10_000));
}

#[test]
fn documents_of_go_programs_are_read_by_every_command_and_judged_by_validate() {
    let sandbox = Sandbox::built();
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["platform"] = json!({"os": "linux"});
    });
    for command in ["show", "status"] {
        sandbox.ok(&format!("layout {command} --path image"));
    }
    finds(&sandbox, &["manifests[0] in index.json: platform.architecture is missing".to_owned()]);
    sandbox.ok("layout annotate manifest --path image --annotation a=b");
    assert_eq!(sandbox.index()["manifests"][0]["platform"], json!({"os": "linux"}));
}

#[cfg(unix)]
#[test]
fn a_blob_must_be_a_regular_file() {
    let sandbox = Sandbox::built();
    fs::rename(sandbox.path(blob_name(BASE)), sandbox.path("elsewhere")).expect("renamed");
    std::os::unix::fs::symlink(sandbox.path("elsewhere"), sandbox.path(blob_name(BASE))).expect("linked");
    let link = blob_name(BASE);
    finds(&sandbox, &[format!("blob {BASE} is a link out of the layout: {link}")]);
    fs::remove_file(sandbox.path(blob_name(BASE))).expect("removed");
    fs::create_dir(sandbox.path(blob_name(BASE))).expect("created");
    finds(&sandbox, &[format!("blob {BASE} is not a regular file: {link} is a directory")]);
    fs::remove_dir(sandbox.path(blob_name(BASE))).expect("removed");
    make_fifo(sandbox.path(blob_name(BASE)));
    finds(&sandbox, &[format!("blob {BASE} is not a regular file: {link} is a named pipe")]);
}

#[test]
fn json_has_one_value_for_any_layout() {
    let keys = |value: Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for sandbox in [Sandbox::empty(), Sandbox::new(), Sandbox::built()] {
        let value = sandbox.run("layout validate --path image --json").json();
        assert_eq!(keys(value), ["checked", "errors", "findings", "layout_path", "valid", "warnings"]);
    }
}

#[test]
fn json_has_the_location_of_every_finding_and_each_message_once() {
    let sandbox = Sandbox::built();
    sandbox.edit("image/index.json", |index| {
        let mut entry = index["manifests"][0].clone();
        entry["size"] = json!(5);
        entry.as_object_mut().expect("an entry").remove("annotations");
        index["manifests"] = json!([entry, entry]);
    });
    let outcome = sandbox.run("layout validate --path image --json");
    let value = outcome.json();
    let message = format!(
        "size mismatch for {}: expected 5, got {MANIFEST_SIZE}",
        sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest")
    );
    assert_eq!((outcome.status, value["errors"].clone()), (1, json!([message])));
    let placed = |at: u32| json!({"severity": "error", "location": format!("manifests[{at}] in index.json"), "message": message});
    assert_eq!(value["findings"], json!([placed(0), placed(1)]));
}

#[test]
fn a_layout_without_a_blobs_directory_causes_a_warning() {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.path("image/blobs")).expect("removed");
    sandbox
        .run("layout validate --path image")
        .succeeds("Layout at image is valid.\n", "Warning: the directory blobs does not exist\n");
}

#[test]
fn an_index_of_another_media_type_is_an_error() {
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    for media_type in [MANIFEST_TYPE, CONFIG_TYPE, docker, "application/x-foo", "text/html"] {
        let sandbox = Sandbox::built();
        sandbox.edit("image/index.json", |index| index["mediaType"] = json!(media_type));
        let words = "index.json at image is not a valid OCI Image Index";
        let reason = format!("mediaType is {media_type}, not {INDEX_TYPE}");
        sandbox.run("layout validate --path image").fails(format!("Error: {words}\n  caused by: {reason}\n"));
        errors(&sandbox, "", &[format!("{words}: {reason}")]);
    }
}

#[test]
fn breaking_a_should_of_the_image_spec_is_a_warning_with_its_place() {
    type Change = fn(&mut Value);
    let config: [(Change, &str); 15] = [
        (|config| config["os"] = json!(""), "os is empty"),
        (|config| config["architecture"] = json!(""), "architecture is empty"),
        (
            |config| config["created"] = json!("2024-01-01 00:00:00Z"),
            "created is '2024-01-01 00:00:00Z', which programs in Go do not read",
        ),
        (
            |config| config["created"] = json!("2024-01-01t00:00:00z"),
            "created is '2024-01-01t00:00:00z', which programs in Go do not read",
        ),
        (
            |config| config["created"] = json!("2016-12-31T23:59:60Z"),
            "created is '2016-12-31T23:59:60Z', which programs in Go do not read",
        ),
        (
            |config| config["history"] = json!([{"created": "2024-01-01 00:00:00+01:00"}]),
            "history[0].created is '2024-01-01 00:00:00+01:00', which programs in Go do not read",
        ),
        (|config| config["config"] = json!({"User": null}), "config.User is null, not a string"),
        (|config| config["config"] = json!({"Env": null}), "config.Env is null, not an array"),
        (|config| config["config"] = json!({"ExposedPorts": null}), "config.ExposedPorts is null, not an object"),
        (|config| config["config"] = json!({"WorkingDir": null}), "config.WorkingDir is null, not a string"),
        (|config| config["config"] = json!({"StopSignal": null}), "config.StopSignal is null, not a string"),
        (|config| config["config"] = json!({"ArgsEscaped": null}), "config.ArgsEscaped is null, not true or false"),
        // Values that the schema allows.
        (|config| config["config"] = json!({"Cmd": null, "Entrypoint": null, "Volumes": null, "Labels": null}), ""),
        (|config| config["created"] = json!("2024-01-01T00:00:00.123+02:00"), ""),
        (|config| config["history"] = json!([{"empty_layer": true}, {"empty_layer": false}]), ""),
    ];
    for (change, says) in config {
        let sandbox = Sandbox::new();
        let layer = stored(&sandbox, TAR_TYPE, base_tar());
        let mut config = image_config(&[BASE_DIFF_ID]);
        change(&mut config);
        list_image(&sandbox, &config, &[layer]);
        let digest = sha256(config.to_string().as_bytes());
        let expected = if says.is_empty() { vec![] } else { vec![format!("config {digest}: {says}")] };
        warns(&sandbox, "--deep", &expected);
    }
    let history: [(Value, Option<usize>); 6] = [
        (json!([{}, {}]), Some(2)),
        (json!([{"empty_layer": true}]), Some(0)),
        (json!([{}, {"empty_layer": true}]), None),
        (json!([{"empty_layer": false}]), None),
        (json!([]), None),
        (json!([{"created_by": "a"}, {"created_by": "b"}, {"created_by": "c"}]), Some(3)),
    ];
    for (history, told) in history {
        let sandbox = Sandbox::new();
        let layer = stored(&sandbox, TAR_TYPE, base_tar());
        let mut config = image_config(&[BASE_DIFF_ID]);
        config["history"] = history;
        let manifest = list_image(&sandbox, &config, &[layer]);
        let says =
            |told| format!("config in manifest {manifest}: history tells of {told} layers, but the manifest has 1");
        warns(&sandbox, "", &told.map(says).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn an_image_without_layers_is_valid() {
    let sandbox = Sandbox::new();
    let manifest = list_image(&sandbox, &image_config(&[]), &[]);
    warns(&sandbox, "--deep", &[format!("manifest {manifest}: layers is empty")]);
}

#[test]
fn an_empty_platform_causes_warnings() {
    let sandbox = Sandbox::built();
    sandbox.edit("image/index.json", |index| index["manifests"][0]["platform"] = json!({"os": "", "architecture": ""}));
    let place = "manifests[0] in index.json";
    let value = sandbox.ok_json("layout validate --path image");
    assert_eq!(value["warnings"][0], json!(format!("{place}: platform.architecture is empty")));
    assert_eq!(value["warnings"][1], json!(format!("{place}: platform.os is empty")));
}

#[test]
fn docker_types_cause_a_warning_in_an_oci_manifest_only() {
    let sandbox = Sandbox::new();
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let docker_config = "application/vnd.docker.container.image.v1+json";
    let docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
    let config = stored(&sandbox, docker_config, image_config(&[BASE_DIFF_ID]).to_string());
    let layer = stored(&sandbox, docker, gzip(&base_tar()));
    let oci = json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string();
    set_entries(&sandbox, &[stored(&sandbox, MANIFEST_TYPE, &oci)]);
    let digest = sha256(oci.as_bytes());
    warns(
        &sandbox,
        "--deep",
        &[
            format!("config in manifest {digest}: mediaType is {docker_config}, Docker's, in an OCI manifest"),
            format!("layer[0] in manifest {digest}: mediaType is {docker}, Docker's, in an OCI manifest"),
        ],
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": docker_manifest, "config": config, "layers": [layer]});
    let sandbox = Sandbox::new();
    stored(&sandbox, docker_config, image_config(&[BASE_DIFF_ID]).to_string());
    stored(&sandbox, docker, gzip(&base_tar()));
    set_entries(&sandbox, &[stored(&sandbox, docker_manifest, manifest.to_string())]);
    warns(&sandbox, "--deep", &[]);
}

#[test]
fn properties_that_only_entries_have_are_unknown_ones_elsewhere() {
    let sandbox = Sandbox::new();
    let odd = |mut descriptor: Value| {
        descriptor["platform"] = json!("linux");
        descriptor["Platform"] = json!({"os": 1});
        descriptor
    };
    let layer = odd(stored(&sandbox, TAR_TYPE, base_tar()));
    let config = odd(stored(&sandbox, CONFIG_TYPE, image_config(&[BASE_DIFF_ID]).to_string()));
    let subject = odd(described(MANIFEST_TYPE, b"elsewhere"));
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer], "subject": subject}).to_string();
    set_entries(&sandbox, &[stored(&sandbox, MANIFEST_TYPE, &manifest)]);
    sandbox.is_valid();
    // The common fields of descriptors are checked everywhere.
    let mut layer = layer;
    layer["Size"] = json!(1);
    let digest = list_image(&sandbox, &image_config(&[BASE_DIFF_ID]), &[layer]);
    errors(&sandbox, "", &[format!("layer[0] in manifest {digest}: key 'Size' is in the wrong case: 'size'")]);
}

#[test]
fn a_missing_layer_that_is_not_distributed_is_a_warning_with_and_without_urls() {
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for urls in [None, Some(json!([])), Some(json!(["https://example.com/layer"]))] {
        let sandbox = Sandbox::new();
        let mut layer = described(foreign, b"elsewhere");
        if let Some(urls) = urls {
            layer["urls"] = urls;
        }
        let manifest = list_image(&sandbox, &image_config(&[BASE_DIFF_ID]), &[layer]);
        let missing = format!("blob {} referenced by {manifest} does not exist", sha256(b"elsewhere"));
        warns(&sandbox, "--deep", &[missing]);
        // `manifest put` accepts the manifest, too.
        fs::rename(sandbox.path(blob_name(&manifest)), sandbox.path("m.json")).expect("renamed");
        set_entries(&sandbox, &[]);
        sandbox.ok(&format!("layout manifest put --path image --file m.json --tag v1 --media-type {MANIFEST_TYPE}"));
    }
}

#[test]
fn a_deep_validation_finds_entries_that_readers_take_differently() {
    let entry = |name: &str, kind: u8, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let mut entry = [header.as_bytes(), content].concat();
        entry.resize(entry.len().next_multiple_of(512), 0);
        entry
    };
    let file = |name: &str, content: &[u8]| entry(name, b'0', content);
    let end = vec![0; 1024];
    let pax = entry("x", b'x', b"22 GNU.sparse.major=1\n");
    let lone = b"34 LIBARCHIVE.xattr.user.a%20b=MQ\n";
    let (lone, both) =
        (entry("x", b'x', lone), entry("x", b'x', &[&lone[..], b"27 SCHILY.xattr.user.a b=1\n"].concat()));
    let global = entry("g", b'g', b"52 comment=4ae8b5bf3d2d2ee3e2a5ab1b3e1f0d9a4c1f1f1f\n");
    for (entries, error, warning) in [
        (vec![file("a", b"1"), file("b", b"1"), entry("d/", b'5', b""), file("d/a", b"2")], "", ""),
        (
            vec![file("a", b"1"), file("./a", b"2")],
            "the tar has two different entries for 'a'; readers take either",
            "",
        ),
        (vec![file("a", b"1"), file("a", b"1")], "", "the tar has two entries for 'a'"),
        (vec![entry("d/", b'5', b""), entry("./d", b'5', b"")], "", "the tar has two entries for 'd'"),
        (vec![file("d/.wh.", b"")], "", "'d/.wh.' is a whiteout without a file name"),
        (vec![file("d/.wh..wh.opq", b""), file(".wh.a", b"")], "", ""),
        (vec![file("a/../b", b"")], "", "the entry 'a/../b' has '..' in its path"),
        (vec![pax, file("f", b"1")], "", "'f' is stored as a sparse file, which not every reader supports"),
        (
            vec![lone, file("f", b"1")],
            "",
            "the extended attributes of 'f' are in libarchive's form alone, which engines do not read",
        ),
        (vec![both, file("f", b"1")], "", ""),
        (
            vec![global, file("f", b"1")],
            "",
            "the tar has a global pax header, which engines ignore and some programs refuse",
        ),
        (vec![entry("s", b'S', b"")], "", "'s' is stored as a sparse file, which not every reader supports"),
    ] {
        let tar = [entries.concat(), end.clone()].concat();
        let sandbox = Sandbox::new();
        let layer = stored(&sandbox, GZIP_TYPE, gzip(&tar));
        let manifest = list_image(&sandbox, &image_config(&[&sha256(&tar)]), &[layer]);
        errors(&sandbox, "", &[]);
        let place = |text: &str| format!("layer[0] in manifest {manifest}: {text}");
        let list = |text: &str| if text.is_empty() { json!([]) } else { json!([place(text)]) };
        let value = sandbox.run("layout validate --path image --deep --json").json();
        assert_eq!((&value["errors"], &value["warnings"]), (&list(error), &list(warning)));
    }
}

#[test]
fn an_image_that_is_not_valid_is_not_imported() {
    let sandbox = Sandbox::new();
    let layer = stored(&sandbox, TAR_TYPE, base_tar());
    let manifest =
        list_image(&sandbox, &json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}), &[layer]);
    let config = sha256(json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).to_string().as_bytes());
    let says = format!("config in manifest {manifest}: rootfs.diff_ids has 0 entries, but the manifest has 1 layer");
    let more = format!("{config} is not a valid image config: architecture is missing");
    errors(&sandbox, "", &[says.clone(), more]);
    sandbox.refuses(
        "layout import --path new --file image",
        &format!("an image of image is not valid: {says}; 'layout validate' lists all faults"),
    );
}

#[test]
fn no_command_stores_an_image_that_is_not_valid() {
    let sandbox = Sandbox::new();
    let layer = stored(&sandbox, TAR_TYPE, base_tar());
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
    let manifest = list_image(&sandbox, &config, std::slice::from_ref(&layer));
    let entry = sandbox.index()["manifests"][0].clone();
    let whole =
        json!({"os": "linux", "architecture": "arm64", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
    list_image(&sandbox, &whole, &[layer]);
    let mut entries = [entry, sandbox.index()["manifests"][0].clone()];
    for (entry, name) in entries.iter_mut().zip(["broken", "whole"]) {
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    set_entries(&sandbox, &entries);
    let says = format!("config in manifest {manifest}: rootfs.diff_ids has 0 entries, but the manifest has 1 layer");
    let refused = format!("the image 'broken' of image is not valid: {says}; 'layout validate' lists all faults");
    for words in [
        "export --path image -o out",
        "export --path image -o out.tar",
        "export --path image -o out.tar --dry-run",
        "import --path new --file image",
        "import --path new --file image:broken",
        "join --path image:broken -o out",
    ] {
        sandbox.refuses(&format!("layout {words}"), &refused);
    }
    // The other image is intact.
    sandbox.ok("layout export --path image:whole -o out");
    sandbox.ok("layout import --path new --file image --ref whole");
    for path in ["out", "new"] {
        sandbox.run(&format!("layout validate --path {path}")).succeeds(format!("Layout at {path} is valid.\n"), "");
    }
    let content = sandbox.text(&format!("image/blobs/{}", manifest.replace(':', "/")));
    sandbox.write("manifest.json", &content);
    sandbox.refuses(
        "layout manifest put --path image --file manifest.json --tag v1",
        &format!("the manifest is not valid: {says} (MANIFEST_INVALID)"),
    );
}

#[test]
fn images_for_other_platforms_may_be_left_out_of_a_nested_index() {
    let sandbox = Sandbox::new();
    let layer = stored(&sandbox, TAR_TYPE, base_tar());
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
    list_image(&sandbox, &config, &[layer]);
    let there = sandbox.index()["manifests"][0].clone();
    let missing = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"arm64"), "size": 7,
        "platform": {"os": "linux", "architecture": "arm64"}});
    let nested = |entries: &[&Value]| {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries});
        stored(&sandbox, INDEX_TYPE, index.to_string())
    };
    let sparse = nested(&[&there, &missing]);
    let says = |index: &Value| {
        format!(
            "blob {} referenced by {} does not exist",
            sha256(b"arm64"),
            index["digest"].as_str().expect("a digest")
        )
    };
    set_entries(&sandbox, std::slice::from_ref(&sparse));
    warns(&sandbox, "", &[says(&sparse)]);
    sandbox.ok("layout import --path new --file image");
    assert_eq!(sandbox.ok_json("layout validate --path new")["warnings"], json!([says(&sparse)]));
    // At least one image of a nested index must be stored, and all entries of index.json.
    let empty = nested(&[&missing]);
    for (entries, says) in [
        (vec![empty.clone()], says(&empty)),
        (vec![there, missing.clone()], format!("blob {} referenced by index.json does not exist", sha256(b"arm64"))),
    ] {
        set_entries(&sandbox, &entries);
        let value = sandbox.run("layout validate --path image --json").json();
        assert_eq!(value["errors"], json!([says]));
    }
}

#[test]
fn under_each_finding_stand_its_image_and_digests_that_differ_and_a_line_sums_up() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout update config -p image --architecture arm64 -q");
    sandbox.ok("layout generate manifest -p image --ref-name arm -q");
    let manifest = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let layer = sandbox.blob_json(&manifest)["layers"][1]["digest"].as_str().expect("a digest").to_owned();
    let content = b"x".repeat(sandbox.blob(&layer).len());
    sandbox.write(&blob_name(&layer), &content);
    let actual = sha256(&content);
    let error = format!("Error: digest mismatch for {layer}: expected {layer}, got {actual}\n");
    let below = format!("  expected {layer}\n  actual   {actual}\n");
    let of_image = |name: &str| format!("{error}  {name}, layer 1\n{below}");
    // The message is printed once, with the first image that has the error.
    let run = |words: &str| sandbox.run_words(format!("layout validate {words}").split(' '));
    run("image").fails(format!("{}1 error in 2 of 2 images\n", of_image("latest linux/amd64")));
    run("image:arm").fails(format!("{}1 error in 1 of 2 images\n", of_image("arm linux/arm64")));
}

#[test]
fn one_image_of_a_layout_is_validated_alone() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout update config -p image --architecture arm64 -q");
    sandbox.ok("layout generate manifest -p image --ref-name arm -q");
    let [amd64, arm64] =
        [0, 1].map(|at| sandbox.index()["manifests"][at]["digest"].as_str().expect("a digest").to_owned());
    let config = sandbox.blob_json(&arm64)["config"]["digest"].as_str().expect("a digest").to_owned();
    fs::remove_file(sandbox.path(blob_name(&config))).expect("removed");
    let error = format!("Error: blob {config} referenced by {arm64} does not exist\n");
    for path in ["image:latest".to_owned(), format!("image@{amd64}"), format!("image@{}", &amd64[7..15])] {
        let valid = format!("Layout at {path} is valid.\n");
        sandbox.run(&format!("layout validate {path}")).succeeds(valid, "");
    }
    for path in ["image".to_owned(), "image:arm".to_owned(), format!("image@{arm64}")] {
        sandbox.run(&format!("layout validate {path}")).fails(&error);
    }
    let unknown = "image has no manifest 'none'; 'layout tag list' lists the tags";
    assert_eq!(sandbox.run("layout validate image:none").stderr, format!("Error: {unknown}\n"));

    for words in ["show image:none", "show image:none --tree"] {
        sandbox.run(&format!("layout {words}")).is(1, "", format!("Error: {unknown}\n"));
    }
}
