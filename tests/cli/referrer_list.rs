//! `layout referrer list`

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const LIST: &str = "layout referrer list --path image";

/// Returns the expected index, sorted by digest like answers of registries.
fn answer(referrers: &[&Value]) -> Value {
    let mut referrers = referrers.to_vec();
    referrers.sort_by_key(|referrer| digest(referrer));
    index(&referrers)
}

/// Returns the expected lines, sorted by digest.
fn lines(referrers: &[&Value]) -> String {
    let kinds = || referrers.iter().map(|referrer| referrer["artifactType"].as_str().unwrap_or("-"));
    let width = referrers.iter().map(|referrer| size(referrer).to_string().len()).max().unwrap_or(0);
    let mut lines: Vec<_> = referrers
        .iter()
        .zip(kinds())
        .map(|(referrer, kind)| format!("{}  {:<width$}  {kind}\n", digest(referrer), size(referrer)))
        .collect();
    lines.sort();
    lines.concat()
}

/// Stores a referrer of a manifest; returns its descriptor as listed.
fn refer(sandbox: &Sandbox, subject: &Value, artifact_type: &str) -> Value {
    with(document(sandbox, &about(sandbox, subject, artifact_type)), json!({"artifactType": artifact_type}))
}

/// Returns the descriptor without the fields of the artifact.
fn bare(descriptor: &Value) -> Value {
    json!({"mediaType": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"]})
}

#[test]
fn referrers_are_listed_with_their_types_and_annotations() {
    let sandbox = Sandbox::new();
    let [subject, other] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let sbom = refer(&sandbox, &subject, "application/spdx+json");
    let content = with(about(&sandbox, &subject, "a/signature"), json!({"annotations": {"b": "2", "a": "1"}}));
    let signature =
        with(document(&sandbox, &content), json!({"artifactType": "a/signature", "annotations": {"a": "1", "b": "2"}}));
    let unrelated = refer(&sandbox, &other, "application/spdx+json");
    // The annotations and the type of the entry are not those of the manifest.
    let entry = with(bare(&sbom), json!({"annotations": {REF_NAME: "sbom", "x": "y"}, "artifactType": "other/type"}));
    list(&sandbox, &[&named(&subject, "v1"), &entry, &bare(&signature), &named(&other, "v2"), &bare(&unrelated)]);
    let before = sandbox.tree();
    for words in [
        "-p image --ref v1".to_owned(),
        "-p image:v1".to_owned(),
        format!("-p image --ref {}", digest(&subject)),
        format!("-p image --ref {}", &digest(&subject)[7..15]),
    ] {
        sandbox.run(&format!("layout referrer list {words}")).succeeds(lines(&[&sbom, &signature]), "");
        assert_eq!(sandbox.ok_json(&format!("layout referrer list {words}")), answer(&[&sbom, &signature]), "{words}");
    }
    sandbox.run(&format!("{LIST} --ref v1 --artifact-type a/signature")).succeeds(lines(&[&signature]), "");
    assert_eq!(sandbox.ok_json(&format!("{LIST} --ref v1 --artifact-type application/spdx+json")), answer(&[&sbom]));
    for none in ["other/type", "a/Signature", "a"] {
        sandbox.run(&format!("{LIST} --ref v1 --artifact-type {none}")).succeeds("", "");
        assert_eq!(sandbox.ok_json(&format!("{LIST} --ref v1 --artifact-type {none}")), answer(&[]));
    }
    sandbox.run(&format!("{LIST} --ref {}", digest(&sbom))).succeeds("", "");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_manifest_without_a_type_has_that_of_its_config_and_an_index_has_its_own_only() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let about = json!({"subject": bare(&subject)});
    let config = blob(&sandbox, "application/x-config", "{}");
    let by_config = document(&sandbox, &with(manifest(&config, &[]), about.clone()));
    let empty_type =
        document(&sandbox, &with(with(manifest(&config, &[]), about.clone()), json!({"artifactType": ""})));
    let plain = document(&sandbox, &with(index(&[]), about.clone()));
    let typed = document(&sandbox, &with(with(index(&[]), about), json!({"artifactType": "a/b"})));
    list(&sandbox, &[&subject, &by_config, &empty_type, &plain, &typed]);
    let of = |descriptor: &Value, kind: &str| with(descriptor.clone(), json!({"artifactType": kind}));
    let expected =
        [&of(&by_config, "application/x-config"), &of(&empty_type, "application/x-config"), &plain, &of(&typed, "a/b")];
    let words = format!("{LIST} --ref {}", digest(&subject));
    assert_eq!(sandbox.ok_json(&words), answer(&expected));
    sandbox.run(&words).succeeds(lines(&expected), "");
    assert_eq!(sandbox.ok_json(&format!("{words} --artifact-type a/b")), answer(&[expected[3]]));
}

#[test]
fn images_of_nested_indexes_are_found_and_subjects_are_not_followed() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let sbom = refer(&sandbox, &subject, "a/sbom");
    let about_sbom = refer(&sandbox, &sbom, "a/signature");
    let inner = document(&sandbox, &index(&[&bare(&sbom)]));
    let outer = document(&sandbox, &index(&[&inner, &bare(&sbom)]));
    list(&sandbox, &[&named(&outer, "x"), &bare(&about_sbom)]);
    // The subject itself does not need an entry.
    assert_eq!(sandbox.ok_json(&format!("{LIST} --ref {}", digest(&subject))), answer(&[&sbom]));
    assert_eq!(sandbox.ok_json(&format!("{LIST} --ref {}", digest(&sbom))), answer(&[&about_sbom]));
    // The SBOM is only a subject, and so unreachable.
    list(&sandbox, &[&bare(&about_sbom)]);
    assert_eq!(sandbox.ok_json(&format!("{LIST} --ref {}", digest(&subject))), answer(&[]));
}

#[test]
fn a_repository_lists_its_own_referrers() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let [one, two] = ["a/one", "a/two"].map(|artifact_type| refer(&sandbox, &subject, artifact_type));
    let entry = |referrer: &Value, name: &str| named(&bare(referrer), &format!("{name}@{}", digest(referrer)));
    list(
        &sandbox,
        &[&named(&subject, "app:v1"), &entry(&one, "app"), &named(&subject, "other:v1"), &entry(&two, "other")],
    );
    assert_eq!(sandbox.ok_json(&format!("{LIST} --repo app --ref v1")), answer(&[&one]));
    assert_eq!(sandbox.ok_json("layout referrer list -p image/other:v1"), answer(&[&two]));
    assert_eq!(sandbox.ok_json(&format!("{LIST} --ref app:v1")), answer(&[&one, &two]));
    sandbox.refuses(&format!("{LIST} --repo none --ref v1"), &format!("image has no repository 'none' {SEE_CATALOG}"));
    sandbox.refuses(
        &format!("{LIST} --repo none --ref {}", digest(&subject)),
        &format!("image has no repository 'none' {SEE_CATALOG}"),
    );
}

