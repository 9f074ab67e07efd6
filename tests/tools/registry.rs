//! A layout as a registry: regshape reads everything that other programs write, and they see the changes of regshape.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::lab::{Lab, is_root};
use super::samples::{base, single};
use super::tree::sha256;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SPDX: &str = "application/spdx+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Runs a command on the layout and returns its stdout.
fn layout(lab: &Lab, words: &str) -> String {
    layout_words(lab, &words.split(' ').collect::<Vec<_>>())
}

fn layout_words(lab: &Lab, words: &[&str]) -> String {
    lab.regshape(&[&["layout"], words, &["--path", "layout"]].concat())
}

fn layout_json(lab: &Lab, words: &str) -> Value {
    serde_json::from_str(&layout(lab, &format!("{words} --json"))).expect("JSON")
}

/// Runs a command on the layout, which must be valid afterwards.
fn change(lab: &Lab, words: &str) {
    layout(lab, words);
    lab.validate("layout");
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

fn list<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document[key].as_array().map_or(&[], Vec::as_slice)
}

/// Reads everything in the layout by commands, and compares it with the files on disk: each manifest by its name,
/// digest and digest prefix, each blob, and the tree.
fn reads_in_full<const N: usize>(lab: &Lab, names: [&str; N]) {
    lab.validate("layout");
    assert_eq!(layout(lab, "tag list").lines().collect::<Vec<_>>(), names);
    let tree = layout(lab, "show --tree");
    assert!(!tree.contains("missing") && !tree.contains("unreferenced"), "{tree}");
    let index = lab.json("layout/index.json");
    let mut seen = BTreeSet::new();
    let mut entries: Vec<(Value, bool)> = list(&index, "manifests").iter().map(|entry| (entry.clone(), true)).collect();
    while let Some((entry, is_at_the_top)) = entries.pop() {
        let found = digest(&entry).to_owned();
        let stored = lab.blob("layout", &found);
        let mut references = vec![found.clone(), found[..found.len() - 1].to_owned()];
        references.extend(entry["annotations"][REF_NAME].as_str().filter(|_| is_at_the_top).map(str::to_owned));
        for reference in &references {
            let get = lab.run_bytes(
                env!("CARGO_BIN_EXE_regshape"),
                &["layout", "manifest", "get", "--path", "layout", "--ref", reference],
            );
            assert_eq!(get, stored, "{reference}");
            let described = layout_words(lab, &["manifest", "descriptor", "--ref", reference]);
            let described: Value = serde_json::from_str(&described).expect("JSON");
            assert_eq!(described["digest"], entry["digest"], "{reference}");
            if !reference.starts_with("sha256:") {
                assert_eq!(described, entry, "{reference}");
            }
            let info = layout_words(lab, &["manifest", "info", "--ref", reference, "--json"]);
            let info: Value = serde_json::from_str(&info).expect("JSON");
            assert_eq!(
                (&info["digest"], &info["size"], &info["media_type"]),
                (&entry["digest"], &entry["size"], &entry["mediaType"])
            );
            let referrers = layout_words(lab, &["referrer", "list", "--ref", reference]);
            assert_eq!(referrers, "", "nobody has made one");
        }
        assert!(tree.contains(&found), "{tree}");
        seen.insert(found);
        let document: Value = serde_json::from_slice(&stored).expect("JSON");
        entries.extend(list(&document, "manifests").iter().map(|child| (child.clone(), false)));
        for blob in list(&document, "layers").iter().chain(document.get("config")) {
            let get = ["layout", "blob", "get", "--path", "layout", "--digest", digest(blob)];
            let content = lab.run_bytes(env!("CARGO_BIN_EXE_regshape"), &get);
            assert_eq!((sha256(&content), json!(content.len())), (digest(blob).to_owned(), blob["size"].clone()));
            let head = layout_json(lab, &format!("blob head --digest {}", digest(blob)));
            assert_eq!((&head["digest"], &head["size"]), (&blob["digest"], &blob["size"]));
            assert!(tree.contains(digest(blob)), "{tree}");
            seen.insert(digest(blob).to_owned());
        }
    }
    let blobs = lab.blobs("layout").into_iter().map(|name| format!("sha256:{name}"));
    assert_eq!(seen, blobs.collect(), "every blob was read");
}

