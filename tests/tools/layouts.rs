//! Layouts of other programs, changed by regshape, and then used by the other programs again.

use serde_json::Value;

use super::lab::Lab;
use super::samples::{base, patches, single};
use super::tree::Tree;

/// Shows, validates and extends a layout of another program; its own entries must stay unchanged.
fn go_on(lab: &Lab, layout: &str) {
    let before = lab.json(&format!("{layout}/index.json"));
    let shown = lab.regshape(&["layout", "show", "--path", layout]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(entries(&shown), entries(&before));
    lab.validate(layout);

    lab.write("added-0.tar", base());
    lab.write("added-1.tar", patches());
    assert!(!lab.path(layout).join(".regshape-stage.json").exists());
    for file in ["added-0.tar", "added-1.tar"] {
        lab.regshape(&["layout", "add", "layer", "--path", layout, "--file", file]);
    }
    assert!(lab.path(layout).join(".regshape-stage.json").exists());
    lab.regshape(&["layout", "generate", "config", "--path", layout]);
    lab.regshape(&["layout", "generate", "manifest", "--path", layout, "--ref-name", "added"]);
    lab.validate(layout);

    let after = lab.json(&format!("{layout}/index.json"));
    let (old, new) = (entries(&before), entries(&after));
    assert_eq!(new.len(), old.len() + 1);
    assert_eq!(new[..old.len()], old);
    assert_eq!(new[old.len()]["annotations"]["org.opencontainers.image.ref.name"], "added");
}

fn entries(index: &Value) -> Vec<Value> {
    match &index["manifests"] {
        Value::Array(entries) => entries.clone(),
        Value::Null => Vec::new(),
        other => panic!("manifests are {other}"),
    }
}

fn unpack(lab: &Lab, image: &str, layers: &[Vec<u8>]) {
    let bundle = format!("bundle-{}", image.replace(':', "-"));
    let rootless: &[&str] = if super::lab::is_root() { &[] } else { &["--rootless"] };
    lab.run("umoci", &[&["unpack"], rootless, &["--image", image, &bundle]].concat());
    Tree::of_layers(layers).assert_is_at(&lab.path(&bundle).join("rootfs"), image);
}

#[test]
fn an_empty_layout_of_umoci_can_be_filled() {
    let Some(lab) = Lab::with(&["umoci"]) else { return };
    lab.run("umoci", &["init", "--layout", "layout"]);
    go_on(&lab, "layout");
    unpack(&lab, "layout:added", &[base(), patches()]);
}

#[test]
fn an_image_of_umoci_is_kept_beside_ours() {
    let Some(lab) = Lab::with(&["umoci"]) else { return };
    lab.write("theirs.tar", single("theirs", "umoci\n"));
    lab.run("umoci", &["init", "--layout", "layout"]);
    lab.run("umoci", &["new", "--image", "layout:theirs"]);
    lab.run("umoci", &["raw", "add-layer", "--image", "layout:theirs", "theirs.tar"]);
    go_on(&lab, "layout");
    assert_eq!(lab.run("umoci", &["ls", "--layout", "layout"]), "theirs\nadded\n");
    unpack(&lab, "layout:theirs", &[single("theirs", "umoci\n")]);
    unpack(&lab, "layout:added", &[base(), patches()]);
}

#[test]
fn umoci_repacks_our_image_and_regshape_extends_it() {
    let Some(lab) = Lab::with(&["umoci"]) else { return };
    lab.run("umoci", &["init", "--layout", "layout"]);
    go_on(&lab, "layout");
    unpack(&lab, "layout:added", &[base(), patches()]);
    lab.write("bundle-layout-added/rootfs/etc/repacked", "umoci\n");
    lab.run("umoci", &["repack", "--image", "layout:repacked", "bundle-layout-added"]);
    lab.run("umoci", &["gc", "--layout", "layout"]);
    lab.validate("layout");

    // umoci drops unknown fields from index.json; the staging file still refers to our image.
    lab.write("third.tar", single("third", "regshape\n"));
    lab.regshape(&["layout", "annotate", "manifest", "--path", "layout", "--annotation", "a=b"]);
    lab.regshape(&["layout", "add", "layer", "--path", "layout", "--file", "third.tar"]);
    lab.regshape(&["layout", "generate", "config", "--path", "layout"]);
    lab.regshape(&["layout", "generate", "manifest", "--path", "layout", "--ref-name", "added"]);
    lab.validate("layout");
    assert_eq!(lab.run("umoci", &["ls", "--layout", "layout"]), "added\nrepacked\n");
    lab.run("umoci", &["stat", "--image", "layout:repacked"]);
    std::fs::remove_dir_all(lab.path("bundle-layout-added")).expect("deleted");
    unpack(&lab, "layout:added", &[base(), patches(), single("third", "regshape\n")]);
}

#[test]
fn a_copy_by_skopeo_can_be_added_to() {
    let Some(lab) = Lab::with(&["umoci", "skopeo"]) else { return };
    lab.write("theirs.tar", single("theirs", "skopeo\n"));
    lab.run("umoci", &["init", "--layout", "source"]);
    lab.run("umoci", &["new", "--image", "source:one"]);
    lab.run("umoci", &["raw", "add-layer", "--image", "source:one", "theirs.tar"]);
    lab.skopeo(&["copy", "oci:source:one", "oci:layout:theirs"]);
    go_on(&lab, "layout");
    for name in ["theirs", "added"] {
        lab.skopeo(&["inspect", &format!("oci:layout:{name}")]);
    }
    unpack(&lab, "layout:theirs", &[single("theirs", "skopeo\n")]);
    unpack(&lab, "layout:added", &[base(), patches()]);

    // Another copy into the layout that both programs have written to.
    lab.skopeo(&["copy", "oci:source:one", "oci:layout:again"]);
    lab.validate("layout");
    assert_eq!(lab.run("umoci", &["ls", "--layout", "layout"]), "theirs\nadded\nagain\n");
    lab.regshape(&["layout", "annotate", "manifest", "--path", "layout", "--annotation", "a=b"]);
    lab.validate("layout");
    assert_eq!(lab.manifest("layout", "added")["annotations"]["a"], "b");
}

#[test]
fn a_layer_can_be_added_to_a_layout_of_buildah() {
    let Some(lab) = Lab::with(&["buildah", "umoci"]) else { return };
    buildah_image(&lab);
    lab.buildah(&["push", "--quiet", "--signature-policy", "policy.json", "theirs", "oci:layout:theirs"]);
    go_on(&lab, "layout");
    unpack(&lab, "layout:added", &[base(), patches()]);
    for name in ["theirs", "added"] {
        let source = format!("oci:layout:{name}");
        let id = lab.buildah(&["pull", "--quiet", "--signature-policy", "policy.json", &source]);
        assert!(!id.is_empty());
    }
    lab.run("umoci", &["stat", "--image", "layout:theirs"]);
}

#[test]
fn a_layer_can_be_added_to_an_image_of_podman() {
    let Some(lab) = Lab::with(&["buildah", "podman", "umoci"]) else { return };
    buildah_image(&lab);
    lab.buildah(&["push", "--quiet", "--signature-policy", "policy.json", "theirs", "oci:pushed:theirs"]);
    let id = lab.podman(&["pull", "--quiet", "--signature-policy", "policy.json", "oci:pushed:theirs"]);
    lab.podman(&["save", "--quiet", "--format", "oci-dir", "--output", "layout", &id]);
    go_on(&lab, "layout");
    lab.podman(&["pull", "--quiet", "--signature-policy", "policy.json", "oci:layout:added"]);
    unpack(&lab, "layout:added", &[base(), patches()]);
}

fn buildah_image(lab: &Lab) {
    lab.write("theirs.txt", "buildah\n");
    let container = lab.buildah(&["from", "--signature-policy", "policy.json", "scratch"]);
    lab.buildah(&["add", "--quiet", &container, "theirs.txt", "/theirs"]);
    lab.buildah(&["commit", "--quiet", "--signature-policy", "policy.json", &container, "theirs"]);
}
