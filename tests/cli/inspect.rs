//! `layout inspect`

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::*;

/// Returns the expected output for an image.
fn text(images: &Images, image: &Value, name: Option<&str>) -> String {
    let parts = images.parts(image);
    let total = parts.iter().map(size).sum::<u64>();
    let mut text = format!("Image:\n    digest: {}\n      size: {total}\n      type: {MANIFEST_TYPE}\n", digest(image));
    if let Some(name) = name {
        text += &format!("  ref-name: {name}\n");
    }
    text += &format!(
        "  platform: linux/{}\n    config: {} ({} bytes)\n",
        image["platform"]["architecture"].as_str().expect("an architecture"),
        digest(&parts[1]),
        size(&parts[1]),
    );
    for layer in &parts[2..] {
        let media_type = layer["mediaType"].as_str().expect("a media type");
        text += &format!("     layer: {} ({} bytes, {media_type})\n", digest(layer), size(layer));
    }
    text
}

fn value(images: &Images, image: &Value, names: &[&str]) -> Value {
    let parts = images.parts(image);
    let architecture = image["platform"]["architecture"].as_str().expect("an architecture");
    let layer =
        |layer: &Value| json!({"digest": layer["digest"], "size": layer["size"], "media_type": layer["mediaType"]});
    json!({
        "digest": image["digest"], "media_type": MANIFEST_TYPE, "size": image["size"], "ref_names": names,
        "platform": format!("linux/{architecture}"),
        "config": {"digest": parts[1]["digest"], "size": parts[1]["size"]},
        "layers": parts[2..].iter().map(layer).collect::<Vec<_>>(),
        "total_size": parts.iter().map(size).sum::<u64>(),
        "annotations": {},
    })
}

/// Runs a command that must not change any file.
#[track_caller]
fn says(sandbox: &Sandbox, words: &str, stdout: &str) {
    let before = sandbox.tree();
    sandbox.run(words).succeeds(stdout, "");
    assert_eq!(sandbox.tree(), before, "{words}");
}

#[test]
fn the_images_of_a_layout_and_of_archives_are_shown() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let mut sources = vec!["--path image".to_owned()];
    for name in ["a.tar", "a.tar.gz", "a.tar.zst"] {
        sandbox.ok(&format!("layout export --path image --output {name}"));
        sources.push(format!("--file {name}"));
        sources.push(format!("--path {name}"));
    }
    let Images { amd64, arm64, s390x, .. } = &images;
    let whole = [
        "Images:\n       tag: v1\n     count: 3\n".to_owned(),
        text(&images, amd64, Some("v1")),
        text(&images, arm64, Some("v1")),
        text(&images, s390x, Some("old")),
    ]
    .concat();
    let one = text(&images, s390x, Some("old"));
    for source in &sources {
        says(sandbox, &format!("layout inspect {source}"), &whole);
        says(sandbox, &format!("layout inspect {source} --ref old"), &one);
        says(sandbox, &format!("layout inspect {source}:old"), &one);
        says(sandbox, &format!("layout inspect {source} --platform linux/s390x"), &one);
        says(sandbox, &format!("layout inspect {source} --platform linux/arm64"), &text(&images, arm64, Some("v1")));
        let path = source.split(' ').nth(1).expect("a path");
        assert_eq!(
            sandbox.ok_json(&format!("layout inspect {source}")),
            json!({
                "path": path, "tag": "v1", "multi_platform": true,
                "images": [value(&images, amd64, &["v1"]), value(&images, arm64, &["v1"]), value(&images, s390x, &["old"])],
            })
        );
        assert_eq!(
            sandbox.ok_json(&format!("layout inspect {source} --ref old")),
            json!({"path": path, "tag": "old", "multi_platform": false, "images": [value(&images, s390x, &["old"])]})
        );
    }
    for name in ["a.tar", "a.tar.gz", "a.tar.zst"] {
        let before = sandbox.tree();
        let input = sandbox.read(name);
        sandbox.run_with_input("layout inspect --file -", &input).succeeds(&whole, "");
        assert_eq!(sandbox.tree(), before);
    }
}

#[test]
fn the_names_and_annotations_of_an_image_are_shown() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    let manifest = manifest(&config(sandbox, "arm64"), &[&layer(sandbox)]);
    let image = on(&document(sandbox, &with(manifest, json!({"annotations": {"a": "b", "c": "d e"}}))), "arm64");
    list(sandbox, &[&named(&image, "v1"), &named(&image, "v2")]);
    let shown = sandbox.ok("layout inspect --path image");
    assert!(shown.starts_with(&text(&images, &image, Some("v1, v2"))), "{shown}");
    assert!(shown.contains("a") && shown.contains("d e"), "{shown}");
    let expected = with(value(&images, &image, &["v1", "v2"]), json!({"annotations": {"a": "b", "c": "d e"}}));
    assert_eq!(
        sandbox.ok_json("layout inspect --path image"),
        json!({"path": "image", "tag": "v1", "multi_platform": false, "images": [expected]})
    );
    // The name in the annotations of the index has priority.
    sandbox.edit("image/index.json", |index| index["annotations"] = json!({REF_NAME: "own"}));
    assert_eq!(sandbox.ok_json("layout inspect --path image")["tag"], json!("own"));
    // A layout without images is not an error.
    list(sandbox, &[]);
    assert_eq!(
        sandbox.ok_json("layout inspect --path image"),
        json!({"path": "image", "tag": null, "multi_platform": false, "images": []})
    );
}

#[test]
fn faults_are_reported_and_nothing_is_written() {
    let images = Images::new();
    let sandbox = &images.sandbox;
    fs::create_dir(sandbox.path("empty")).expect("made");
    let see = "'layout tag list' lists the tags";
    for (words, message) in [
        ("--file nowhere.tar", "File not found: nowhere.tar"),
        ("--path nowhere", "File not found: nowhere"),
        ("--path empty", "empty is not an OCI Image Layout (missing oci-layout file)"),
        ("--file -", "- is empty"),
        ("--path image:v2", &format!("image has no manifest 'v2'; {see}")),
        ("--path image --ref v2", &format!("image has no manifest 'v2'; {see}")),
        (
            "--path image --platform linux/riscv64",
            "no linux/riscv64 image in 'image'; it has linux/amd64, linux/arm64, linux/s390x",
        ),
    ] {
        sandbox.refuses(&format!("layout inspect {words}"), message);
    }
    is_usage_error(sandbox, "layout inspect --path image --file image");
    is_usage_error(sandbox, "layout inspect image --file image");
    fs::remove_file(sandbox.path(blob_name(digest(&images.s390x)))).expect("it was there");
    let message = format!("blob {} referenced by index.json does not exist", digest(&images.s390x));
    sandbox.refuses("layout inspect --path image", &message);
}
