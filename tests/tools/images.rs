//! Other programs read the images that regshape builds.

use super::lab::Lab;
use super::samples::{base, patches};
use super::tree::{Tree, sha256};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A combination of compressor, flags and stored media type for the two layers.
struct Way {
    compressors: [&'static [&'static str]; 2],
    options: &'static [&'static str],
    stored: [&'static str; 2],
}

const WAYS: [Way; 6] = [
    // The reference's full example: an uncompressed tar and a gzip one.
    Way { compressors: [&[], &["gzip"]], options: &[], stored: [GZIP, GZIP] },
    Way { compressors: [&["pigz"], &["bzip2"]], options: &[], stored: [GZIP, GZIP] },
    Way { compressors: [&["xz"], &["xz", "-9", "--check=crc32"]], options: &[], stored: [GZIP, GZIP] },
    Way { compressors: [&[], &[]], options: &["--media-type", TAR], stored: [TAR, TAR] },
    Way { compressors: [&[], &["zstd", "-19"]], options: &["--compress-format", "zstd"], stored: [ZSTD, ZSTD] },
    Way { compressors: [&["zstd"], &["gzip", "-1"]], options: &[], stored: [ZSTD, GZIP] },
];

const COMPRESSORS: [&str; 5] = ["gzip", "pigz", "bzip2", "xz", "zstd"];

/// Builds an image by the eleven steps of the reference's full example.
fn make(lab: &Lab, way: &Way) {
    let layers = [("rootfs.tar", base(), "layer-0"), ("patches.tar", patches(), "layer-1")];
    lab.regshape(&["layout", "init", "--path", "my-image"]);
    for ((tar, content, file), compressor) in layers.iter().zip(way.compressors) {
        lab.write(tar, content);
        match compressor {
            [] => lab.write(file, content),
            [program, options @ ..] => lab.write(file, lab.run_bytes(program, &[options, &["-c", tar]].concat())),
        }
        lab.regshape(&[&["layout", "add", "layer", "--path", "my-image", "--file", file], way.options].concat());
    }
    let on_layout = |words: &[&str], options: &[&str]| {
        lab.regshape(&[&["layout"], words, &["--path", "my-image"], options].concat())
    };
    on_layout(&["annotate", "layer"], &["--index", "1", "--annotation", "com.example.layer.role=patches"]);
    on_layout(&["status"], &[]);
    on_layout(&["generate", "config"], &["--architecture", "arm64", "--os", "linux"]);
    on_layout(&["update", "config"], &["--architecture", "amd64"]);
    on_layout(
        &["generate", "manifest"],
        &["--ref-name", "latest", "--annotation", "org.opencontainers.image.version=1.0.0"],
    );
    on_layout(&["annotate", "manifest"], &["--annotation", "org.opencontainers.image.created=2026-03-08"]);
    on_layout(&["show"], &[]);
    lab.validate("my-image");
    let manifest = lab.manifest("my-image", "latest");
    let stored: Vec<_> =
        manifest["layers"].as_array().expect("layers").iter().map(|layer| &layer["mediaType"]).collect();
    assert_eq!(stored, way.stored);
}

fn for_each_way(programs: &[&str], check: impl Fn(&Lab, &Way, &Tree)) {
    let tree = Tree::of_layers(&[base(), patches()]);
    for way in &WAYS {
        let Some(lab) = Lab::with(&[&COMPRESSORS, programs].concat()) else { return };
        make(&lab, way);
        check(&lab, way, &tree);
    }
}

/// Debian's umoci and docker-archive do not support zstd: skopeo converts the layers to gzip first.
fn without_zstd(lab: &Lab, way: &Way) -> &'static str {
    if !way.stored.contains(&ZSTD) {
        return "my-image";
    }
    lab.skopeo(&["copy", "--dest-compress-format", "gzip", "oci:my-image:latest", "oci:gzipped:latest"]);
    lab.validate("gzipped");
    "gzipped"
}

fn umoci_unpack(lab: &Lab, image: &str, bundle: &str) {
    let rootless: &[&str] = if super::lab::is_root() { &[] } else { &["--rootless"] };
    lab.run("umoci", &[&["unpack"], rootless, &["--image", image, bundle]].concat());
}

#[test]
fn umoci_unpacks_the_tars_that_went_in() {
    for_each_way(&["umoci", "skopeo"], |lab, way, tree| {
        let layout = without_zstd(lab, way);
        umoci_unpack(lab, &format!("{layout}:latest"), "bundle");
        tree.assert_is_at(&lab.path("bundle/rootfs"), "umoci");
    });
}

#[test]
fn skopeo_copies_to_a_docker_archive_and_back() {
    let diff_ids = [base(), patches()].map(|tar| sha256(&tar));
    for_each_way(&["skopeo", "umoci"], |lab, way, tree| {
        let source = format!("oci:{}:latest", without_zstd(lab, way));
        lab.skopeo(&["copy", &source, "docker-archive:image.tar:example:latest"]);
        lab.skopeo(&["copy", "docker-archive:image.tar", "oci:back:latest"]);
        lab.validate("back");
        for layout in ["my-image", "back"] {
            let digest = lab.manifest(layout, "latest")["config"]["digest"].as_str().expect("a digest").to_owned();
            let config: serde_json::Value = serde_json::from_slice(&lab.blob(layout, &digest)).expect("a config");
            assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(diff_ids), "{layout}");
            assert_eq!(config["architecture"], "amd64", "{layout}");
        }
        umoci_unpack(lab, "back:latest", "bundle");
        tree.assert_is_at(&lab.path("bundle/rootfs"), "a docker-archive");
    });
}

#[test]
fn podman_pulls_the_tars_that_went_in() {
    for_each_way(&["podman"], |lab, _, tree| {
        let id = lab.podman(&["pull", "--quiet", "--signature-policy", "policy.json", "oci:my-image:latest"]);
        let mounted = lab.podman(&["image", "mount", &id]);
        tree.assert_is_at(mounted.as_ref(), "podman");
        lab.podman(&["image", "unmount", &id]);
    });
}

#[test]
fn buildah_pulls_the_tars_that_went_in() {
    for_each_way(&["buildah"], |lab, _, tree| {
        let id = lab.buildah(&["pull", "--quiet", "--signature-policy", "policy.json", "oci:my-image:latest"]);
        let container = lab.buildah(&["from", "--pull-never", "--signature-policy", "policy.json", &id]);
        let mounted = lab.buildah(&["mount", &container]);
        tree.assert_is_at(mounted.as_ref(), "buildah");
        lab.buildah(&["umount", &container]);
    });
}