#[test]
fn an_unknown_digest_has_an_empty_list_and_an_unknown_tag_is_an_error() {
    let (sandbox, _) = with_image("app:v1");
    let unknown = sha256(b"");
    let sha512 = format!("sha512:{}", "0".repeat(128));
    for words in [
        format!("-p image --ref {unknown}"),
        format!("-p image --repo app --ref {unknown}"),
        format!("-p image/app@{unknown}"),
        format!("-p image@{unknown}"),
        format!("-p image --ref {sha512}"),
    ] {
        sandbox.run(&format!("layout referrer list {words}")).succeeds("", "");
        assert_eq!(sandbox.ok_json(&format!("layout referrer list {words}")), answer(&[]), "{words}");
    }
    for reference in ["v1", "app:v2", &unknown[..20]] {
        sandbox
            .refuses(&format!("{LIST} --ref {reference}"), &format!("image has no manifest '{reference}' {SEE_TAGS}"));
    }
    // The default is the only image.
    sandbox.ok(LIST);
}

#[test]
fn the_list_of_older_programs_is_read_too() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let [both, old, new] = ["a/both", "a/old", "a/new"].map(|artifact_type| refer(&sandbox, &subject, artifact_type));
    // Only this list has the referrer, which may be missing.
    let missing = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"missing"), "size": 7, "artifactType": "a/missing", "annotations": {"k": "v"}});
    let fallback = document(&sandbox, &index(&[&both, &old, &missing]));
    let tag = digest(&subject).replace(':', "-");
    for (name, words) in [
        (tag.clone(), format!("-p image --ref {}", digest(&subject))),
        (format!("app:{tag}"), format!("-p image --ref {}", digest(&subject))),
        (format!("app:{tag}"), format!("-p image/app@{}", digest(&subject))),
    ] {
        let entry = |referrer: &Value| named(&bare(referrer), &format!("app@{}", digest(referrer)));
        list(&sandbox, &[&named(&subject, "app:v1"), &named(&fallback, &name), &entry(&both), &entry(&new)]);
        let outcome = sandbox.run(&format!("layout referrer list {words}"));
        let warning =
            format!("Warning: blob {} referenced by {} does not exist\n", digest(&missing), digest(&fallback));
        outcome.succeeds(lines(&[&both, &old, &new, &missing]), warning);
        let outcome = sandbox.run(&format!("layout referrer list {words} --artifact-type a/missing --json"));
        assert_eq!(outcome.json()["manifests"], json!([missing]));
    }
}