/// Creates two images, `one` and `two`, in a layout with umoci.
fn umoci_images(lab: &Lab, layout: &str) {
    lab.write("one.tar", base());
    lab.write("two.tar", single("two", "two\n"));
    lab.run("umoci", &["init", "--layout", layout]);
    for name in ["one", "two"] {
        let image = format!("{layout}:{name}");
        lab.run("umoci", &["new", "--image", &image]);
        lab.run("umoci", &["config", "--image", &image, "--config.label", &format!("name={name}")]);
        lab.run("umoci", &["raw", "add-layer", "--image", &image, &format!("{name}.tar")]);
    }
}

/// Creates an index of two platforms, `multi`, by commands of regshape from images of umoci.
fn multi_platform(lab: &Lab, layout: &str) {
    umoci_images(lab, layout);
    let on = |words: &str| {
        lab.regshape(&[vec!["layout"], words.split(' ').collect(), vec!["--path", layout]].concat());
    };
    let entries: Vec<Value> = ["one", "two"]
        .iter()
        .zip(["amd64", "arm64"])
        .map(|(name, architecture)| {
            let image = format!("{layout}:{name}");
            lab.run("umoci", &["config", "--image", &image, "--architecture", architecture]);
            let manifest =
                lab.run_bytes(env!("CARGO_BIN_EXE_regshape"), &["layout", "manifest", "get", "--path", &image]);
            json!({
                "mediaType": MANIFEST,
                "digest": sha256(&manifest),
                "size": manifest.len(),
                "platform": {"architecture": architecture, "os": "linux"}
            })
        })
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries
    });
    lab.write("multi.json", index.to_string());
    on("manifest put --file multi.json --tag multi");
    lab.validate(layout);
}

