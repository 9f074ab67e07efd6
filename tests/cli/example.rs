//! The reference's full example: eleven steps, each compared as a whole, and then the bytes on disk.

use serde_json::json;

use crate::support::*;

/// The config after step 7: [`CONFIG_ARM64`] is the digest of its compact form.
fn config() -> serde_json::Value {
    json!({
        "architecture": "arm64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [BASE_DIFF_ID, PATCHES_DIFF_ID]},
    })
}

#[test]
fn the_full_example_makes_an_image_step_by_step() {
    let sandbox = Sandbox::empty();
    sandbox.write("rootfs.tar", base_tar());
    sandbox.write("patches.tar.gz", gzip(&patches_tar()));

    // 1. Initialise the layout.
    sandbox.run("layout init --path ./image").succeeds("Initialised OCI Image Layout at ./image\n", "");
    assert_eq!(sandbox.text("image/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(sandbox.index(), json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}));
    assert_eq!(sandbox.stage(), json!({"schema_version": 1, "layers": [], "config": null, "manifest": null}));
    sandbox.has_blobs([]);

    // 2. Add the base layer, which gets compressed.
    let words = "layout add layer --path ./image --file ./rootfs.tar --annotation com.example.layer.role=base";
    sandbox
        .run(words)
        .succeeds(staged_layer(BASE, BASE_SIZE, GZIP_TYPE), "Input file is not compressed. Compressing with gzip...\n");
    assert_eq!(gunzip(&sandbox.blob(BASE)), base_tar());

    // 3. Add a second layer, which is stored unchanged.
    sandbox
        .run("layout add layer --path ./image --file ./patches.tar.gz")
        .succeeds(staged_layer(PATCHES, PATCHES_SIZE, GZIP_TYPE), "");
    assert_eq!(sandbox.blob(PATCHES), gzip(&patches_tar()));

    // 4. Annotate the staged layer.
    let words = "layout annotate layer --path ./image --index 1 --annotation com.example.layer.role=patches";
    sandbox.run(words).succeeds(
        format!(
            "Updated layer [1]:\n  digest: {PATCHES}\n    type: {GZIP_TYPE}\n  annotations:\n    com.example.layer.role = patches\n"
        ),
        "",
    );

    // 5. Show the staging state.
    sandbox.run("layout status --path ./image").succeeds(
        format!(
            "Staging state for ./image:\n\n  Layers (2):\n    [0] {BASE} ( {BASE_SIZE} bytes, {GZIP_TYPE})\n    [1] {PATCHES} ({PATCHES_SIZE} bytes, {GZIP_TYPE})\n\n  Config:\n    (not yet generated)\n\n  Manifest:\n    (not yet generated)\n"
        ),
        "",
    );

    // 6. Generate the config.
    sandbox.run("layout generate config --path ./image --architecture amd64 --os linux").succeeds(
        format!("Generated config:\n  digest: {CONFIG}\n    size: {CONFIG_SIZE}\n    type: {CONFIG_TYPE}\n"),
        "",
    );
    sandbox.has_blobs([BASE, PATCHES, CONFIG]);

    // 7. Correct the architecture.
    sandbox.run("layout update config --path ./image --architecture arm64").succeeds(
        format!("Updated config:\n  digest: {CONFIG_ARM64}\n    size: {CONFIG_ARM64_SIZE}\n    type: {CONFIG_TYPE}\n"),
        "",
    );
    sandbox.has_blobs([BASE, PATCHES, CONFIG_ARM64]);
    assert_eq!(sandbox.blob(CONFIG_ARM64), config().to_string().as_bytes());
    assert_eq!(sha256(&base_tar()), BASE_DIFF_ID);
    assert_eq!(sha256(&patches_tar()), PATCHES_DIFF_ID);

    // 8. Generate the manifest and its entry.
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": CONFIG_ARM64, "size": CONFIG_ARM64_SIZE},
        "layers": [
            {"mediaType": GZIP_TYPE, "digest": BASE, "size": BASE_SIZE,
             "annotations": {"com.example.layer.role": "base"}},
            {"mediaType": GZIP_TYPE, "digest": PATCHES, "size": PATCHES_SIZE,
             "annotations": {"com.example.layer.role": "patches"}},
        ],
        "annotations": {"org.opencontainers.image.version": "1.0.0"},
    });
    // Blobs are compact JSON with sorted keys, which is the format of `Value`.
    let bytes = manifest.to_string();
    let (digest, size) = (sha256(bytes.as_bytes()), bytes.len());
    sandbox
        .run("layout generate manifest --path ./image --ref-name latest --annotation org.opencontainers.image.version=1.0.0")
        .succeeds(
            format!(
                "Generated manifest:\n      digest: {digest}\n        size: {size}\n  media-type: {MANIFEST_TYPE}\n    ref-name: latest\n"
            ),
            "",
        );
    assert_eq!(digest, "sha256:6b19660c080bbfba0b4bc96ea8d6f1764f88a7af3b3d03fc387ed3abd6b499db");
    sandbox.has_blobs([BASE, PATCHES, CONFIG_ARM64, &digest]);
    assert_eq!(sandbox.blob(&digest), bytes.as_bytes());

    // 9. Annotate the generated manifest: its new digest replaces the old one.
    manifest["annotations"]["org.opencontainers.image.created"] = json!("2026-03-08");
    let bytes = manifest.to_string();
    let (digest, size) = (sha256(bytes.as_bytes()), bytes.len());
    sandbox.run("layout annotate manifest --path ./image --annotation org.opencontainers.image.created=2026-03-08").succeeds(
        format!(
            "Updated manifest:\n      digest: {digest}\n        size: {size}\n  media-type: {MANIFEST_TYPE}\n    ref-name: latest\n  annotations:\n    org.opencontainers.image.created = 2026-03-08\n    org.opencontainers.image.version = 1.0.0\n"
        ),
        "",
    );
    assert_eq!(digest, "sha256:baa867785f9fbaf63a4e2b481b835748e10a5553bc684aeaab91c65c2859c92a");
    sandbox.has_blobs([BASE, PATCHES, CONFIG_ARM64, &digest]);
    assert_eq!(sandbox.blob(&digest), bytes.as_bytes());

    // 10. Show index.json.
    let index = format!(
        r#"{{
  "schemaVersion": 2,
  "mediaType": "{INDEX_TYPE}",
  "manifests": [
    {{
      "mediaType": "{MANIFEST_TYPE}",
      "digest": "{digest}",
      "size": {size},
      "annotations": {{
        "org.opencontainers.image.ref.name": "latest"
      }},
      "platform": {{
        "architecture": "arm64",
        "os": "linux"
      }}
    }}
  ]
}}
"#
    );
    sandbox.run("layout show --path ./image").succeeds(&index, "");
    assert_eq!(sandbox.text("image/index.json"), index);

    // 11. Validate the layout.
    sandbox.run("layout validate --path ./image").succeeds("Layout at ./image is valid.\n", "");

    assert_eq!(
        sandbox.stage(),
        json!({
            "schema_version": 1,
            "layers": [
                {"digest": BASE, "size": BASE_SIZE, "media_type": GZIP_TYPE, "diff_id": BASE_DIFF_ID,
                 "annotations": {"com.example.layer.role": "base"}},
                {"digest": PATCHES, "size": PATCHES_SIZE, "media_type": GZIP_TYPE, "diff_id": PATCHES_DIFF_ID,
                 "annotations": {"com.example.layer.role": "patches"}},
            ],
            "config": {"digest": CONFIG_ARM64, "size": CONFIG_ARM64_SIZE, "media_type": CONFIG_TYPE},
            "manifest": {"digest": digest, "size": size, "media_type": MANIFEST_TYPE, "ref_name": "latest",
                "annotations": manifest["annotations"]},
        })
    );
    let names: Vec<_> = sandbox.tree().into_keys().filter(|name| !name.contains("/blobs/sha256/")).collect();
    assert_eq!(
        names,
        [
            "./image",
            "./image/.regshape-stage.json",
            "./image/blobs",
            "./image/blobs/sha256",
            "./image/index.json",
            "./image/oci-layout",
            "./patches.tar.gz",
            "./rootfs.tar"
        ]
    );
}

