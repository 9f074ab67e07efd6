//! `layout recompress`

use serde_json::json;

use crate::layers::{build, flip_bit, image_of, layer_digests};
use crate::rewritten::{Image, is_sound};
use crate::support::*;

#[test]
fn h1_layers_get_another_format_and_keep_their_diff_ids() {
    let sandbox = image_of(&[&["a=1", "d/"], &["b=2"]]);
    let before = Image::of(&sandbox, "v1");
    for (format, ending) in [("zstd", "v1.tar+zstd"), ("none", "v1.tar"), ("gzip", "v1.tar+gzip")] {
        let digest = sandbox.ok(&format!("recompress -q -p image:v1 --compress-format {format}"));
        let after = Image::of(&sandbox, "v1");
        assert_eq!(after.formats(), [ending; 2]);
        assert_eq!(after.tars, before.tars);
        assert_eq!(after.config, before.config);
        is_sound(&sandbox);
        // A second time there is nothing to do.
        let tree = sandbox.tree();
        assert_eq!(sandbox.ok(&format!("recompress -q -p image:v1 --compress-format {format}")), digest);
        assert!(sandbox.tree() == tree, "{format}");
    }
    assert_eq!(Image::of(&sandbox, "v1").manifest, before.manifest);
}

#[test]
fn h1_the_bytes_of_a_layer_say_whether_it_has_the_format() {
    let sandbox = image_of(&[&["a=1"]]);
    let annotations = json!({"containerd.io/snapshot/stargz/toc.digest": "1", "org.example": "2"})
        .as_object()
        .cloned()
        .expect("a map");
    for (key, value) in &annotations {
        let value = value.as_str().expect("text");
        sandbox.ok(&format!("annotate layer -q -p image:v1 --index 0 --annotation {key}={value}"));
    }
    let gzip = sandbox.ok_json("manifest get -p image:v1");
    let tars = Image::of(&sandbox, "v1").tars;
    // The layer is gzip, and its type says that it is zstd, or a plain tar.
    for (lie, format) in [("tar+zstd", "zstd"), ("tar", "none"), ("tar+zstd", "gzip"), ("tar", "gzip")] {
        let mut manifest = gzip.clone();
        manifest["layers"][0]["mediaType"] = json!(format!("application/vnd.oci.image.layer.v1.{lie}"));
        sandbox.write("lie.json", manifest.to_string());
        sandbox.ok("manifest put -q -p image --tag v1 --file lie.json");
        sandbox.ok(&format!("recompress -q -p image:v1 --compress-format {format}"));
        let after = Image::of(&sandbox, "v1");
        assert_eq!(after.tars, tars, "{lie} {format}");
        if format == "gzip" {
            // The bytes stay, and with them the annotations that are about them.
            assert_eq!(after.manifest, gzip);
        }
        let report = sandbox.ok_json("validate -p image:v1 --deep");
        assert_eq!((&report["valid"], &report["warnings"]), (&json!(true), &json!([])));
    }
}

#[test]
fn h1_a_layer_that_has_the_format_is_compressed_again_with_a_level_or_force() {
    let text = format!("a={}", (0..2000).map(|number| format!("{}-", number * number)).collect::<String>());
    let sandbox = image_of(&[&[&text]]);
    let before = layer_digests(&sandbox);
    sandbox.ok("recompress -q -p image:v1 --compress-format gzip --force");
    assert_eq!(layer_digests(&sandbox), before);
    sandbox.ok("recompress -q -p image:v1 --compress-format gzip --level 9");
    let smaller = layer_digests(&sandbox);
    assert_ne!(smaller, before);
    sandbox.ok("recompress -q -p image:v1 --compress-format gzip");
    assert_eq!(layer_digests(&sandbox), smaller);
    sandbox.ok("recompress -q -p image:v1 --compress-format gzip --force");
    assert_eq!(layer_digests(&sandbox), before);
}