/// Stores an SBOM of an image and returns the digest of its manifest.
fn store_sbom(lab: &Lab, subject: &str, options: &str) -> String {
    lab.write("sbom.json", r#"{"spdxVersion": "SPDX-2.3"}"#);
    lab.write("empty.json", "{}");
    let subject: Value =
        serde_json::from_str(&layout(lab, &format!("manifest descriptor --ref {subject}"))).expect("JSON");
    let blob = |file: &str, media_type: &str| {
        let stored = layout_json(lab, &format!("blob upload --file {file}"));
        json!({"mediaType": media_type, "digest": stored["digest"], "size": stored["size"]})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SPDX,
        "config": blob("empty.json", EMPTY),
        "layers": [blob("sbom.json", SPDX)],
        "subject": {"mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]},
        "annotations": {"com.example.tool": "none"}
    });
    lab.write("manifest.json", manifest.to_string());
    let stored = layout_json(lab, &format!("manifest put --file manifest.json{options}"));
    lab.validate("layout");
    digest(&stored).to_owned()
}

fn unpacks(lab: &Lab, image: &str, layers: &[Vec<u8>]) {
    let bundle = format!("bundle-{}", image.replace(':', "-"));
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    lab.run("umoci", &[&["unpack"], rootless, &["--image", image, &bundle]].concat());
    super::tree::Tree::of_layers(layers).assert_is_at(&lab.path(&bundle).join("rootfs"), image);
    std::fs::remove_dir_all(lab.path(&bundle)).expect("deleted");
}

/// Returns the label that distinguishes the images, as seen by skopeo.
fn label(lab: &Lab, name: &str) -> Value {
    let config = lab.skopeo(&["inspect", "--config", &format!("oci:layout:{name}")]);
    serde_json::from_str::<Value>(&config).expect("JSON")["config"]["Labels"]["name"].clone()
}

/// Checks that other programs no longer find an image.
fn is_gone(lab: &Lab, name: &str) {
    let image = format!("oci:layout:{name}");
    assert!(!lab.output("skopeo", &["inspect", &image]).status.success(), "{image} is there");
    assert!(!lab.output("umoci", &["stat", "--image", &format!("layout:{name}")]).status.success(), "{name} is there");
}

fn umoci_names(lab: &Lab) -> BTreeSet<String> {
    lab.run("umoci", &["ls", "--layout", "layout"]).lines().map(str::to_owned).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn layouts_of_umoci_are_read_in_full() {
    let Some(lab) = Lab::with(&["umoci"]) else { return };
    lab.run("umoci", &["init", "--layout", "layout"]);
    reads_in_full(&lab, []);
    std::fs::remove_dir_all(lab.path("layout")).expect("deleted");
    umoci_images(&lab, "layout");
    lab.run("umoci", &["tag", "--image", "layout:one", "three"]);
    lab.run("umoci", &["gc", "--layout", "layout"]);
    reads_in_full(&lab, ["one", "three", "two"]);
    lab.run("umoci", &["rm", "--image", "layout:one"]);
    lab.run("umoci", &["rm", "--image", "layout:two"]);
    assert_eq!(layout(&lab, "tag list"), "three\n");
    // Both programs agree on unreachable blobs.
    let found = layout_json(&lab, "gc --dry-run");
    let before: BTreeSet<String> = lab.blobs("layout").into_iter().collect();
    lab.run("umoci", &["gc", "--layout", "layout"]);
    let after: BTreeSet<String> = lab.blobs("layout").into_iter().collect();
    let deleted: Vec<_> = before.difference(&after).map(|name| json!(format!("sha256:{name}"))).collect();
    assert!(!deleted.is_empty());
    assert_eq!(found["digests"], json!(deleted));
    reads_in_full(&lab, ["three"]);
}

#[test]
fn layouts_of_skopeo_are_read_in_full() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    umoci_images(&lab, "source");
    lab.skopeo(&["copy", "oci:source:one", "oci:layout:v1"]);
    reads_in_full(&lab, ["v1"]);
    lab.skopeo(&["copy", "oci:source:one", "oci:layout:latest"]);
    lab.skopeo(&["copy", "oci:source:two", "oci:layout:v2"]);
    // Names of any form are accepted unchanged.
    lab.skopeo(&["copy", "oci:source:two", "oci:layout:docker.io/library/two:1"]);
    reads_in_full(&lab, ["docker.io/library/two:1", "latest", "v1", "v2"]);
    assert_eq!(layout(&lab, "catalog list"), "docker.io/library/two\n");
    assert_eq!(layout(&lab, "tag list --repo docker.io/library/two"), "1\n");
    assert_eq!(layout(&lab, "tag list --repo default --default-repo default"), "latest\nv1\nv2\n");
}

#[test]
fn an_entry_without_a_name_by_skopeo_is_read_by_its_digest() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    umoci_images(&lab, "source");
    lab.skopeo(&["copy", "oci:source:one", "oci:layout"]);
    reads_in_full(&lab, []);
    assert_eq!(layout(&lab, "tag list --repo app --default-repo app"), "");
    let image = lab.json("layout/index.json")["manifests"][0]["digest"].clone();
    change(&lab, &format!("tag move --ref {} one", image.as_str().expect("a digest")));
    reads_in_full(&lab, ["one"]);
    assert_eq!(label(&lab, "one"), "one");
}

