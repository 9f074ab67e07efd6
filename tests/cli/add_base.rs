//! `layout add base` and `layout reset`.

use serde_json::{Value, json};

use crate::support::*;

/// Creates a layout `image` with files to add, and a layout `base` with an image `v1` of two layers with a history.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok("init base");
    sandbox.ok("add layer base --file base.tar --created-by debootstrap");
    sandbox.ok("add layer base --file patches.tar.gz");
    sandbox.ok("generate config base --architecture arm64 --variant v8 --env PATH=/bin --entrypoint /bin/sh --cmd -c --label a=b");
    sandbox.ok("generate manifest base --ref-name v1");
    sandbox
}

fn config(sandbox: &Sandbox) -> Value {
    let stage = sandbox.stage();
    sandbox.blob_json(stage["config"]["digest"].as_str().expect("a digest"))
}

fn digest_of_base(sandbox: &Sandbox) -> String {
    let index = sandbox.json("base/index.json");
    index["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn an_image_is_built_on_another_one() {
    let sandbox = sandbox();
    let base = digest_of_base(&sandbox);
    let staged = sandbox.run("add base image --from base:v1");
    staged.succeeds(format!("Staged base:\n    digest: {base}\n  platform: linux/arm64/v8\n    layers: 2\n"), "");
    sandbox.write("app", "#!/bin/sh\n");
    sandbox.ok("add layer image --copy app:/usr/bin/app");
    let generated = sandbox.run("generate config image --entrypoint /usr/bin/app --env PORT=80 --user 33");
    assert_eq!(generated.status, 0, "{generated:?}");
    assert_eq!(
        generated.stderr,
        "Note: the new entrypoint removes the default arguments of the base; --keep-cmd keeps them\n"
    );
    let made = config(&sandbox);
    assert_eq!(
        made["config"],
        json!({"Entrypoint": ["/usr/bin/app"], "Env": ["PATH=/bin", "PORT=80"], "Labels": {"a": "b"}, "User": "33"})
    );
    assert_eq!((&made["architecture"], &made["variant"]), (&json!("arm64"), &json!("v8")));
    assert_eq!(made["rootfs"]["diff_ids"].as_array().expect("diff_ids").len(), 3);
    assert_eq!(
        made["history"],
        json!([
            {"created": "1970-01-01T00:00:00Z", "created_by": "debootstrap"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "regshape add layer --file"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "regshape add layer --copy /usr/bin/app"},
        ])
    );
    sandbox.ok("generate manifest image --ref-name app");
    let manifest = sandbox.blob_json(sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest"));
    assert_eq!(manifest["annotations"], json!({"org.opencontainers.image.base.digest": base}));
    assert_eq!(
        sandbox.index()["manifests"][0]["platform"],
        json!({"architecture": "arm64", "os": "linux", "variant": "v8"})
    );
    sandbox.is_valid();
    sandbox
        .refuses("add base image --from base:v1", "the staging area of image is not empty; run 'layout reset' first");
}

#[test]
fn d3_the_arguments_of_the_base_can_be_kept() {
    let sandbox = sandbox();
    sandbox.ok("add base image --from base");
    let generated = sandbox.run("generate config image --entrypoint /usr/bin/app --keep-cmd");
    assert_eq!((generated.status, generated.stderr.as_str()), (0, ""));
    assert_eq!(config(&sandbox)["config"]["Cmd"], json!(["-c"]));
    sandbox.ok("generate config image --cmd x --entrypoint /usr/bin/app");
    assert_eq!(config(&sandbox)["config"]["Cmd"], json!(["x"]));
}

#[test]
fn d8_a_base_without_a_history_gives_none() {
    let sandbox = Sandbox::built();
    sandbox.ok("init other");
    sandbox.ok("add base other --from image");
    sandbox.write("app", "x");
    sandbox.ok("add layer other --copy app");
    let generated = sandbox.run("generate config other");
    assert_eq!(generated.stderr, "Note: the image gets no history, because its base has none\n");
    let stage = sandbox.json("other/.regshape-stage.json");
    let digest = stage["config"]["digest"].as_str().expect("a digest").replace(':', "/");
    assert_eq!(sandbox.json(&format!("other/blobs/{digest}"))["history"], Value::Null);
}

#[test]
fn a_base_comes_from_an_archive_and_from_an_index_by_platform() {
    let sandbox = sandbox();
    sandbox.ok("export base:v1 --output base.oci.tar");
    sandbox.ok("add base image --from base.oci.tar");
    assert_eq!(sandbox.stage()["layers"].as_array().expect("layers").len(), 2);
    let first = sandbox.stage();
    sandbox.ok("reset image");
    sandbox.ok("init amd64");
    sandbox.ok("add layer amd64 --file base.tar");
    sandbox.ok("generate config amd64");
    sandbox.ok("generate manifest amd64 --ref-name v1");
    sandbox.ok("join base amd64 --output multi --ref-name v1");
    sandbox
        .run("add base image --from multi:v1")
        .fails("Error: multi has images for linux/arm64/v8, linux/amd64; choose one with --platform\n");
    sandbox.ok("add base image --from multi:v1 --platform linux/arm64");
    assert_eq!(sandbox.stage()["layers"], first["layers"]);
    let index = sandbox.json("multi/index.json");
    assert_eq!(sandbox.stage()["base"]["digest"], index["manifests"][0]["digest"]);
    let missing = sandbox.run("add base image --from base:v2");
    assert_eq!(missing.status, 3, "{missing:?}");
}

#[test]
fn reset_empties_the_staging_area_and_keeps_images() {
    let sandbox = Sandbox::built();
    let image = sandbox.blobs();
    sandbox.write("app", "x");
    sandbox.ok("add layer image --copy app");
    let reset = sandbox.run("reset image");
    reset.succeeds("Emptied staging area:\n   layers: 3\n  deleted: 1 blobs (80 bytes)\n", "");
    assert_eq!(sandbox.blobs(), image);
    let stage = sandbox.stage();
    assert_eq!((&stage["layers"], &stage["config"], &stage["manifest"]), (&json!([]), &Value::Null, &Value::Null));
    assert_eq!(stage["generated"], json!([MANIFEST]));
    sandbox.is_valid();
    assert_eq!(sandbox.ok_json("reset image"), json!({"layers": 0, "deleted_blobs": 0, "deleted_bytes": 0}));
}
