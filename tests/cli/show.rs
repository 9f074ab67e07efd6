//! `layout show`

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn a_new_layout_shows_an_empty_index() {
    let expected =
        format!("{{\n  \"schemaVersion\": 2,\n  \"mediaType\": \"{INDEX_TYPE}\",\n  \"manifests\": []\n}}\n");
    let sandbox = Sandbox::new();
    sandbox.run("layout show --path image").succeeds(&expected, "");
    sandbox.run("layout show --path image --json").succeeds(&expected, "");
}

#[test]
fn fields_come_in_the_specs_order_and_unknown_ones_after_them() {
    let sandbox = Sandbox::new();
    let digest = sandbox.store("{}");
    sandbox.write(
        "image/index.json",
        format!(
            r#"{{"x-first":[1.50],"annotations":{{"k":"v"}},"manifests":[{{"x-own":true,"platform":{{"variant":"v8","os":"linux","architecture":"arm64"}},"data":"e30=","annotations":{{"b":"2","a":"1"}},"urls":["https://example.com/x"],"size":2,"digest":"{digest}","mediaType":"application/x-thing","artifactType":"a/b"}}],"schemaVersion":2}}"#
        ),
    );
    let expected = format!(
        r#"{{
  "schemaVersion": 2,
  "manifests": [
    {{
      "mediaType": "application/x-thing",
      "digest": "{digest}",
      "size": 2,
      "urls": [
        "https://example.com/x"
      ],
      "annotations": {{
        "a": "1",
        "b": "2"
      }},
      "data": "e30=",
      "artifactType": "a/b",
      "platform": {{
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8"
      }},
      "x-own": true
    }}
  ],
  "annotations": {{
    "k": "v"
  }},
  "x-first": [
    1.50
  ]
}}
"#
    );
    sandbox.run("layout show --path image").succeeds(&expected, "");
    sandbox.run("layout show --path image --json").succeeds(&expected, "");
}

#[test]
fn an_index_without_a_media_type_or_entries_is_shown() {
    let sandbox = Sandbox::new();
    for (content, manifests) in
        [(r#"{"schemaVersion":2,"manifests":[]}"#, json!([])), (r#"{"manifests":null,"schemaVersion":2}"#, json!([]))]
    {
        sandbox.write("image/index.json", content);
        assert_eq!(sandbox.ok_json("layout show --path image"), json!({"schemaVersion": 2, "manifests": manifests}));
    }
}

#[test]
fn one_image_is_shown_as_its_document_or_its_tree() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout update config -p image --architecture arm64 -q");
    sandbox.ok("layout generate manifest -p image --ref-name arm -q");
    let digest = sandbox.index()["manifests"][1]["digest"].as_str().expect("a digest").to_owned();
    for path in ["image:arm".to_owned(), format!("image@{digest}"), format!("image@{}", &digest[..12])] {
        let shown = sandbox.ok(&format!("layout show {path}"));
        assert!(shown.starts_with("{\n  \"schemaVersion\": 2,\n  \"mediaType\""), "{shown}");
        let value: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(value, sandbox.blob_json(&digest));
        assert_eq!(sandbox.ok_json(&format!("layout show {path}")), value);
        let tree = sandbox.ok_json(&format!("layout show {path} --tree"));
        assert_eq!(
            (&tree["roots"][0]["digest"], &tree["roots"][1], &tree["totals"]["images"]),
            (&json!(digest), &Value::Null, &1.into())
        );
    }
}

#[test]
fn the_tree_of_an_image_has_its_referrers_and_nothing_of_others() {
    let sandbox = Sandbox::built();
    let digest = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let empty =
        sandbox.ok_json("layout blob upload -p image -f base.tar")["digest"].as_str().expect("a digest").to_owned();
    let size = sandbox.read("base.tar").len();
    let config = format!(r#"{{"mediaType":"application/x","digest":"{empty}","size":{size}}}"#);
    let subject = format!(r#"{{"mediaType":"{MANIFEST_TYPE}","digest":"{digest}","size":{MANIFEST_SIZE}}}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","artifactType":"application/sbom","config":{config},"layers":[],"subject":{subject}}}"#
    );
    sandbox.write("sbom.json", &manifest);
    sandbox.ok("layout manifest put -p image -f sbom.json");
    sandbox.ok("layout update config -p image --architecture arm64 -q");
    sandbox.ok("layout generate manifest -p image --ref-name arm -q");
    let tree = sandbox.ok_json("layout show image:latest --tree");
    assert_eq!(tree["roots"].as_array().map(Vec::len), Some(1), "{tree}");
    assert_eq!(tree["roots"][0]["referrers"][0]["digest"], sha256(manifest.as_bytes()));
    assert_eq!(tree["totals"]["images"], 1);
    let other = sandbox.ok_json("layout show image:arm --tree");
    assert!(other["roots"][0]["referrers"].is_null() && other["totals"]["images"] == 1, "{other}");
}
