//! `layout manifest put`

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::registry::*;
use crate::support::*;

const PUT: &str = "layout manifest put --path image --file m.json";
const DOCKER_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Writes a body to `m.json` and returns its descriptor.
fn body(sandbox: &Sandbox, content: &Value) -> Value {
    let text = content.to_string();
    sandbox.write("m.json", &text);
    json!({"mediaType": content["mediaType"], "digest": sha256(text.as_bytes()), "size": text.len()})
}

/// Creates a layout with the blobs of an image, and its manifest in `m.json`.
fn with_body() -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    let image = body(&sandbox, &manifest(&config(&sandbox, "amd64"), &[&layer(&sandbox)]));
    (sandbox, on(&image, "amd64"))
}

fn text(descriptor: &Value, tags: &str) -> String {
    let media_type = descriptor["mediaType"].as_str().expect("a media type");
    let tags = if tags.is_empty() { String::new() } else { format!("        tags: {tags}\n") };
    format!(
        "Stored manifest:\n      digest: {}\n        size: {}\n  media-type: {media_type}\n{tags}",
        digest(descriptor),
        size(descriptor)
    )
}

#[track_caller]
fn is_invalid(sandbox: &Sandbox, words: &str, reason: &str) {
    sandbox.refuses(&format!("{PUT} {words}"), &format!("the manifest is not valid: {reason} (MANIFEST_INVALID)"));
}