#[test]
fn an_index_of_platforms_that_skopeo_copies_is_read_in_full() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    multi_platform(&lab, "source");
    lab.skopeo(&["copy", "--all", "oci:source:multi", "oci:layout:multi"]);
    reads_in_full(&lab, ["multi"]);
    for (platform, name) in [("linux/amd64", "one"), ("linux/arm64", "two")] {
        let manifest = layout(&lab, &format!("manifest get --ref multi --platform {platform}"));
        assert_eq!(manifest, lab.skopeo(&["inspect", "--raw", &format!("oci:source:{name}")]));
        let info = layout_json(&lab, &format!("manifest info --ref multi --platform {platform}"));
        assert_eq!(info["platform"], platform);
    }
    let info = layout_json(&lab, "manifest info --ref multi");
    assert_eq!(info["platforms"], json!(["linux/amd64", "linux/arm64"]));
    // A manifest of the index gets a name of its own, and is kept when the index is deleted.
    let arm = layout_json(&lab, "manifest descriptor --ref multi --platform linux/arm64");
    change(&lab, &format!("tag add --ref {} arm", digest(&arm)));
    assert_eq!(lab.skopeo(&["inspect", "--raw", "oci:layout:arm"]), layout(&lab, "manifest get --ref arm"));
    change(&lab, "tag delete --ref multi");
    change(&lab, "gc");
    is_gone(&lab, "multi");
    reads_in_full(&lab, ["arm"]);
    assert_eq!(label(&lab, "arm"), "two");
    unpacks(&lab, "layout:arm", &[single("two", "two\n")]);
}

#[test]
fn layouts_of_buildah_and_podman_are_read_in_full() {
    let Some(lab) = Lab::with(&["buildah", "podman", "umoci"]) else { return };
    let policy = ["--signature-policy", "policy.json"];
    lab.write("theirs.txt", "buildah\n");
    for architecture in ["amd64", "arm64"] {
        let container = lab.buildah(&["from", policy[0], policy[1], "scratch"]);
        lab.buildah(&["config", "--arch", architecture, &container]);
        lab.buildah(&["add", "--quiet", &container, "theirs.txt", "/theirs"]);
        lab.buildah(&["commit", "--quiet", policy[0], policy[1], &container, architecture]);
    }
    lab.buildah(&["push", "--quiet", policy[0], policy[1], "amd64", "oci:layout:theirs"]);
    reads_in_full(&lab, ["theirs"]);
    lab.buildah(&["manifest", "create", "list"]);
    for architecture in ["amd64", "arm64"] {
        let image = format!("containers-storage:localhost/{architecture}");
        lab.buildah(&["manifest", "add", "--arch", architecture, "list", &image]);
    }
    lab.buildah(&["manifest", "push", "--quiet", "--all", policy[0], policy[1], "list", "oci:layout:list"]);
    reads_in_full(&lab, ["list", "theirs"]);
    let platforms = layout_json(&lab, "manifest info --ref list")["platforms"].clone();
    assert_eq!(platforms, json!(["linux/amd64", "linux/arm64"]));

    let id = lab.podman(&["pull", "--quiet", policy[0], policy[1], "oci:layout:theirs"]);
    lab.podman(&["tag", &id, "example.com/team/app:v1"]);
    lab.podman(&["push", "--quiet", policy[0], policy[1], "example.com/team/app:v1", "oci:layout:pushed"]);
    lab.podman(&["push", "--quiet", policy[0], policy[1], &id, "oci:layout:example.com/team/app:v1"]);
    reads_in_full(&lab, ["example.com/team/app:v1", "list", "pushed", "theirs"]);
    assert_eq!(layout(&lab, "tag list --repo example.com/team/app"), "v1\n");

    std::fs::remove_dir_all(lab.path("layout")).expect("deleted");
    let save = ["save", "--quiet", "--format", "oci-dir", "--output", "layout", "example.com/team/app:v1"];
    lab.podman(&save);
    reads_in_full(&lab, ["example.com/team/app:v1"]);
    // And back again under another name.
    change(&lab, "tag add --ref example.com/team/app:v1 ours");
    change(&lab, "tag delete --ref example.com/team/app:v1");
    change(&lab, "gc");
    let again = lab.podman(&["pull", "--quiet", policy[0], policy[1], "oci:layout:ours"]);
    assert_eq!(again, id);
    let storage = ["podman", "podman-run", "podman-tmp"].map(|name| lab.text(name));
    let [root, run, temporary] = storage.each_ref().map(String::as_str);
    let storage = ["--root", root, "--runroot", run, "--tmpdir", temporary, "--storage-driver", "vfs"];
    let pull = ["pull", "--quiet", policy[0], policy[1], "oci:layout:example.com/team/app:v1"];
    let old = lab.output("podman", &[&storage[..], &pull[..]].concat());
    assert!(!old.status.success());
}

