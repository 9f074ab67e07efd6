//! `layout config get`

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const GET: &str = "layout config get --path image";

/// Stores an image whose config has further fields, and returns its entry.
fn image_with(sandbox: &Sandbox, fields: Value) -> Value {
    let layer = layer(sandbox);
    let config = serde_json::from_slice(&sandbox.blob(digest(&config(sandbox, "amd64")))).expect("JSON");
    let config = blob(sandbox, CONFIG_TYPE, &with(config, fields).to_string());
    document(sandbox, &manifest(&config, &[&layer]))
}

#[test]
fn a_config_is_printed_whole_or_by_field() {
    let sandbox = Sandbox::new();
    let image = image_with(
        &sandbox,
        json!({
            "variant": "v1", "created": null, "x": {"y": 1},
            "config": {"Entrypoint": ["/app"], "Env": [], "User": "", "Cmd": null, "Hostname": "h", "x": 2},
        }),
    );
    list(&sandbox, &[&named(&image, "v1")]);
    let diff_id = layer(&sandbox)["digest"].clone();
    let before = sandbox.tree();
    let whole = format!(
        "{{
  \"architecture\": \"amd64\",
  \"config\": {{
    \"Cmd\": null,
    \"Entrypoint\": [
      \"/app\"
    ],
    \"Env\": [],
    \"Hostname\": \"h\",
    \"User\": \"\",
    \"x\": 2
  }},
  \"created\": null,
  \"os\": \"linux\",
  \"rootfs\": {{
    \"diff_ids\": [
      {diff_id}
    ],
    \"type\": \"layers\"
  }},
  \"variant\": \"v1\",
  \"x\": {{
    \"y\": 1
  }}
}}
"
    );
    for words in ["-p image:v1", "-p image --ref v1", "-p image", "-p image:v1 --json", "-p image -q"] {
        sandbox.run(&format!("layout config get {words}")).succeeds(&whole, "");
    }
    for (field, text) in [
        ("Entrypoint", "[\n  \"/app\"\n]"),
        ("Env", "[]"),
        ("User", "\"\""),
        ("Hostname", "\"h\""),
        ("os", "\"linux\""),
        ("variant", "\"v1\""),
        ("x", "{\n  \"y\": 1\n}"),
    ] {
        sandbox.run(&format!("{GET}:v1 {field}")).succeeds(format!("{text}\n"), "");
    }
    // A field that is not set, or null, is an answer that scripts can tell from others.
    for field in ["Labels", "Cmd", "created", "os.version", "z"] {
        let message = format!("Error: the config of 'v1' has no {field}\n");
        sandbox.run(&format!("{GET}:v1 {field}")).is(3, "", message);
    }
    let error = json!({"error": {"code": "FIELD_UNKNOWN", "message": "the config of 'v1' has no Labels"}});
    sandbox.run(&format!("{GET}:v1 Labels --json")).is(3, "", format!("{error}\n"));
    let fault = "'env' is not a field of image configs; use Env";
    let error = format!("error: invalid value 'env' for '[FIELD]': {fault}\n");
    sandbox.run(&format!("{GET}:v1 env")).fails_with(2, predicates::str::starts_with(error));
    sandbox.run(&format!("{GET}:v2")).is(3, "", format!("Error: image has no manifest 'v2' {SEE_TAGS}\n"));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn an_index_needs_a_platform_if_it_has_several_images() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let annotations =
        json!({"vnd.docker.reference.digest": amd64["digest"], "vnd.docker.reference.type": "attestation-manifest"});
    let attestation = with(
        image(&sandbox, "unknown"),
        json!({"platform": {"architecture": "unknown", "os": "unknown"}, "annotations": annotations}),
    );
    let sbom = document(&sandbox, &about(&sandbox, &amd64, "application/spdx+json"));
    let one = document(&sandbox, &index(&[&on(&amd64, "amd64"), &attestation, &sbom]));
    let nested = document(&sandbox, &index(&[&one]));
    let several = document(&sandbox, &index(&[&nested, &arm64, &on(&amd64, "amd64")]));
    let none = document(&sandbox, &index(&[&sbom, &attestation]));
    let entries = [(&one, "one"), (&nested, "nested"), (&several, "several"), (&none, "none")];
    let entries = entries.map(|(entry, name)| named(entry, name));
    list(&sandbox, &entries.each_ref());
    for words in ["one", "nested", "several --platform linux/amd64"] {
        assert_eq!(sandbox.ok_json(&format!("{GET}:{words}"))["architecture"], "amd64");
    }
    sandbox.run(&format!("{GET}:several architecture --platform arm64")).succeeds("\"arm64\"\n", "");
    sandbox.refuses(
        &format!("{GET}:several"),
        "'several' has images for linux/amd64, linux/arm64; choose one with --platform",
    );
    sandbox.refuses(&format!("{GET}:none"), "'none' is an index without images");
    sandbox.run(&format!("{GET}:several --platform linux/s390x")).is(
        3,
        "",
        "Error: no linux/s390x image in 'several'; it has linux/amd64, linux/arm64 (MANIFEST_UNKNOWN)\n",
    );
}

#[test]
fn the_config_of_an_artifact_is_the_json_that_it_is() {
    let sandbox = Sandbox::new();
    let of = |content: &str| {
        let config = blob(&sandbox, "application/vnd.example.config", content);
        document(&sandbox, &manifest(&config, &[]))
    };
    let empty = document(&sandbox, &about(&sandbox, &image(&sandbox, "amd64"), "application/spdx+json"));
    let entries = [(of(r#"[1,{"b":1.50}]"#), "array"), (of("name: x"), "yaml"), (of(r#"{"name":"x"}"#), "json")];
    let entries = entries.map(|(entry, name)| named(&entry, name));
    list(&sandbox, &[&entries[0], &entries[1], &entries[2], &named(&empty, "empty")]);
    sandbox.run(&format!("{GET}:array")).succeeds("[\n  1,\n  {\n    \"b\": 1.50\n  }\n]\n", "");
    sandbox.run(&format!("{GET}:json name")).succeeds("\"x\"\n", "");
    sandbox.run(&format!("{GET}:empty")).succeeds("{}\n", "");
    sandbox
        .run(&format!("{GET}:yaml"))
        .fails_with(1, predicates::str::starts_with("Error: the config of 'yaml' is not JSON: "));
    sandbox
        .run(&format!("{GET}:array name"))
        .fails_with(1, predicates::str::starts_with("Error: the config of 'array' is not JSON: "));
}

#[test]
fn a_config_that_is_not_stored_or_damaged_is_not_printed() {
    let sandbox = Sandbox::built();
    sandbox.write(&blob_name(CONFIG), "{}");
    sandbox.run(&format!("{GET}:latest")).fails_with(
        1,
        predicates::str::starts_with(format!("Error: digest mismatch for {CONFIG}: expected {CONFIG}, got ")),
    );
    std::fs::remove_file(sandbox.path(blob_name(CONFIG))).expect("removed");
    let message = format!("blob {CONFIG} referenced by {MANIFEST} does not exist (BLOB_UNKNOWN)");
    sandbox.refuses(&format!("{GET}:latest"), &message);
}

#[test]
fn a_printed_config_can_be_given_back() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout update config -p image -q --env A=1 --author a --entrypoint /app --history x");
    let before = sandbox.stage()["config"]["digest"].clone();
    sandbox.ok("layout generate manifest -p image -q --ref-name latest");
    sandbox.write("config.json", sandbox.ok(&format!("{GET}:latest")));
    sandbox.ok("layout update config -p image -q --config-file config.json");
    assert_eq!(sandbox.stage()["config"]["digest"], before);
}