#[test]
fn a_manifest_is_stored_as_it_is_and_listed_by_its_tags() {
    let (sandbox, image) = with_body();
    sandbox.run(&format!("{PUT} --tag v1 --tag latest")).succeeds(text(&image, "v1, latest"), "");
    assert_eq!(sandbox.blob(digest(&image)), sandbox.read("m.json"));
    assert_eq!(listed(&sandbox), json!([named(&image, "v1"), named(&image, "latest")]));
    sandbox.is_valid();
    // A repeated put changes nothing.
    let before = sandbox.contents();
    assert_eq!(
        sandbox.ok_json(&format!("{PUT} --tag v1")),
        json!({"digest": image["digest"], "size": image["size"], "media_type": MANIFEST_TYPE, "tags": ["v1"]})
    );
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn a_manifest_without_a_tag_gets_an_entry_by_its_digest() {
    let (sandbox, image) = with_body();
    sandbox.run(PUT).succeeds(text(&image, ""), "");
    assert_eq!(listed(&sandbox), json!([image]));
    assert_eq!(sandbox.ok_json(PUT)["tags"], json!([]));
    assert_eq!(listed(&sandbox), json!([image]));
    sandbox.run(&format!("{PUT} --repo example/app")).succeeds(text(&image, ""), "");
    let by_digest = named(&image, &format!("example/app@{}", digest(&image)));
    assert_eq!(listed(&sandbox), json!([image, by_digest]));
    sandbox.run(&format!("{PUT} --repo example/app --tag v1")).succeeds(text(&image, "example/app:v1"), "");
    assert_eq!(listed(&sandbox), json!([image, by_digest, named(&image, "example/app:v1")]));
}

#[test]
fn the_path_may_contain_a_tag_a_repository_or_a_digest() {
    let (sandbox, image) = with_body();
    let sha = digest(&image).to_owned();
    for (path, more, tags, name) in [
        ("image:v1".to_owned(), "", "v1", Some("v1".to_owned())),
        (
            "image:docker.io/library/x:1".to_owned(),
            "",
            "docker.io/library/x:1",
            Some("docker.io/library/x:1".to_owned()),
        ),
        // The tag has the form of a digest.
        ("image:app:v1".to_owned(), "", "app:v1", Some("app:v1".to_owned())),
        ("image/a/b:v1".to_owned(), "", "a/b:v1", Some("a/b:v1".to_owned())),
        ("image/a/b".to_owned(), "--tag v1", "a/b:v1", Some("a/b:v1".to_owned())),
        ("image:v1".to_owned(), "--tag v1", "v1", Some("v1".to_owned())),
        (format!("image@{sha}"), "", "", None),
        (format!("image:v1@{sha}"), "", "v1", Some("v1".to_owned())),
        (format!("image/a/b@{sha}"), "", "", Some(format!("a/b@{sha}"))),
        (format!("image/a/b:v1@{sha}"), "", "a/b:v1", Some("a/b:v1".to_owned())),
    ] {
        list(&sandbox, &[]);
        sandbox.run(&format!("layout manifest put -p {path} -f m.json {more}")).succeeds(text(&image, tags), "");
        let entry = name.map_or_else(|| image.clone(), |name| named(&image, &name));
        assert_eq!(listed(&sandbox), json!([entry]), "{path}");
    }
    list(&sandbox, &[]);
    sandbox.ok("layout manifest put -p image:v1 -f m.json --tag v2");
    assert_eq!(listed(&sandbox), json!([named(&image, "v2"), named(&image, "v1")]));
    let other = sha256(b"");
    for path in [format!("image@{other}"), format!("image:v1@{other}"), format!("image/a@{other}")] {
        sandbox.refuses(
            &format!("layout manifest put -p {path} -f m.json"),
            &format!("digest mismatch for {other}: expected {other}, got {sha} (DIGEST_INVALID)"),
        );
    }
    sandbox.refuses(
        &format!("layout manifest put -p image@{sha} -f m.json --digest {other}"),
        &format!("the path names '{sha}' and --digest names '{other}'"),
    );
}

#[test]
fn a_missing_layout_is_created() {
    for (path, directory, name) in [
        ("new:v1", "new", Some("v1")),
        ("./new:docker.io/library/x:1", "new", Some("docker.io/library/x:1")),
        ("new", "new", None),
    ] {
        let sandbox = Sandbox::empty();
        // An index without references needs no other blobs.
        let all = body(&sandbox, &index(&[]));
        sandbox.run(&format!("layout manifest put -p {path} -f m.json")).succeeds(text(&all, name.unwrap_or("")), "");
        fs::rename(sandbox.path(directory), sandbox.path("image")).expect("it was made");
        let entry = name.map_or_else(|| all.clone(), |name| named(&all, name));
        assert_eq!(sandbox.index(), index(&[&entry]));
        assert_eq!(sandbox.json("image/oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
        sandbox.has_blobs([digest(&all)]);
    }
    // A rejected manifest leaves no files.
    let sandbox = Sandbox::empty();
    body(&sandbox, &index(&[&json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b""), "size": 0})]));
    sandbox.refuses(
        "layout manifest put -p new -f m.json",
        &format!("the manifest is not valid: manifest for manifests[0] not found: {} (MANIFEST_INVALID)", sha256(b"")),
    );
}