#[test]
fn changed_tags_are_seen_by_other_programs() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    umoci_images(&lab, "layout");
    lab.run("umoci", &["gc", "--layout", "layout"]);

    change(&lab, "tag add --ref one v1 stable");
    assert_eq!(umoci_names(&lab), names(["one", "two", "v1", "stable"]));
    for name in ["one", "v1", "stable"] {
        assert_eq!(label(&lab, name), "one");
        unpacks(&lab, &format!("layout:{name}"), &[base()]);
    }

    change(&lab, "tag add --ref two stable");
    assert_eq!((label(&lab, "stable"), label(&lab, "v1")), (json!("two"), json!("one")));
    change(&lab, "tag move --ref v1 v2");
    assert_eq!(umoci_names(&lab), names(["one", "two", "v2", "stable"]));
    is_gone(&lab, "v1");
    assert_eq!(label(&lab, "v2"), "one");
    unpacks(&lab, "layout:v2", &[base()]);

    change(&lab, "tag delete --ref one");
    change(&lab, "gc");
    is_gone(&lab, "one");
    assert_eq!((label(&lab, "v2"), label(&lab, "two")), (json!("one"), json!("two")));
    lab.skopeo(&["copy", "oci:layout:v2", "oci:copied:v2"]);
    lab.validate("copied");

    // Both programs treat unreachable blobs as garbage.
    change(&lab, "tag delete --ref v2");
    is_gone(&lab, "v2");
    let garbage = layout_json(&lab, "gc");
    assert_eq!(garbage["blobs"]["count"], 3);
    lab.validate("layout");
    let before = lab.blobs("layout");
    lab.run("umoci", &["gc", "--layout", "layout"]);
    assert_eq!(lab.blobs("layout"), before);
    assert_eq!(umoci_names(&lab), names(["two", "stable"]));
    unpacks(&lab, "layout:two", &[single("two", "two\n")]);
}

#[test]
fn a_put_or_deleted_manifest_is_seen_by_other_programs() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    // The blobs of an image are copied one by one from one layout to another, which does not exist before.
    umoci_images(&lab, "source");
    let regshape = env!("CARGO_BIN_EXE_regshape");
    let manifest = lab.run_bytes(regshape, &["layout", "manifest", "get", "--path", "source:one"]);
    lab.write("manifest.json", &manifest);
    let parts: Value = serde_json::from_slice(&manifest).expect("JSON");
    for part in list(&parts, "layers").iter().chain([&parts["config"]]) {
        lab.run(regshape, &["layout", "blob", "get", "-p", "source", "-d", digest(part), "-o", "part"]);
        change(&lab, &format!("blob upload --file part --digest {}", digest(part)));
    }
    change(&lab, "manifest put --file manifest.json --tag one --tag v1");
    reads_in_full(&lab, ["one", "v1"]);
    assert_eq!(umoci_names(&lab), names(["one", "v1"]));
    assert_eq!(label(&lab, "v1"), "one");
    unpacks(&lab, "layout:v1", &[base()]);
    lab.skopeo(&["copy", "oci:layout:one", "oci:copied:one"]);
    lab.validate("copied");

    lab.skopeo(&["copy", "oci:source:two", "oci:layout:two"]);
    change(&lab, &format!("manifest delete --ref {}", sha256(&manifest)));
    change(&lab, "gc");
    is_gone(&lab, "one");
    is_gone(&lab, "v1");
    assert_eq!(umoci_names(&lab), names(["two"]));
    reads_in_full(&lab, ["two"]);
    assert_eq!(label(&lab, "two"), "two");
    unpacks(&lab, "layout:two", &[single("two", "two\n")]);
}

