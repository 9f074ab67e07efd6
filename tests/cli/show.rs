//! `layout show`

use serde_json::json;

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