#[test]
fn an_index_without_a_marker_is_not_written_over() {
    let sandbox = Sandbox::empty();
    body(&sandbox, &index(&[]));
    fs::create_dir(sandbox.path("image")).expect("made");
    sandbox.write("image/index.json", index(&[]).to_string());
    let before = sandbox.tree();
    let outcome = sandbox.run(PUT);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn each_repository_gets_a_layout() {
    let sandbox = Sandbox::empty();
    let all = body(&sandbox, &index(&[]));
    let put = "layout manifest put -p layouts --per-repo -f m.json --repo";
    sandbox.run(&format!("{put} example/app --tag v1")).succeeds(text(&all, "example/app:v1"), "");
    sandbox.run(&format!("{put} example")).succeeds(text(&all, ""), "");
    assert_eq!(sandbox.json("layouts/example/app/index.json")["manifests"], json!([named(&all, "example/app:v1")]));
    assert_eq!(
        sandbox.json("layouts/example/index.json")["manifests"],
        json!([named(&all, &format!("example@{}", digest(&all)))])
    );
    assert_eq!(sandbox.ok("layout catalog list -p layouts --per-repo"), "example\nexample/app\n");
    sandbox.refuses(
        "layout manifest put -p layouts --per-repo -f m.json --tag v1",
        "layouts holds one layout per repository, and no repository is named (NAME_INVALID); use --repo",
    );
}

#[test]
fn a_tag_is_taken_in_place_and_its_earlier_manifest_is_kept() {
    let (sandbox, new) = with_body();
    let [one, two] = ["arm64", "s390x"].map(|architecture| image(&sandbox, architecture));
    let old = with(named(&one, "v1"), json!({"x-own": 1}));
    list(&sandbox, &[&old, &named(&two, "v2")]);
    sandbox.ok(&format!("{PUT} --tag v1"));
    let kept = with(one.clone(), json!({"x-own": 1}));
    assert_eq!(listed(&sandbox), json!([named(&new, "v1"), named(&two, "v2"), kept]));
    // In a repository the manifest keeps a name with its digest, and other repositories are unchanged.
    list(&sandbox, &[&named(&one, "app:v1"), &named(&two, "other:v1"), &named(&two, "v1")]);
    sandbox.ok(&format!("{PUT} --repo app --tag v1"));
    assert_eq!(
        listed(&sandbox),
        json!([
            named(&new, "app:v1"),
            named(&two, "other:v1"),
            named(&two, "v1"),
            named(&one, &format!("app@{}", digest(&one)))
        ])
    );
    // An entry in another repository does not make it part of this one.
    list(&sandbox, &[&named(&one, "app:v1"), &named(&one, "other:v1")]);
    sandbox.ok(&format!("{PUT} --repo app --tag v1"));
    let by_digest = named(&one, &format!("app@{}", digest(&one)));
    assert_eq!(listed(&sandbox), json!([named(&new, "app:v1"), named(&one, "other:v1"), by_digest]));
    // Without a repository, all names belong to the same set.
    list(&sandbox, &[&named(&one, "app:v1"), &named(&one, "other:v1")]);
    sandbox.ok(&format!("{PUT} --tag app:v1"));
    assert_eq!(listed(&sandbox), json!([named(&new, "app:v1"), named(&one, "other:v1")]));
    // Several entries with one tag become a single entry.
    list(&sandbox, &[&named(&one, "v1"), &named(&two, "v1"), &named(&new, "v1")]);
    sandbox.ok(&format!("{PUT} --tag v1"));
    assert_eq!(listed(&sandbox), json!([named(&new, "v1"), one, two]));
}

#[test]
fn an_index_may_take_the_tag_of_its_manifest() {
    let sandbox = Sandbox::new();
    let one = image(&sandbox, "amd64");
    list(&sandbox, &[&named(&one, "v1")]);
    let all = body(&sandbox, &index(&[&on(&one, "amd64")]));
    sandbox.ok(&format!("{PUT} --tag v1"));
    assert_eq!(listed(&sandbox), json!([named(&all, "v1")]));
    sandbox.is_valid();
}

#[test]
fn the_blobs_of_a_manifest_must_be_stored() {
    let sandbox = Sandbox::new();
    let (config, layer) = (config(&sandbox, "amd64"), layer(&sandbox));
    let missing = |media_type: &str| json!({"mediaType": media_type, "digest": sha256(b"missing"), "size": 7});
    for docker in [false, true] {
        let typed = |mut content: Value, docker_type: &str| {
            if docker {
                content["mediaType"] = json!(docker_type);
            }
            content
        };
        for (content, place) in [
            (typed(manifest(&config, &[&layer, &missing(TAR_TYPE)]), DOCKER_TYPE), "blob for layers[1]"),
            (typed(manifest(&missing(CONFIG_TYPE), &[&layer]), DOCKER_TYPE), "blob for config"),
            (typed(index(&[&missing(MANIFEST_TYPE)]), DOCKER_LIST), "manifest for manifests[0]"),
        ] {
            body(&sandbox, &content);
            is_invalid(&sandbox, "--tag v1", &format!("{place} not found: {}", sha256(b"missing")));
            is_invalid(&sandbox, "--repo app", &format!("{place} not found: {}", sha256(b"missing")));
        }
    }
    // A wrong size is rejected, too.
    let wrong = with(layer.clone(), json!({"size": 5}));
    body(&sandbox, &manifest(&config, &[&wrong]));
    is_invalid(
        &sandbox,
        "--tag v1",
        &format!("blob for layers[0]: size mismatch for {}: expected 5, got 1024", digest(&layer)),
    );
    // A blob with `urls` and a subject may be missing.
    let elsewhere = with(missing(TAR_TYPE), json!({"urls": ["https://example.com/x"]}));
    let content = with(manifest(&config, &[&elsewhere]), json!({"subject": missing(MANIFEST_TYPE)}));
    let image = on(&body(&sandbox, &content), "amd64");
    sandbox.run(&format!("{PUT} --tag v1")).succeeds(text(&image, "v1"), "");
    let all = body(&sandbox, &with(index(&[]), json!({"subject": missing(MANIFEST_TYPE)})));
    sandbox.run(&format!("{PUT} --tag v2")).succeeds(text(&all, "v2"), "");
    let content = manifest(&config, &[&with(missing(TAR_TYPE), json!({"urls": []}))]);
    body(&sandbox, &content);
    is_invalid(&sandbox, "--tag v3", &format!("blob for layers[0] not found: {}", sha256(b"missing")));
}

#[test]
fn other_content_is_refused_as_a_manifest() {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, "amd64");
    sandbox.write("empty", "");
    for (content, words, reason) in [
        ("", "", "EOF while parsing a value at line 1, column 0"),
        ("x", "", "expected a value at line 1, column 1"),
        ("x", "--media-type application/vnd.oci.image.manifest.v1+json", "expected a value at line 1, column 1"),
        ("{} x", "", "trailing characters at line 1, column 4"),
    ] {
        sandbox.write("m.json", content);
        let words = format!("layout manifest put -p image --file m.json {words}");
        sandbox.refuses(&words, &format!("m.json is not JSON: {reason} (MANIFEST_INVALID)"));
    }
    for (content, words, reason) in [
        ("{}".to_owned(), "", "it does not say its mediaType"),
        (r#"{"mediaType":5}"#.to_owned(), "", "it does not say its mediaType"),
        (
            manifest(&config, &[]).to_string(),
            "--media-type application/vnd.docker.distribution.manifest.v2+json",
            "its mediaType is application/vnd.oci.image.manifest.v1+json, not application/vnd.docker.distribution.manifest.v2+json",
        ),
        (
            manifest(&config, &[]).to_string(),
            "--media-type application/x-other",
            "its mediaType is application/vnd.oci.image.manifest.v1+json, not application/x-other",
        ),
        (
            r#"{"mediaType":"application/x-other"}"#.to_owned(),
            "--media-type application/vnd.example.thing",
            "its mediaType is application/x-other, not application/vnd.example.thing",
        ),
    ] {
        sandbox.write("m.json", content);
        is_invalid(&sandbox, words, reason);
    }
    // The parser reports the position.
    for content in [
        json!([]),
        json!({"mediaType": MANIFEST_TYPE}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "layers": []}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "config": config}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "config": null, "layers": []}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 1, "config": config, "layers": []}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "config": config, "layers": {}}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "config": config, "layers": null}),
        json!({"mediaType": DOCKER_TYPE, "schemaVersion": 2, "config": config, "layers": null}),
        json!({"schemaVersion": 2, "config": config, "layers": null}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "config": {"digest": "sha256:../x", "size": 1, "mediaType": "a/b"}, "layers": []}),
        json!({"mediaType": MANIFEST_TYPE, "schemaVersion": 2, "config": with(config.clone(), json!({"size": -1})), "layers": []}),
        json!({"mediaType": INDEX_TYPE, "schemaVersion": 2}),
        json!({"mediaType": INDEX_TYPE, "schemaVersion": 2, "manifests": [{}]}),
        json!({"mediaType": DOCKER_LIST, "schemaVersion": 2}),
        json!({"mediaType": DOCKER_TYPE, "schemaVersion": 2}),
    ] {
        sandbox.write("m.json", content.to_string());
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("{PUT} --tag v1"));
        assert!(outcome.stderr.starts_with("Error: the manifest is not valid: "), "{content}: {outcome:?}");
        assert!(outcome.stderr.ends_with(" (MANIFEST_INVALID)\n"), "{content}: {outcome:?}");
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{content}");
        assert_eq!(sandbox.tree(), before, "{content}");
    }
}