#[test]
fn names_of_repositories_are_names_to_other_programs_too() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    umoci_images(&lab, "layout");
    let manifest = layout(&lab, "manifest get --ref one");
    lab.write("manifest.json", manifest);
    change(&lab, "manifest put --file manifest.json --repo example/app --tag v1");
    assert_eq!(layout(&lab, "catalog list"), "example/app\n");
    assert_eq!(layout(&lab, "tag list"), "example/app:v1\none\ntwo\n");
    assert_eq!(label(&lab, "example/app:v1"), "one");
    assert_eq!(umoci_names(&lab), names(["example/app:v1", "one", "two"]));
    lab.skopeo(&["copy", "oci:layout:two", "oci:layout:example/app:v2"]);
    assert_eq!(layout(&lab, "tag list --repo example/app"), "v1\nv2\n");
    change(&lab, "tag delete --repo example/app --ref v1");
    is_gone(&lab, "example/app:v1");
    assert_eq!(label(&lab, "one"), "one");
}

#[test]
fn a_stored_sbom_is_found_and_survives_collections() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    umoci_images(&lab, "layout");
    lab.run("umoci", &["gc", "--layout", "layout"]);
    let sbom = store_sbom(&lab, "one", "");
    let named = store_sbom(&lab, "two", " --tag two-sbom");
    let finds = |image: &str, sbom: &str| {
        let found = layout_json(&lab, &format!("referrer list --ref {image}"));
        let size = lab.blob("layout", sbom).len();
        assert_eq!(
            found["manifests"],
            json!([{
                "mediaType": MANIFEST,
                "digest": sbom,
                "size": size,
                "annotations": {"com.example.tool": "none"},
                "artifactType": SPDX
            }])
        );
        assert_eq!(layout(&lab, &format!("referrer list --ref {image}")), format!("{sbom}  {size}  {SPDX}\n"));
    };
    let all = lab.blobs("layout");
    change(&lab, "gc");
    assert_eq!(lab.blobs("layout"), all);
    finds("one", &sbom);
    finds("two", &named);
    assert_eq!(layout(&lab, "referrer list --ref one --artifact-type application/x"), "");

    // Other programs still see the same images.
    assert_eq!((label(&lab, "one"), label(&lab, "two")), (json!("one"), json!("two")));
    unpacks(&lab, "layout:one", &[base()]);
    let raw = lab.skopeo(&["inspect", "--raw", "oci:layout:two-sbom"]);
    assert_eq!(raw.into_bytes(), lab.blob("layout", &named));

    // umoci keeps entries of index.json with or without a name, so the SBOMs are still found.
    lab.run("umoci", &["gc", "--layout", "layout"]);
    assert_eq!(lab.blobs("layout"), all);
    lab.validate("layout");
    finds("one", &sbom);
    finds("two", &named);

    // If the image is deleted, its SBOM is kept under its own name.
    change(&lab, "tag delete --ref two");
    change(&lab, "gc");
    is_gone(&lab, "two");
    assert!(lab.blobs("layout").contains(&named.trim_start_matches("sha256:").to_owned()));
}

#[test]
fn garbage_collections_of_both_programs_keep_the_images_of_either() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    multi_platform(&lab, "layout");
    lab.write("loose", "nobody needs this");
    change(&lab, "blob upload --file loose");
    lab.run("umoci", &["gc", "--layout", "layout"]);
    lab.validate("layout");
    reads_in_full(&lab, ["multi", "one", "two"]);
    change(&lab, "tag delete --ref one");
    change(&lab, "tag delete --ref two");
    change(&lab, "gc");
    reads_in_full(&lab, ["multi"]);
    lab.run("umoci", &["gc", "--layout", "layout"]);
    reads_in_full(&lab, ["multi"]);
    lab.skopeo(&["copy", "--all", "oci:layout:multi", "oci:copied:multi"]);
    lab.validate("copied");

    // umoci cannot see staged layers; `gc` of regshape keeps them.
    lab.write("staged.tar", single("staged", "x"));
    layout(&lab, "add layer --file staged.tar --quiet");
    let before = lab.blobs("layout");
    let garbage = layout_json(&lab, "gc");
    assert_eq!((&garbage["blobs"]["count"], &garbage["staged"]["count"]), (&json!(0), &json!(1)));
    assert_eq!(lab.blobs("layout"), before);
}
