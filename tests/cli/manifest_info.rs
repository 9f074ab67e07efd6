//! `layout manifest info`

use serde_json::json;

use crate::registry::*;
use crate::support::*;

const INFO: &str = "layout manifest info --path image";

#[test]
fn an_image_is_shown_with_its_platform_and_its_tags() {
    let (sandbox, image) = with_image("v2");
    list(
        &sandbox,
        &[
            &named(&image, "v2"),
            &image,
            &named(&config(&sandbox, "amd64"), "x"),
            &named(&image, "v1"),
            &named(&image, "v2"),
        ],
    );
    let before = sandbox.tree();
    let expected = format!(
        "Manifest:\n         digest: {}\n           size: {}\n     media-type: {MANIFEST_TYPE}\n       platform: linux/amd64\n           tags: v1, v2\n",
        digest(&image),
        size(&image)
    );
    for words in
        ["-p image --ref v1", "-p image:v2", "-p image --ref v1 -q", "-p image --ref v1 --platform linux/amd64"]
    {
        sandbox.run(&format!("layout manifest info {words}")).succeeds(&expected, "");
    }
    assert_eq!(
        sandbox.ok_json(&format!("{INFO} --ref v1")),
        json!({
            "digest": image["digest"], "size": image["size"], "media_type": MANIFEST_TYPE, "platform": "linux/amd64",
            "tags": ["v1", "v2"], "annotations": {}, "descriptor_annotations": {REF_NAME: "v1"},
        })
    );
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn an_artifact_is_shown_with_its_type_its_subject_and_its_annotations() {
    let sandbox = Sandbox::new();
    let subject = image(&sandbox, "amd64");
    let content =
        with(about(&sandbox, &subject, "application/spdx+json"), json!({"annotations": {"b": "2\u{1b}", "a": "1"}}));
    let sbom = document(&sandbox, &content);
    let entry =
        with(sbom.clone(), json!({"annotations": {REF_NAME: "app:sbom", "c": "3"}, "artifactType": "other/type"}));
    list(&sandbox, &[&entry]);
    sandbox.run(&format!("{INFO} --repo app --ref sbom")).succeeds(
        format!(
            "Manifest:\n         digest: {}\n           size: {}\n     media-type: {MANIFEST_TYPE}\n  artifact-type: application/spdx+json\n        subject: {}\n           tags: app:sbom\n  annotations:\n    a = 1\n    b = 2\\u{{1b}}\n",
            digest(&sbom),
            size(&sbom),
            digest(&subject)
        ),
        "",
    );
    assert_eq!(
        sandbox.ok_json("layout manifest info -p image/app:sbom"),
        json!({
            "digest": sbom["digest"], "size": sbom["size"], "media_type": MANIFEST_TYPE, "artifact_type": "application/spdx+json",
            "subject": subject["digest"], "tags": ["app:sbom"], "annotations": {"a": "1", "b": "2\u{1b}"},
            "descriptor_annotations": {REF_NAME: "app:sbom", "c": "3"},
        })
    );
    // Without a type in the manifest, that of its descriptor is shown.
    let plain = document(&sandbox, &manifest(&blob(&sandbox, EMPTY_TYPE, "{}"), &[]));
    list(&sandbox, &[&with(plain, json!({"artifactType": "other/type"}))]);
    assert_eq!(
        sandbox.ok_json(&format!("{INFO} --ref {}", &digest(&listed(&sandbox)[0])[..15]))["artifact_type"],
        "other/type"
    );
}

#[test]
fn an_index_is_shown_with_the_platforms_in_it() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| image(&sandbox, architecture));
    let arm64 = with(
        arm64,
        json!({"platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}, "annotations": {"k": "v"}}),
    );
    let all = document(&sandbox, &with(index(&[&on(&amd64, "amd64"), &arm64]), json!({"annotations": {"a": "1"}})));
    list(&sandbox, &[&named(&all, "v1")]);
    sandbox.run(&format!("{INFO} --ref v1")).succeeds(
        format!(
            "Manifest:\n         digest: {}\n           size: {}\n     media-type: {INDEX_TYPE}\n      platforms: linux/amd64, linux/arm64/v8\n           tags: v1\n  annotations:\n    a = 1\n",
            digest(&all),
            size(&all)
        ),
        "",
    );
    assert_eq!(
        sandbox.ok_json(&format!("{INFO} --ref v1")),
        json!({
            "digest": all["digest"], "size": all["size"], "media_type": INDEX_TYPE, "platforms": ["linux/amd64", "linux/arm64/v8"],
            "tags": ["v1"], "annotations": {"a": "1"}, "descriptor_annotations": {REF_NAME: "v1"},
        })
    );
    let part = json!({
        "digest": arm64["digest"], "size": arm64["size"], "media_type": MANIFEST_TYPE, "platform": "linux/arm64/v8",
        "tags": [], "annotations": {}, "descriptor_annotations": {"k": "v"},
    });
    assert_eq!(sandbox.ok_json(&format!("{INFO} --ref v1 --platform linux/arm64")), part);
    assert_eq!(sandbox.ok_json(&format!("{INFO} --ref {}", digest(&arm64))), part);
}

#[test]
fn an_attestation_is_shown_with_its_own_type() {
    let sandbox = Sandbox::new();
    let amd64 = image(&sandbox, "amd64");
    let annotations =
        json!({"vnd.docker.reference.digest": amd64["digest"], "vnd.docker.reference.type": "attestation-manifest"});
    let attestation = with(
        image(&sandbox, "unknown"),
        json!({"platform": {"architecture": "unknown", "os": "unknown"}, "annotations": annotations}),
    );
    let all = document(&sandbox, &index(&[&on(&amd64, "amd64"), &attestation]));
    list(&sandbox, &[&named(&all, "v1")]);
    let value = sandbox.ok_json(&format!("{INFO} --ref {}", digest(&attestation)));
    assert_eq!(value["descriptor_annotations"], annotations);
    // The attestation is not counted as a platform of the image.
    assert_eq!(sandbox.ok_json(&format!("{INFO} --ref v1"))["platforms"], json!(["linux/amd64"]));
}

#[test]
fn documents_of_unknown_types_are_shown_and_broken_ones_are_not() {
    let sandbox = Sandbox::new();
    let thing = blob(&sandbox, "application/x-thing", "not JSON");
    let broken = blob(&sandbox, MANIFEST_TYPE, "{}");
    let missing = json!({"mediaType": MANIFEST_TYPE, "digest": sha256(b"missing"), "size": 7});
    list(&sandbox, &[&named(&thing, "thing"), &named(&broken, "broken"), &named(&missing, "missing")]);
    sandbox.run(&format!("{INFO} --ref thing")).succeeds(
        format!(
            "Manifest:\n         digest: {}\n           size: 8\n     media-type: application/x-thing\n           tags: thing\n",
            digest(&thing)
        ),
        "",
    );
    let before = sandbox.tree();
    sandbox.run(&format!("{INFO} --ref broken")).fails_with(
        1,
        predicates::str::starts_with(format!("Error: {} is not a valid image manifest: ", digest(&broken))),
    );
    sandbox.refuses(
        &format!("{INFO} --ref missing"),
        &format!("blob {} referenced by index.json does not exist (BLOB_UNKNOWN)", digest(&missing)),
    );
    sandbox.refuses(&format!("{INFO} --ref none"), &format!("image has no manifest 'none' {SEE_TAGS}"));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn an_artifact_without_a_type_has_that_of_its_config() {
    let sandbox = Sandbox::new();
    let config = blob(&sandbox, "application/vnd.cncf.helm.config.v1+json", "{}");
    let chart = document(&sandbox, &manifest(&config, &[]));
    list(&sandbox, &[&named(&chart, "chart")]);
    sandbox.run(&format!("{INFO} --ref chart")).succeeds(
        format!(
            "Manifest:\n         digest: {}\n           size: {}\n     media-type: {MANIFEST_TYPE}\n  artifact-type: application/vnd.cncf.helm.config.v1+json\n           tags: chart\n",
            digest(&chart),
            size(&chart)
        ),
        "",
    );
    let kind = |sandbox: &Sandbox| sandbox.ok_json(&format!("{INFO} --ref chart"))["artifact_type"].clone();
    assert_eq!(kind(&sandbox), "application/vnd.cncf.helm.config.v1+json");
    // The entry may have another type; the config type of an image or an empty config is not a type.
    list(&sandbox, &[&with(named(&chart, "chart"), json!({"artifactType": "a/b"}))]);
    assert_eq!(kind(&sandbox), "a/b");
    let empty = document(&sandbox, &manifest(&blob(&sandbox, EMPTY_TYPE, "{}"), &[]));
    for other in [empty, image(&sandbox, "amd64")] {
        list(&sandbox, &[&named(&other, "chart")]);
        assert_eq!(kind(&sandbox), json!(null));
    }
}

#[test]
fn the_config_of_an_image_is_a_block_of_its_own() {
    let sandbox = Sandbox::built();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z", "author": "Example Ltd.",
        "config": {
            "Entrypoint": ["/app"], "Cmd": ["--port", "80"], "Env": ["PATH=/bin", "A=b"], "User": "33:33",
            "WorkingDir": "/srv", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGTERM",
            "Healthcheck": {"Test": ["CMD", "/check"]},
            "Labels": {"team": "\u{1b}[31mx"}
        },
        "history": [{"created_by": "COPY app /"}, {"comment": "nothing", "empty_layer": true}, {}],
        "rootfs": {"type": "layers", "diff_ids": [BASE_DIFF_ID, PATCHES_DIFF_ID]}
    });
    let bytes = config.to_string();
    let digest = sandbox.store(&bytes);
    let mut manifest = sandbox.blob_json(MANIFEST);
    manifest["config"]["digest"] = json!(digest);
    manifest["config"]["size"] = json!(bytes.len());
    sandbox.write("m.json", manifest.to_string());
    sandbox.ok("layout manifest put -p image -f m.json --tag app");
    let text = sandbox.ok("layout manifest info image:app");
    let block = text.split("\n\n").nth(1).expect("a block");
    assert_eq!(
        block,
        "Config:
        created: 2024-01-02T03:04:05Z
     entrypoint: [\"/app\"]
            cmd: [\"--port\", \"80\"]
           user: 33:33
        workdir: /srv
          ports: 80/tcp
        volumes: /data
    stop-signal: SIGTERM
    healthcheck: {\"Test\":[\"CMD\",\"/check\"]}
         author: Example Ltd.
  env:
    PATH=/bin
    A=b
  labels:
    team = \\u{1b}[31mx
  history:
    COPY app /
    nothing (no layer)
    -
"
    );
    let value = sandbox.ok_json("layout manifest info image:app");
    assert_eq!(value["config"]["entrypoint"], json!(["/app"]));
    assert_eq!(value["config"]["healthcheck"], json!({"Test": ["CMD", "/check"]}));
    assert_eq!(value["config"]["labels"], json!({"team": "\u{1b}[31mx"}));
    assert_eq!(value["config"]["history"][1], json!({"comment": "nothing", "empty_layer": true}));
    // A config without these fields has no block.
    assert!(!sandbox.ok("layout manifest info image:latest").contains("Config:"));
}