#[test]
fn the_media_type_is_stated_or_detected_or_given() {
    let sandbox = Sandbox::new();
    let (config, layer) = (config(&sandbox, "amd64"), layer(&sandbox));
    let image = manifest(&config, &[&layer]);
    let without_type = |mut content: Value| {
        content.as_object_mut().expect("fields").remove("mediaType");
        content
    };
    let docker = with(image.clone(), json!({"mediaType": DOCKER_TYPE}));
    let other = "application/vnd.example.thing.v1+json";
    let told = format!("--media-type {other}");
    for (content, words, media_type, has_platform) in [
        (without_type(image.clone()), "", MANIFEST_TYPE, true),
        (
            without_type(image.clone()),
            "--media-type application/vnd.docker.distribution.manifest.v2+json",
            DOCKER_TYPE,
            true,
        ),
        (without_type(index(&[])), "", INDEX_TYPE, false),
        (
            without_type(index(&[])),
            "--media-type application/vnd.docker.distribution.manifest.list.v2+json",
            DOCKER_LIST,
            false,
        ),
        (docker, "", DOCKER_TYPE, true),
        (with(index(&[]), json!({"mediaType": DOCKER_LIST, "manifests": null})), "", DOCKER_LIST, false),
        (json!({"mediaType": other, "a": [1]}), "", other, false),
        (json!({"a": 1}), &told, other, false),
        (json!("a"), &told, other, false),
    ] {
        list(&sandbox, &[]);
        let stored = with(body(&sandbox, &content), json!({"mediaType": media_type}));
        sandbox.run(&format!("{PUT} --tag v1 {words}")).succeeds(text(&stored, "v1"), "");
        let entry = if has_platform { on(&stored, "amd64") } else { stored };
        assert_eq!(listed(&sandbox), json!([named(&entry, "v1")]), "{content}");
        assert_eq!(sandbox.blob(digest(&entry)), sandbox.read("m.json"));
    }
    // With a media type of another format, the content may be anything.
    sandbox.write("m.json", "\u{0}\u{1}");
    sandbox.ok(&format!("{PUT} --tag v2 {told}"));
    for bad in ["", "x", "a/b/c", "a b/c", "a/\n"] {
        refuses_words(
            &sandbox,
            PUT,
            &["--media-type", bad],
            &format!("'{}' is not a media type of the form type/subtype", bad.escape_debug()),
        );
    }
}