#[test]
fn an_unreadable_document_is_a_warning() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let sbom = refer(&sandbox, &subject, "a/sbom");
    let missing = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"missing"), "size": 7});
    let altered = refer(&sandbox, &sbom, "a/altered");
    let mut content = sandbox.blob(digest(&altered));
    content[0] = b'[';
    sandbox.write(&blob_name(digest(&altered)), &content);
    let broken = blob(&sandbox, INDEX_TYPE, "{}");
    list(&sandbox, &[&missing, &bare(&altered), &broken, &bare(&sbom), &named(&subject, "v1")]);
    let warnings = [
        format!("blob {} referenced by index.json does not exist", digest(&missing)),
        format!("digest mismatch for {0}: expected {0}, got {1}", digest(&altered), sha256(&content)),
        format!("{} is not a valid image index: missing field `schemaVersion` at line 1, column 2", digest(&broken)),
    ];
    let before = sandbox.tree();
    let stderr: String = warnings.iter().map(|warning| format!("Warning: {warning}\n")).collect();
    sandbox.run(&format!("{LIST} --ref v1")).succeeds(lines(&[&sbom]), &stderr);
    let outcome = sandbox.run(&format!("{LIST} --ref v1 --json"));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let mut expected = answer(&[&sbom]);
    expected["warnings"] = json!(warnings);
    assert_eq!(outcome.json(), expected);
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn null_layers_and_cycles_are_no_obstacle() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let content = with(about(&sandbox, &subject, "a/b"), json!({"layers": null}));
    let referrer = with(document(&sandbox, &content), json!({"artifactType": "a/b"}));
    let (one, two) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let entry = |digest: &str| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": 2});
    sandbox.write(&blob_name(&one), index(&[&entry(&two), &bare(&referrer)]).to_string());
    sandbox.write(&blob_name(&two), index(&[&entry(&one)]).to_string());
    list(&sandbox, &[&entry(&one), &bare(&referrer), &named(&subject, "v1")]);
    let outcome = sandbox.run(&format!("{LIST} --ref v1"));
    assert_eq!((outcome.status, outcome.stdout), (0, lines(&[&referrer])));
    // A manifest can only be its own subject if its digest is wrong.
    sandbox.write(&blob_name(&one), with(about(&sandbox, &entry(&one), "a/b"), json!({})).to_string());
    list(&sandbox, &[&with(entry(&one), json!({"mediaType": MANIFEST_TYPE}))]);
    let outcome = sandbox.run(&format!("{LIST} --ref {one}"));
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
}

#[test]
fn control_characters_in_a_type_are_escaped() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let referrer = refer(&sandbox, &subject, "a/\u{1b}[2J\nb");
    list(&sandbox, &[&bare(&referrer), &named(&subject, "v1")]);
    sandbox
        .run(&format!("{LIST} --ref v1"))
        .succeeds(format!("{}  {}  a/\\u{{1b}}[2J\\nb\n", digest(&referrer), size(&referrer)), "");
}

#[test]
fn the_subject_may_be_of_another_algorithm_and_no_layout_is_needed_for_it() {
    let sandbox = Sandbox::new();
    let sha512 = format!("sha512:{}", "ab".repeat(64));
    let subject = json!({"mediaType": MANIFEST_TYPE, "digest": sha512, "size": 5});
    let sbom = refer(&sandbox, &subject, "a/sbom");
    list(&sandbox, &[&bare(&sbom)]);
    assert_eq!(sandbox.ok_json(&format!("{LIST} --ref {sha512}")), answer(&[&sbom]));
    fs::remove_file(sandbox.path(blob_name(digest(&sbom)))).expect("removed");
    sandbox
        .run(&format!("{LIST} --ref {sha512}"))
        .succeeds("", format!("Warning: blob {} referenced by index.json does not exist\n", digest(&sbom)));
}

#[test]
fn an_artifact_manifest_is_a_referrer_too() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let artifact = artifact(&sandbox, &subject, &[&blob(&sandbox, "application/spdx+json", "sbom")]);
    let expected = with(
        bare(&artifact),
        json!({"artifactType": "application/spdx+json", "annotations": {"com.example.key": "value"}}),
    );
    for entry in [artifact.clone(), document(&sandbox, &index(&[&artifact]))] {
        list(&sandbox, &[&named(&subject, "v1"), &entry]);
        assert_eq!(sandbox.ok_json(&format!("{LIST} --ref v1")), answer(&[&expected]));
        sandbox
            .run(&format!("{LIST} --ref v1 --artifact-type application/spdx+json"))
            .succeeds(lines(&[&expected]), "");
        assert_eq!(sandbox.ok_json(&format!("{LIST} --ref v1 --artifact-type a/b")), answer(&[]));
    }
}