#[test]
fn h1_annotations_of_the_old_bytes_go_and_others_stay() {
    let sandbox = image_of(&[&["a=1"]]);
    for key in [
        "io.github.containers.zstd-chunked.manifest-checksum",
        "io.github.containers.zstd-chunked.manifest-position",
        "containerd.io/snapshot/stargz/toc.digest",
        "io.containers.estargz.uncompressed-size",
        "ci.umo.uncompressed_blob_size",
        "my.key",
    ] {
        sandbox.ok(&format!("annotate layer -q -p image:v1 --index 0 --annotation {key}=1"));
    }
    sandbox.ok("recompress -q -p image:v1 --compress-format zstd");
    let annotations = json!({"ci.umo.uncompressed_blob_size": "1", "my.key": "1"});
    assert_eq!(Image::of(&sandbox, "v1").manifest["layers"][0]["annotations"], annotations);
}

#[test]
fn f4_all_images_of_an_index_change_or_those_that_are_picked() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -q -o image:multi --platform linux/amd64 --platform linux/arm64 --copy app:/app");
    sandbox.ok("recompress -q -p image:multi --compress-format zstd --platform linux/arm64");
    let formats: Vec<_> = Image::all_of(&sandbox, "multi").iter().map(Image::formats).collect();
    assert_eq!(formats, [["v1.tar+gzip"], ["v1.tar+zstd"]]);
    sandbox.ok("recompress -q -p image:multi --compress-format zstd --tag all");
    let formats: Vec<_> = Image::all_of(&sandbox, "all").iter().map(Image::formats).collect();
    assert_eq!(formats, [["v1.tar+zstd"], ["v1.tar+zstd"]]);
    let formats: Vec<_> = Image::all_of(&sandbox, "multi").iter().map(Image::formats).collect();
    assert_eq!(formats, [["v1.tar+gzip"], ["v1.tar+zstd"]]);
    is_sound(&sandbox);
}

#[test]
fn the_result_is_printed_as_that_of_every_edit() {
    let sandbox = image_of(&[&["a=1"]]);
    let outcome = sandbox.run("recompress -p image:v1 --compress-format none");
    let entry = sandbox.index()["manifests"][0].clone();
    let (digest, size) = (entry["digest"].as_str().expect("a digest"), &entry["size"]);
    outcome.succeeds(
        format!(
            "Updated image:v1:\n      digest: {digest}\n        size: {size}\n  media-type: \
             application/vnd.oci.image.manifest.v1+json\n    ref-name: v1\n"
        ),
        "",
    );
}

#[test]
fn what_cannot_be_recompressed_is_refused_and_nothing_changes() {
    let sandbox = image_of(&[&["a=1"], &["b=2"]]);
    build(&sandbox, "image:v2", &[&["c=3"]]);
    sandbox.write("sbom", "{}");
    sandbox.ok("attach -q -p image:v2 --artifact-type a/b --file sbom");
    let artifact = sandbox.index()["manifests"][2]["digest"].as_str().expect("a digest").to_owned();
    let before = sandbox.tree();
    let refused = |words: &str, status: i32, message: &str| {
        sandbox.run(words).is(status, "", format!("Error: {message}\n"));
        assert!(sandbox.tree() == before, "{words}");
    };
    refused("recompress -p image --compress-format zstd", 2, "which image? name it as DIR:TAG (tags: v1, v2)");
    refused("recompress -p image:v3 --compress-format zstd", 3, "image has no manifest 'v3'; its tags are v1, v2");
    refused(
        "recompress -p image:v1 --compress-format none --level 3",
        2,
        "--level has no meaning with --compress-format none",
    );
    refused(
        "recompress -p image:v1 --compress-format gzip --level 10",
        1,
        "10 is not a level of gzip, which has 1 to 9",
    );
    refused(
        "recompress -p image:v1 --compress-format zstd --tag v2",
        1,
        "image has another manifest 'v2' already; use another --tag, or --replace-tag",
    );
    refused(
        &format!("recompress -p image@{artifact} --compress-format zstd --tag x"),
        1,
        &format!("'{artifact}' is an artifact: it has no image config"),
    );
    let damaged = layer_digests(&sandbox)[1].clone();
    flip_bit(&sandbox, &damaged);
    let before = sandbox.tree();
    let outcome = sandbox.run("recompress -p image:v1 --compress-format zstd");
    outcome.fails_with(1, predicates::str::contains(damaged));
    assert!(sandbox.tree() == before);
}