#[test]
fn the_digest_is_checked_and_selects_the_algorithm() {
    let (sandbox, image) = with_body();
    let content = sandbox.read("m.json");
    let sha512 = format!("sha512:{}", hex::encode(Sha512::digest(&content)));
    sandbox.ok(&format!("{PUT} --tag v1 --digest {}", digest(&image)));
    list(&sandbox, &[]);
    let stored = with(image.clone(), json!({"digest": sha512}));
    sandbox.run(&format!("{PUT} --tag v1 --digest {sha512}")).succeeds(text(&stored, "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&stored, "v1")]));
    assert_eq!(sandbox.blob(&sha512), content);
    sandbox.ok(&format!("{PUT} --repo app --digest {sha512}"));
    assert_eq!(listed(&sandbox)[1], named(&stored, &format!("app@{sha512}")));
    assert_eq!(sandbox.run(&format!("layout manifest get -p image --ref {sha512}")).stdout.as_bytes(), content);
    sandbox
        .run(&format!("layout manifest get -p image --ref {}", &sha512[..15]))
        .succeeds(String::from_utf8(content).expect("UTF-8"), "");
    fs::remove_file(sandbox.path(blob_name(digest(&image)))).expect("removed");
    sandbox.is_valid();
    let (other, other512) = (sha256(b""), format!("sha512:{}", "0".repeat(128)));
    for (given, message) in [
        (other.as_str(), format!("digest mismatch for {other}: expected {other}, got {}", digest(&image))),
        (&other512, format!("digest mismatch for {other512}: expected {other512}, got {sha512}")),
        (
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "digest md5:d41d8cd98f00b204e9800998ecf8427e cannot be verified: its algorithm is not supported".to_owned(),
        ),
        ("sha256:00", "'sha256:00' is not a digest: its hash has the wrong length".to_owned()),
        ("x", "'x' is not a digest: it has no colon".to_owned()),
        ("", "'' is not a digest: it has no colon".to_owned()),
    ] {
        refuses_words(&sandbox, PUT, &["--tag", "v2", "--digest", given], &format!("{message} (DIGEST_INVALID)"));
    }
}

#[test]
fn invalid_names_are_refused_before_anything_is_stored() {
    let (sandbox, _) = with_body();
    for tag in ["", "a/b", "a:b", "-a", "a\u{1b}", "é"] {
        let message = format!("'{}' {TAG_GRAMMAR}", tag.escape_debug());
        refuses_words(&sandbox, PUT, &["--repo", "app", "--tag", "good", &format!("--tag={tag}")], &message);
    }
    for name in ["", "a b", "-a", "a\nb", "é"] {
        let message = format!("'{}' {REF_NAME_GRAMMAR}", name.escape_debug());
        refuses_words(&sandbox, PUT, &["--tag", "good", &format!("--tag={name}")], &message);
    }
    for name in ["", "App", "a:b", "../x"] {
        refuses_words(&sandbox, PUT, &["--repo", name], &format!("'{name}' {REPOSITORY_GRAMMAR}"));
    }
}

#[test]
fn standard_input_is_read_for_a_dash() {
    let (sandbox, image) = with_body();
    let content = sandbox.read("m.json");
    sandbox.run_with_input("layout manifest put -p image --file - --tag v1", &content).succeeds(text(&image, "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&image, "v1")]));
    assert_eq!(sandbox.blob(digest(&image)), content);
    let before = sandbox.tree();
    sandbox
        .run_with_input("layout manifest put -p image --file - --tag v2", b"")
        .fails("Error: standard input is not JSON: EOF while parsing a value at line 1, column 0 (MANIFEST_INVALID)\n");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn large_documents_and_other_files_are_refused() {
    let (sandbox, _) = with_body();
    let mut content = sandbox.read("m.json");
    let limit = 8 * 1024 * 1024;
    content.resize(limit, b' ');
    sandbox.write("m.json", &content);
    sandbox.ok(&format!("{PUT} --tag v1"));
    assert_eq!(sandbox.run("layout manifest get -p image:v1").stdout.len(), limit);
    content.push(b' ');
    sandbox.write("m.json", &content);
    sandbox.refuses(&format!("{PUT} --tag v2"), "the manifest is larger than 8388608 bytes (SIZE_INVALID)");
    sandbox.refuses("layout manifest put -p image --file missing", "File not found: missing");
    sandbox.refuses("layout manifest put -p image --file image", "image is a directory, not a file");
    is_usage_error(&sandbox, "layout manifest put -p image");
    content.resize(64 * 1024 * 1024 + 1, b' ');
    sandbox.write("m.json", &content);
    sandbox.refuses(&format!("{PUT} --tag v2"), "m.json is larger than 67108864 bytes (SIZE_INVALID)");
}

#[test]
fn unknown_fields_of_the_index_stay_and_null_manifests_are_none() {
    let (sandbox, image) = with_body();
    for manifests in ["null", "[]"] {
        sandbox.write("image/index.json", format!(r#"{{"x-top":[1.50],"manifests":{manifests},"schemaVersion":2}}"#));
        sandbox.ok(&format!("{PUT} --tag v1"));
        let expected: Value = serde_json::from_str(r#"{"schemaVersion":2,"x-top":[1.50]}"#).expect("JSON");
        assert_eq!(sandbox.index(), with(expected, json!({"manifests": [named(&image, "v1")]})));
    }
}

#[test]
fn an_index_of_another_media_type_is_not_written() {
    let (sandbox, _) = with_body();
    sandbox.edit("image/index.json", |index| index["mediaType"] = json!("a/b"));
    sandbox.refuses(&format!("{PUT} --tag v1"), "index.json at image is not a valid OCI Image Index");
}

#[test]
fn a_blob_that_is_there_already_is_verified() {
    let (sandbox, image) = with_body();
    let mut corrupt = sandbox.read("m.json");
    corrupt[0] = b'[';
    sandbox.write(&blob_name(digest(&image)), &corrupt);
    sandbox.ok(&format!("{PUT} --tag v1"));
    assert_eq!(sandbox.blob(digest(&image)), sandbox.read("m.json"));
}

#[test]
fn an_entry_of_the_same_manifest_keeps_its_annotations_and_that_of_another_does_not() {
    let (sandbox, one) = with_body();
    sandbox.ok(&format!("{PUT} --tag x"));
    let own = json!({
        "platform": {"architecture": "amd64", "os": "linux", "os.version": "12"},
        "artifactType": "a/b",
        "urls": ["https://example.com/m"],
        "data": "e30=",
        "x-own": {"a": 1.5},
        "annotations": {REF_NAME: "v1", "com.example.key": "value", "io.containerd.image.name": "docker.io/library/x:1"},
    });
    let entry = with(one.clone(), own);
    list(&sandbox, &[&entry]);
    let before = sandbox.read("image/index.json");
    sandbox.ok(&format!("{PUT} --tag v1"));
    assert_eq!(sandbox.read("image/index.json"), before, "it is listed already");
    // Also without a tag.
    let mut untagged = entry.clone();
    untagged["annotations"].as_object_mut().expect("annotations").remove(REF_NAME);
    untagged["annotations"].as_object_mut().expect("annotations").remove("io.containerd.image.name");
    list(&sandbox, &[&untagged]);
    sandbox.ok(PUT);
    assert_eq!(listed(&sandbox), json!([untagged]));

    list(&sandbox, &[&entry]);
    let two = body(&sandbox, &manifest(&config(&sandbox, "arm64"), &[&layer(&sandbox)]));
    sandbox.ok(&format!("{PUT} --tag v1"));
    let names = json!({"annotations": {REF_NAME: "v1", "io.containerd.image.name": "docker.io/library/x:1"}});
    assert_eq!(listed(&sandbox), json!([with(on(&two, "arm64"), names), untagged]));
}

#[test]
fn a_marker_alone_is_an_empty_layout() {
    let (sandbox, image) = with_body();
    let fresh = sandbox.read("image/index.json");
    fs::remove_file(sandbox.path("image/index.json")).expect("deleted");
    let before = sandbox.tree();
    for words in ["tag list", "catalog list"] {
        sandbox.run(&format!("layout {words} --path image")).succeeds("", "");
    }
    let none = format!("image has no manifest 'v1' {SEE_TAGS}");
    sandbox.refuses("layout manifest get --path image --ref v1", &none);
    sandbox.refuses("layout tag add --path image --ref v1 v2", &none);
    sandbox.write("x", "content");
    sandbox.ok("layout blob upload --path image --file x");
    fs::remove_file(sandbox.path("x")).expect("deleted");
    fs::remove_file(sandbox.path(blob_name(&sha256(b"content")))).expect("deleted");
    assert_eq!(sandbox.tree(), before, "reading makes no index, and neither does a blob");
    // The file may have been lost, so nothing is collected.
    let message = "index.json at image is not a valid OCI Image Index; the file is missing: restore it, or list each \
                   manifest again with 'layout manifest put', which creates it";
    sandbox.refuses("layout gc --path image", message);

    sandbox.run(&format!("{PUT} --tag v1")).succeeds(text(&image, "v1"), "");
    assert_eq!(listed(&sandbox), json!([named(&image, "v1")]));
    sandbox.is_valid();
    sandbox.ok("layout tag delete --path image --ref v1");
    assert_eq!(sandbox.read("image/index.json"), fresh);
}
