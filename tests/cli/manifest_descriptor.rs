//! `layout manifest descriptor`

use serde_json::json;

use crate::registry::*;
use crate::support::*;

const DESCRIPTOR: &str = "layout manifest descriptor --path image";

#[test]
fn of_several_entries_of_a_manifest_the_first_is_shown_in_full() {
    let sandbox = Sandbox::new();
    let one = image(&sandbox, "amd64");
    sandbox.write(
        "image/index.json",
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"x-own":1.50,"platform":{{"os":"linux","architecture":"amd64"}},"annotations":{{"{REF_NAME}":"v1","a":"\u009b"}},"size":{},"digest":"{}","mediaType":"{MANIFEST_TYPE}","data":"e30=","artifactType":"a/b"}},{}]}}"#,
            size(&one),
            digest(&one),
            named(&one, "v1")
        ),
    );
    let expected = format!(
        r#"{{
  "mediaType": "{MANIFEST_TYPE}",
  "digest": "{}",
  "size": {},
  "annotations": {{
    "a": "\u009b",
    "{REF_NAME}": "v1"
  }},
  "data": "e30=",
  "artifactType": "a/b",
  "platform": {{
    "architecture": "amd64",
    "os": "linux"
  }},
  "x-own": 1.50
}}
"#,
        digest(&one),
        size(&one)
    );
    let before = sandbox.tree();
    for words in ["--ref v1", "--ref v1 --json", "--ref v1 -q", "--repo app --default-repo app --ref v1"] {
        sandbox.run(&format!("{DESCRIPTOR} {words}")).succeeds(&expected, "");
    }
    sandbox.run(&format!("{DESCRIPTOR} --ref {}", digest(&one))).succeeds(&expected, "");
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn a_manifest_in_an_index_is_shown_with_its_platform() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let arm64_part = with(on(&arm64, "arm64"), json!({"annotations": {"a": "1"}, "x-own": [1]}));
    let inner = document(&sandbox, &index(&[&arm64_part]));
    let outer = document(&sandbox, &index(&[&on(&amd64, "amd64"), &inner]));
    list(&sandbox, &[&named(&outer, "app:v1"), &named(&amd64, "app:x")]);
    for words in [format!("--ref {}", digest(&arm64)), "--ref app:v1 --platform linux/arm64".to_owned()] {
        assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} {words}")), arm64_part);
    }
    // An entry of index.json has priority over a manifest in a nested index.
    assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} --ref {}", digest(&amd64))), named(&amd64, "app:x"));
    assert_eq!(
        sandbox.ok_json(&format!("{DESCRIPTOR} --repo app --ref v1 --platform linux/amd64")),
        on(&amd64, "amd64")
    );
    assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} --ref app:v1")), named(&outer, "app:v1"));
}

#[test]
fn the_manifest_itself_is_not_read() {
    let (sandbox, image) = with_image("v1");
    std::fs::remove_file(sandbox.path(blob_name(digest(&image)))).expect("removed");
    for reference in ["v1", digest(&image), &digest(&image)[..20]] {
        assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} --ref {reference}")), named(&image, "v1"));
    }
}

#[test]
fn layers_and_configs_are_no_manifests() {
    let (sandbox, _) = with_image("app:v1");
    for part in [config(&sandbox, "amd64"), layer(&sandbox)] {
        for words in [format!("--ref {}", digest(&part)), format!("--repo app --ref {}", digest(&part))] {
            sandbox.refuses(
                &format!("{DESCRIPTOR} {words}"),
                &format!("image has no manifest '{}' {SEE_TAGS}", digest(&part)),
            );
        }
    }
}

#[test]
fn a_lookup_in_cyclic_indexes_ends() {
    let sandbox = Sandbox::new();
    let (one, two) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let entry = |digest: &str| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": 2});
    sandbox.write(&blob_name(&one), index(&[&entry(&two), &entry(&one)]).to_string());
    sandbox.write(&blob_name(&two), index(&[&entry(&one)]).to_string());
    list(&sandbox, &[&named(&entry(&one), "v1")]);
    sandbox.refuses(&format!("{DESCRIPTOR} --ref abcdef"), &format!("image has no manifest 'abcdef' {SEE_TAGS}"));
    // Such indexes are corrupt, which is reported if the manifest might be in them.
    let actual = sha256(index(&[&entry(&two), &entry(&one)]).to_string().as_bytes());
    sandbox.refuses(
        &format!("{DESCRIPTOR} --ref {}", sha256(b"missing")),
        &format!("digest mismatch for {one}: expected {one}, got {actual} (DIGEST_INVALID)"),
    );
    // Deep nesting is supported.
    let mut inner = image(&sandbox, "amd64");
    let deepest = inner.clone();
    for _ in 0..300 {
        inner = document(&sandbox, &index(&[&inner]));
    }
    list(&sandbox, &[&inner]);
    assert_eq!(sandbox.ok_json(&format!("{DESCRIPTOR} --ref {}", digest(&deepest))), deepest);
}