#[test]
fn the_same_steps_make_the_same_bytes_wherever_and_whenever() {
    let build = || {
        let sandbox = Sandbox::built();
        let documents = ["image/index.json", "image/.regshape-stage.json"].map(|name| sandbox.text(name));
        (documents, sandbox.blobs())
    };
    let first = build();
    assert_eq!(build(), first);
    assert_eq!(first.1, [BASE, PATCHES, CONFIG, MANIFEST].map(str::to_owned).into());
}

#[test]
fn the_guides_full_example_asks_and_notes_nothing() {
    let sandbox = Sandbox::empty();
    sandbox.write("base.tar.gz", gzip(&base_tar()));
    sandbox.write("app.tar.gz", gzip(&patches_tar()));
    for words in [
        "layout init --path ./image",
        &format!("layout add layer --path ./image --file ./base.tar.gz --media-type {GZIP_TYPE}"),
        &format!("layout add layer --path ./image --file ./app.tar.gz --media-type {GZIP_TYPE}"),
        &format!("layout generate config --path ./image --architecture amd64 --os linux --media-type {CONFIG_TYPE}"),
    ] {
        assert_eq!(sandbox.run(words).stderr, "", "{words}");
    }
    let outcome =
        sandbox.run(&format!("layout generate manifest --path ./image --ref-name latest --media-type {MANIFEST_TYPE}"));
    assert_eq!(outcome.stderr, "");
    // The layers differ from those of the other example in their compression, which is not visible in the config.
    assert_eq!(sandbox.stage()["config"]["digest"], CONFIG);
    sandbox.is_valid();
}
