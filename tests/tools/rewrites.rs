//! Images whose layers were rewritten have the same files for other programs.

use super::lab::{Lab, is_root, say};
use super::samples::{base, patches, single};
use super::tree::Tree;

/// Unpacks an image with umoci.
fn unpacked(lab: &Lab, tag: &str, name: &str) -> Tree {
    lab.run("umoci", &["unpack", "--image", &format!("image:{tag}"), name]);
    Tree::on_disk(&lab.path(&format!("{name}/rootfs")))
}

#[test]
fn rewritten_images_are_the_same_for_umoci_skopeo_and_podman() {
    let Some(lab) = Lab::with(&["umoci", "skopeo", "podman"]) else { return };
    if !is_root() {
        return say("skipped a test of rewritten images: only root can unpack owners");
    }
    for (name, layer) in [("0", base()), ("1", patches()), ("2", single("etc/more", "more\n"))] {
        lab.write(&format!("{name}.tar"), layer);
    }
    lab.regshape(&["build", "-q", "-o", "image:base", "--layer", "0.tar"]);
    lab.regshape(&["build", "-q", "-o", "image:v1", "--base", "image:base", "--layer", "1.tar", "--layer", "2.tar"]);
    let before = unpacked(&lab, "v1", "before");
    let verbs: [(&str, &[&str]); 6] = [
        ("squashed", &["squash"]),
        ("above", &["squash", "--keep-base"]),
        ("zstd", &["recompress", "--compress-format", "zstd"]),
        ("plain", &["recompress", "--compress-format", "none"]),
        ("stripped", &["strip", "/usr/bin/tool", "/var/cache", "/etc/added"]),
        ("clamped", &["set-times", "--clamp", "@1", "--keep", "0"]),
    ];
    for (tag, words) in verbs {
        let arguments = [words, &["-q", "-p", "image:v1", "--tag", tag]].concat();
        lab.regshape(&arguments);
        lab.run("skopeo", &["copy", "-q", &format!("oci:image:{tag}"), &format!("dir:{tag}")]);
        lab.podman(&["pull", "-q", &format!("oci:image:{tag}")]);
        // umoci reads no zstd.
        if tag == "zstd" {
            continue;
        }
        let after = unpacked(&lab, tag, &format!("after-{tag}"));
        match tag {
            "stripped" => {
                let removed = ["usr/bin/tool", "var/cache", "etc/added"];
                after.assert_is_without(&before, &removed, "strip");
            }
            "clamped" => after.assert_is_at_other_times(&before),
            _ => assert!(after == before, "{tag}"),
        }
    }
    lab.validate("image");
    // A base that was compressed again is the same base, and the layers fit on another one.
    lab.regshape(&[
        "recompress",
        "-q",
        "-p",
        "image:base",
        "--compress-format",
        "gzip",
        "--level",
        "9",
        "--tag",
        "small",
    ]);
    lab.regshape(&[
        "rebase",
        "-q",
        "-p",
        "image:v1",
        "--old-base",
        "image:small",
        "--new-base",
        "image:small",
        "--tag",
        "rebased",
    ]);
    assert!(unpacked(&lab, "rebased", "after-rebased") == before);
    lab.podman(&["pull", "-q", "oci:image:rebased"]);
}
