//! `layout ls`

use serde_json::json;

use crate::support::*;
use crate::views::tar_of;

#[test]
fn images_are_listed_by_name_and_untagged_ones_last() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout generate config -p image --architecture arm64");
    let arm = sandbox.ok_json("layout generate manifest -p image --ref-name a-arm");
    let arm = arm["digest"].as_str().expect("a digest").to_owned();
    sandbox.ok("layout join image:latest image:a-arm -o multi --ref-name both");
    sandbox.ok("layout export multi -o image");
    sandbox.edit("image/index.json", |index| {
        let entry = index["manifests"][0].clone();
        let mut untagged = entry;
        untagged["annotations"] = json!({});
        index["manifests"].as_array_mut().expect("a list").insert(0, untagged);
    });
    let index = sandbox.index();
    let both = index["manifests"][3]["digest"].as_str().expect("a digest").to_owned();
    let latest = index["manifests"][1]["digest"].as_str().expect("a digest").to_owned();
    let layers = BASE_SIZE + PATCHES_SIZE;
    let row = |name: serde_json::Value, kind: &str, platforms: &[&str], digest: &str, size: u64| json!({"name": name, "image_name": null, "kind": kind, "platforms": platforms, "size": size, "created": null, "digest": digest});
    let size = |digest: &str| sandbox.blob(digest).len() as u64;
    let config = |digest: &str| sandbox.blob_json(digest)["config"]["size"].as_u64().expect("a size");
    let image = |digest: &str| layers + config(digest) + size(digest);
    let all = image(&latest) + image(&arm) - layers + size(&both);
    assert_eq!(
        sandbox.ok_json("layout ls image"),
        json!([
            row(json!("a-arm"), "image", &["linux/arm64"], &arm, image(&arm)),
            row(json!("both"), "index", &["linux/amd64", "linux/arm64"], &both, all),
            row(json!("latest"), "image", &["linux/amd64"], &latest, image(&latest)),
            row(json!(null), "image", &["linux/amd64"], &latest, image(&latest)),
        ])
    );
    let text = sandbox.ok("layout ls image");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TAG", "PLATFORMS", "SIZE", "AGE", "DIGEST", "KIND"]);
    assert_eq!((rows[2][0], rows[2][1]), ("both", "linux/amd64,linux/arm64"));
    assert_eq!((rows[4][0], rows[4][rows[4].len() - 2]), ("-", latest.as_str()), "whole digests where no person reads");
    assert_eq!(sandbox.ok("layout ls image --quiet"), format!("a-arm\nboth\nlatest\n{latest}\n"));
}

#[test]
fn an_empty_layout_has_no_lines_and_a_tag_is_not_listed() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.ok("layout ls image"), "");
    assert_eq!(sandbox.ok_json("layout ls image"), json!([]));
    let built = Sandbox::built();
    built.misuses("layout ls image:latest", "'ls' takes a layout: remove ':latest' from the path");
}

#[test]
fn missing_manifests_are_listed_by_their_descriptors() {
    let sandbox = Sandbox::built();
    std::fs::remove_file(sandbox.path(blob_name(MANIFEST))).expect("removed");
    let value = sandbox.ok_json("layout ls image");
    assert_eq!((&value[0]["kind"], &value[0]["size"]), (&json!("artifact"), &json!(MANIFEST_SIZE)));
    assert_eq!(value[0]["platforms"], json!(["linux/amd64"]));
}

#[test]
fn the_time_of_the_first_image_is_its_age() {
    let sandbox = Sandbox::empty();
    sandbox.write("l.tar", tar_of(&[("f", b"x")]));
    sandbox.ok("layout init image");
    sandbox.ok("layout add layer -p image -f l.tar");
    let mut command = sandbox.command();
    command.args(["layout", "generate", "config", "-p", "image"]).env("SOURCE_DATE_EPOCH", "1000000000");
    assert!(command.output().expect("it runs").status.success());
    sandbox.ok("layout generate manifest -p image --ref-name v1");
    assert_eq!(sandbox.ok_json("layout ls image")[0]["created"], "2001-09-09T01:46:40Z");
    assert!(sandbox.ok("layout ls image").contains(" years  sha256:"));
}
