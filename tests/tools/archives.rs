//! Archives: other programs load those that regshape writes, and regshape imports those that they save.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::lab::{Lab, is_root};
use super::samples::{base, patches, single};
use super::tree::{Tree, sha256};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const POLICY: [&str; 2] = ["--signature-policy", "policy.json"];
const ONE: &str = "example.com/one:v1";
const TWO: &str = "example.com/two:v1";

/// Runs a command that writes, and checks that no temporary file is left.
fn layout(lab: &Lab, words: &str) -> String {
    let output = lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    let left: Vec<String> = std::fs::read_dir(lab.path(""))
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("a name in UTF-8"))
        .filter(|name| name.contains("-tmp-"))
        .collect();
    assert_eq!(left, [""; 0], "{words}");
    output
}

/// Returns the layers of an image created by [`images`].
fn layers(name: &str) -> Vec<Vec<u8>> {
    if name == TWO { vec![single("two", "two\n")] } else { vec![base(), patches()] }
}

/// Creates two images in `images`; the first has a second name, `example.com/one:v2`.
fn images(lab: &Lab) {
    for name in [ONE, TWO] {
        let part = if name == ONE { "one" } else { "two" };
        layout(lab, &format!("init -p {part} -q"));
        for layer in layers(name) {
            lab.write("layer.tar", layer);
            layout(lab, &format!("add layer -p {part} -f layer.tar -q"));
        }
        layout(lab, &format!("generate config -p {part} --architecture {} -q", host()));
        layout(lab, &format!("generate manifest -p {part} --ref-name {name} -q"));
        layout(lab, &format!("export -p {part} -o images -q"));
    }
    layout(lab, &format!("tag add -p images --ref {ONE} example.com/one:v2"));
    lab.validate("images");
}

/// Returns the architecture of this machine in the form used by images. Programs select images for it.
fn host() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns another architecture than that of this machine.
fn foreign() -> &'static str {
    if host() == "amd64" { "arm64" } else { "amd64" }
}

/// Creates an image for a platform with buildah, and pushes it to a target.
fn buildah_image(lab: &Lab, architecture: &str, target: &str) {
    lab.write("layer.tar", single("platform", architecture));
    let container = lab.buildah(&[&["from"], &POLICY[..], &["scratch"]].concat());
    lab.buildah(&["add", "--quiet", &container, "layer.tar", "/"]);
    lab.buildah(&["config", "--arch", architecture, "--os", "linux", &container]);
    lab.buildah(&[&["commit", "--quiet"], &POLICY[..], &[&container, architecture]].concat());
    lab.buildah(&[&["push", "--quiet"], &POLICY[..], &[architecture, target]].concat());
}

/// Joins images by buildah for this machine and another one into `multi`, under the name `v1`: one from a layout, the
/// other from an archive.
fn multi_platform(lab: &Lab) {
    buildah_image(lab, host(), "oci:host:v1");
    buildah_image(lab, foreign(), "oci-archive:foreign.tar:v1");
    layout(lab, "join -p host -p foreign.tar -o multi");
    lab.validate("multi");
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Returns the config of an image in a layout.
fn config(lab: &Lab, layout: &str, name: &str) -> (String, Value) {
    let digest = lab.manifest(layout, name)["config"]["digest"].as_str().expect("a digest").to_owned();
    let config = serde_json::from_slice(&lab.blob(layout, &digest)).expect("a config");
    (digest, config)
}

fn unpacks(lab: &Lab, image: &str, layers: &[Vec<u8>]) {
    let bundle = lab.path("bundle");
    if bundle.exists() {
        lab.run("rm", &["-rf", "bundle"]);
    }
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    lab.run("umoci", &[&["unpack"], rootless, &["--image", image, "bundle"]].concat());
    Tree::of_layers(layers).assert_is_at(&bundle.join("rootfs"), image);
}

/// Loads an archive into an empty podman storage, and compares the images there by their ids and names.
#[track_caller]
fn podman_loads(lab: &Lab, archive: &str, expected: &[(&str, &[&str])]) {
    lab.podman(&["rmi", "--all", "--force"]);
    lab.podman(&[&["load", "--quiet"], &POLICY[..], &["--input", archive]].concat());
    let listed = json_of(&lab.podman(&["images", "--no-trunc", "--format", "json"]));
    let mut found: Vec<(String, Vec<String>)> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|image| {
            let names = image["Names"].as_array().into_iter().flatten();
            let mut names: Vec<_> = names.map(|name| name.as_str().expect("a name").to_owned()).collect();
            names.sort();
            (format!("sha256:{}", image["Id"].as_str().expect("an id").trim_start_matches("sha256:")), names)
        })
        .collect();
    // podman may list an image once for each of its names.
    found.sort();
    found.dedup();
    let mut expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(id, names)| ((*id).to_owned(), names.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    expected.sort();
    assert_eq!(found, expected, "{archive}");
}

/// Compares the files of an image in podman with those of its layers.
#[track_caller]
fn podman_has(lab: &Lab, id: &str, layers: &[Vec<u8>]) {
    let mounted = PathBuf::from(lab.podman(&["image", "mount", id]));
    Tree::of_layers(layers).assert_is_at(&mounted, id);
    lab.podman(&["image", "unmount", id]);
}

/// Exports to standard output, and writes the result to a file.
fn export_to_stdout(lab: &Lab, words: &str, file: &str) {
    let words = format!("layout export {words} -o -");
    let archive = lab.run_bytes(env!("CARGO_BIN_EXE_regshape"), &words.split(' ').collect::<Vec<_>>());
    lab.write(file, archive);
}

#[test]
fn skopeo_and_podman_read_every_oci_archive() {
    let Some(lab) = Lab::with(&["skopeo", "podman", "umoci"]) else { return };
    images(&lab);
    let (id, _) = config(&lab, "one", ONE);
    let one = lab.read("one/index.json");
    for (words, file) in [
        ("", "plain.tar"),
        ("", "gzip.tar.gz"),
        ("", "zstd.tar.zst"),
        ("--format oci-archive ", "named.image"),
        ("--format tar.gz ", "gzip.image"),
        ("--format tar.zst ", "zstd.image"),
        ("--format docker-archive ", "docker.tar"),
        ("--format docker-archive ", "docker.tar.gz"),
        ("--format docker-archive ", "docker.tar.zst"),
        ("--ref example.com/one:v1 ", "chosen.tar"),
        ("--format docker-archive ", "-"),
        ("", "-"),
    ] {
        let words = format!("-p one {words}").trim_end().to_owned();
        let file = match file {
            "-" => {
                export_to_stdout(&lab, &words, "stdout.tar");
                "stdout.tar"
            }
            file => {
                layout(&lab, &format!("export {words} -o {file}"));
                file
            }
        };
        let image = format!("oci-archive:{file}");
        let manifest = lab.skopeo(&["inspect", "--raw", &image]);
        assert_eq!(json_of(&manifest), lab.manifest("one", ONE), "{file}");
        lab.skopeo(&["copy", &image, &format!("oci:back:{}", file.replace('.', "-"))]);
        podman_loads(&lab, file, &[(&id, &[ONE])]);
        podman_has(&lab, &id, &layers(ONE));
    }
    // Every round trip results in the same blobs.
    assert_eq!(lab.blobs("back"), lab.blobs("one"));
    unpacks(&lab, "back:plain-tar", &layers(ONE));
    assert_eq!(lab.read("one/index.json"), one);
}

#[test]
fn skopeo_chooses_an_image_of_an_oci_archive_by_its_name() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    images(&lab);
    layout(&lab, "export -p images -o all.tar");
    for name in [ONE, "example.com/one:v2", TWO] {
        lab.skopeo(&["copy", &format!("oci-archive:all.tar:{name}"), "oci:back:copy"]);
        assert_eq!(lab.manifest("back", "copy"), lab.manifest("images", name), "{name}");
        unpacks(&lab, "back:copy", &layers(name));
    }
}

#[test]
fn skopeo_and_podman_find_the_image_names_of_a_docker_archive() {
    let Some(lab) = Lab::with(&["skopeo", "podman"]) else { return };
    images(&lab);
    let (one, _) = config(&lab, "images", ONE);
    let (two, _) = config(&lab, "images", TWO);
    // As in `docker save`: the ref name is the bare tag, and the image name is complete.
    let mut index = lab.json("images/index.json");
    for entry in index["manifests"].as_array_mut().expect("entries") {
        let name = entry["annotations"][REF_NAME].as_str().expect("a name").to_owned();
        let tag = name.rsplit(':').next().expect("a tag");
        entry["annotations"] = json!({REF_NAME: tag, "io.containerd.image.name": name});
    }
    lab.write("images/index.json", index.to_string());
    let both = ["example.com/one:v1", "example.com/one:v2"];
    layout(&lab, "export -p images --format docker-archive -o all.tar");
    podman_loads(&lab, "all.tar", &[(&one, &both), (&two, &[TWO])]);
    for name in [ONE, "example.com/one:v2", TWO] {
        lab.skopeo(&["inspect", "--raw", &format!("docker-archive:all.tar:{name}")]);
        layout(&lab, &format!("inspect --file all.tar --ref {name}"));
    }
    layout(&lab, "tag move -p images --ref example.com/two:v1 v3");
    layout(&lab, "export -p images:v3 --format docker-archive -o moved.tar");
    podman_loads(&lab, "moved.tar", &[(&two, &["example.com/two:v3"])]);
    // After an import the entries are unchanged.
    layout(&lab, "import -p back --file all.tar");
    assert_eq!(lab.json("back/index.json")["manifests"], index["manifests"]);
}

#[test]
fn skopeo_and_podman_read_docker_archives_of_several_images() {
    let Some(lab) = Lab::with(&["skopeo", "podman", "umoci"]) else { return };
    images(&lab);
    let (one, one_config) = config(&lab, "images", ONE);
    let (two, two_config) = config(&lab, "images", TWO);
    layout(&lab, "export -p images --format docker-archive -o all.tar");
    let both = ["example.com/one:v1", "example.com/one:v2"];
    podman_loads(&lab, "all.tar", &[(&one, &both), (&two, &[TWO])]);
    podman_has(&lab, &one, &layers(ONE));
    podman_has(&lab, &two, &layers(TWO));
    for (name, config) in [(ONE, &one_config), ("example.com/one:v2", &one_config), (TWO, &two_config)] {
        let image = format!("docker-archive:all.tar:{name}");
        assert_eq!(json_of(&lab.skopeo(&["inspect", "--raw", "--config", &image])), *config, "{image}");
        lab.skopeo(&["copy", &image, "oci:back:copy"]);
        unpacks(&lab, "back:copy", &layers(name));
        lab.skopeo(&["copy", &format!("oci-archive:all.tar:{name}"), "oci:back:as-oci"]);
        assert_eq!(lab.manifest("back", "as-oci"), lab.manifest("images", name));
    }
    // The flag decides the format. The skopeo and podman of Debian cannot read compressed archives.
    layout(&lab, "export -p images --format docker-archive -o all.tar.gz");
    assert_eq!(lab.read("all.tar.gz"), lab.read("all.tar"));
    // In a Docker archive the image has no name; podman reads the archive as an OCI archive and generates a name.
    layout(&lab, &format!("export -p images --ref {TWO} --ref-name v1 --format docker-archive -o unnamed.tar"));
    assert_eq!(json_of(&lab.skopeo(&["inspect", "--raw", "--config", "docker-archive:unnamed.tar"])), two_config);
    podman_loads(&lab, "unnamed.tar", &[(&two, &["localhost/v1:latest"])]);
    podman_has(&lab, &two, &layers(TWO));
}

#[test]
fn an_index_of_platforms_is_read_from_archives_and_layouts() {
    let Some(lab) = Lab::with(&["buildah", "podman", "skopeo", "umoci"]) else { return };
    multi_platform(&lab);
    layout(&lab, "export -p multi -o multi.tar");
    layout(&lab, "export -p multi -o multi.tar.gz");
    layout(&lab, "export -p multi -o copied");
    layout(&lab, "import -p imported -f multi.tar.gz");
    layout(&lab, "join -p host -p foreign.tar -o joined.tar --ref-name v1");
    assert_eq!(lab.read("joined.tar"), lab.read("multi.tar"));
    let (id, _) = config(&lab, "host", "v1");
    let raw = lab.manifest("multi", "v1");
    for (image, is_archive) in [
        ("oci:multi:v1", false),
        ("oci-archive:multi.tar:v1", true),
        ("oci-archive:multi.tar", true),
        ("oci-archive:multi.tar.gz:v1", true),
        ("oci:copied:v1", false),
        ("oci:imported:v1", false),
    ] {
        assert_eq!(json_of(&lab.skopeo(&["inspect", "--raw", image])), raw, "{image}");
        for (at, architecture) in [host(), foreign()].into_iter().enumerate() {
            let options = ["--override-arch", architecture, "--override-os", "linux"];
            let inspected = json_of(&lab.skopeo(&[&options[..], &["inspect", image]].concat()));
            assert_eq!(inspected["Architecture"], architecture, "{image}");
            lab.skopeo(&[&options[..], &["copy", image, "oci:single:copy"]].concat());
            let manifest = sha256(lab.manifest_bytes("single", "copy").as_slice());
            assert_eq!(raw["manifests"][at]["digest"], manifest, "{image}");
            unpacks(&lab, "single:copy", &[single("platform", architecture)]);
        }
        lab.run("rm", &["-rf", "all"]);
        lab.skopeo(&["copy", "--all", image, "oci:all:v1"]);
        lab.validate("all");
        assert_eq!(lab.manifest("all", "v1")["manifests"], raw["manifests"], "{image}");
        if is_archive {
            podman_loads(&lab, image.split(':').nth(1).expect("a file"), &[(&id, &["localhost/v1:latest"])]);
        } else {
            lab.podman(&["rmi", "--all", "--force"]);
            let pulled = lab.podman(&[&["pull", "--quiet"], &POLICY[..], &[image]].concat());
            assert_eq!(format!("sha256:{pulled}"), id, "{image}");
        }
        podman_has(&lab, &id, &[single("platform", host())]);
    }
    lab.podman(&["rmi", "--all", "--force"]);
    let arch = ["pull", "--quiet", "--arch", foreign()];
    let pulled = lab.podman(&[&arch[..], &POLICY[..], &["oci:multi:v1"]].concat());
    podman_has(&lab, &pulled, &[single("platform", foreign())]);
}

#[test]
fn the_image_for_one_platform_is_the_one_that_was_joined() {
    let Some(lab) = Lab::with(&["buildah", "podman", "skopeo", "umoci"]) else { return };
    multi_platform(&lab);
    let platform = format!("linux/{}", foreign());
    lab.skopeo(&["copy", "oci-archive:foreign.tar", "oci:foreign:v1"]);
    let (id, _) = config(&lab, "foreign", "v1");
    let manifest = lab.manifest("foreign", "v1");
    for (words, file, name) in [
        ("", "platform.tar", "localhost/v1:latest"),
        ("--ref v1 ", "platform.tar.gz", "localhost/v1:latest"),
        ("--unwrap --ref-name example.com/p:v1 ", "unwrapped.tar", "example.com/p:v1"),
        ("--ref-name example.com/p:v1 --format docker-archive ", "docker.tar", "example.com/p:v1"),
    ] {
        layout(&lab, &format!("export -p multi --platform {platform} {words}-o {file}"));
        let options = ["--override-arch", foreign(), "--override-os", "linux"];
        let raw = lab.skopeo(&["inspect", "--raw", &format!("oci-archive:{file}")]);
        assert_eq!(json_of(&raw), manifest, "{file}");
        let image = format!("oci-archive:{file}");
        lab.skopeo(&[&options[..], &["copy", &image, "oci:back:copy"]].concat());
        assert_eq!(lab.manifest("back", "copy"), manifest, "{file}");
        podman_loads(&lab, file, &[(&id, &[name])]);
        podman_has(&lab, &id, &[single("platform", foreign())]);
    }
    // All platforms, selected one by one: the result is still an index.
    let both = format!("--platform {platform} --platform linux/{}", host());
    layout(&lab, &format!("export -p multi {both} -o both.tar"));
    let index = json_of(&lab.skopeo(&["inspect", "--raw", "oci-archive:both.tar"]));
    assert_eq!(index["manifests"], lab.manifest("multi", "v1")["manifests"]);
}

#[test]
fn a_wrapped_index_is_one_image_for_the_platforms_of_its_entries() {
    let Some(lab) = Lab::with(&["buildah", "skopeo", "umoci"]) else { return };
    for architecture in [host(), foreign()] {
        buildah_image(&lab, architecture, &format!("oci:pushed:{architecture}"));
    }
    // buildah does not write the platform, which programs need to select an image.
    let parts = [host(), foreign()].map(|architecture| format!("-p pushed:{architecture}")).join(" ");
    layout(&lab, &format!("join {parts} -o joined --ref-name inner"));
    layout(&lab, "export -p joined --unwrap --wrap --ref-name v1 -o wrapped.tar");
    layout(&lab, "export -p joined --unwrap --wrap --ref-name v1 -o wrapped");
    lab.validate("wrapped");
    for image in ["oci-archive:wrapped.tar:v1", "oci:wrapped:v1"] {
        for architecture in [host(), foreign()] {
            let options = ["--override-arch", architecture, "--override-os", "linux"];
            lab.skopeo(&[&options[..], &["copy", image, "oci:single:copy"]].concat());
            unpacks(&lab, "single:copy", &[single("platform", architecture)]);
        }
    }
}

/// Imports an archive into a new layout and into one with an image, and compares the images that other programs find
/// there.
#[track_caller]
fn imports(lab: &Lab, file: &str, options: &str, name: &str, layers: &[Vec<u8>]) {
    lab.run("rm", &["-rf", "imported", "existing"]);
    layout(lab, "init -p existing -q");
    lab.write("layer.tar", single("before", "before\n"));
    layout(lab, "add layer -p existing -f layer.tar -q");
    layout(lab, "generate config -p existing -q");
    layout(lab, "generate manifest -p existing --ref-name before -q");
    let before = lab.manifest("existing", "before");
    for target in ["imported", "existing"] {
        layout(lab, format!("import -p {target} -f {file} {options}").trim_end());
        lab.validate(target);
        lab.skopeo(&["inspect", &format!("oci:{target}:{name}")]);
        // umoci only supports OCI media types; skopeo converts those of Docker.
        lab.run("rm", &["-rf", "as-oci"]);
        lab.skopeo(&["copy", "--format", "oci", &format!("oci:{target}:{name}"), "oci:as-oci:copy"]);
        unpacks(lab, "as-oci:copy", layers);
        if lab.manifest(target, name)["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json" {
            unpacks(lab, &format!("{target}:{name}"), layers);
        }
    }
    assert_eq!(lab.manifest("existing", "before"), before);
    unpacks(lab, "existing:before", &[single("before", "before\n")]);
    assert!(!lab.path("imported/.regshape-stage.json").exists());
}

#[test]
fn images_of_podman_are_imported() {
    let Some(lab) = Lab::with(&["podman", "skopeo", "umoci"]) else { return };
    images(&lab);
    layout(&lab, "export -p images --format docker-archive -o images.tar");
    lab.podman(&[&["load", "--quiet"], &POLICY[..], &["--input", "images.tar"]].concat());
    for (format, file) in
        [("docker-archive", "docker.tar"), ("oci-archive", "oci.tar"), ("oci-dir", "oci"), ("docker-dir", "docker")]
    {
        for name in [ONE, TWO] {
            lab.run("rm", &["-rf", file]);
            lab.podman(&["save", "--quiet", "--format", format, "--output", file, name]);
            imports(&lab, file, "--ref-name v1", "v1", &layers(name));
            if lab.path(file).is_file() {
                for compressor in ["gzip", "zstd"] {
                    let compressed = format!("{file}.compressed");
                    lab.write(&compressed, lab.run_bytes(compressor, &["-c", file]));
                    layout(&lab, &format!("import -p {compressor}-{format} -f {compressed} --ref-name v1 --replace"));
                    let expected = lab.manifest("imported", "v1");
                    assert_eq!(lab.manifest(&format!("{compressor}-{format}"), "v1"), expected, "{compressor}");
                }
            }
        }
    }
    lab.run("rm", &["-f", "docker.tar"]);
    let both = ["save", "--quiet", "--multi-image-archive", "--format", "docker-archive", "--output", "docker.tar"];
    lab.podman(&[&both[..], &[ONE, TWO, "example.com/one:v2"]].concat());
    for name in [ONE, TWO, "example.com/one:v2"] {
        imports(&lab, "docker.tar", &format!("--ref {name} --ref-name v1"), "v1", &layers(name));
    }
    layout(&lab, "import -p several -f docker.tar");
    lab.validate("several");
    let mut names: Vec<String> = lab.json("several/index.json")["manifests"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry["annotations"][REF_NAME].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    assert_eq!(names, [ONE, "example.com/one:v2", TWO]);
}

#[test]
fn images_of_skopeo_are_imported() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    images(&lab);
    let source = format!("oci:images:{ONE}");
    for (target, file) in [
        ("oci-archive:oci.tar:name", "oci.tar"),
        ("oci-archive:unnamed.tar", "unnamed.tar"),
        ("docker-archive:docker.tar:example.com/one:v1", "docker.tar"),
        ("docker-archive:docker-unnamed.tar", "docker-unnamed.tar"),
        ("dir:dir", "dir"),
    ] {
        lab.skopeo(&["copy", &source, target]);
        imports(&lab, file, "--ref-name v1", "v1", &layers(ONE));
    }
    for (target, file) in [("dir:docker-dir", "docker-dir"), ("oci:uncompressed:name", "uncompressed")] {
        let format = if target.starts_with("dir") { "v2s2" } else { "oci" };
        lab.skopeo(&["copy", "--format", format, &source, target]);
        imports(&lab, file, "--ref-name v1", "v1", &layers(ONE));
    }
}

#[test]
fn all_platforms_that_skopeo_copies_are_imported() {
    let Some(lab) = Lab::with(&["buildah", "skopeo", "umoci"]) else { return };
    multi_platform(&lab);
    for (target, file) in
        [("oci-archive:all.tar:v1", "all.tar"), ("oci-archive:bare.tar", "bare.tar"), ("dir:all", "all")]
    {
        lab.skopeo(&["copy", "--all", "oci:multi:v1", target]);
        layout(&lab, &format!("import -p from-{file} -f {file} --ref-name v1"));
        lab.validate(&format!("from-{file}"));
        assert_eq!(lab.blobs(&format!("from-{file}")), lab.blobs("multi"), "{file}");
        let inspected = json_of(&layout(&lab, &format!("inspect -f {file} --json")));
        let platforms: Vec<&Value> =
            inspected["images"].as_array().expect("images").iter().map(|image| &image["platform"]).collect();
        assert_eq!(platforms, [&json!(format!("linux/{}", host())), &json!(format!("linux/{}", foreign()))]);
        for architecture in [host(), foreign()] {
            let options = ["--override-arch", architecture, "--override-os", "linux"];
            lab.skopeo(&[&options[..], &["copy", &format!("oci:from-{file}:v1"), "oci:single:copy"]].concat());
            unpacks(&lab, "single:copy", &[single("platform", architecture)]);
            let chosen = format!("{file}-{architecture}");
            layout(&lab, &format!("import -p {chosen} -f {file} --ref-name v1 --platform linux/{architecture}"));
            lab.validate(&chosen);
            unpacks(&lab, &format!("{chosen}:v1"), &[single("platform", architecture)]);
        }
    }
    // A single platform, copied by skopeo from the index.
    lab.skopeo(&["--override-arch", foreign(), "copy", "oci:multi:v1", "oci-archive:one.tar:v1"]);
    imports(&lab, "one.tar", "", "v1", &[single("platform", foreign())]);
}

#[test]
fn images_of_buildah_are_imported() {
    let Some(lab) = Lab::with(&["buildah", "skopeo", "umoci"]) else { return };
    for (target, file) in [
        ("oci-archive:oci.tar:name", "oci.tar"),
        ("docker-archive:docker.tar:example.com/name:v1", "docker.tar"),
        ("oci:oci:name", "oci"),
        ("dir:dir", "dir"),
    ] {
        buildah_image(&lab, host(), target);
        imports(&lab, file, "--ref-name v1", "v1", &[single("platform", host())]);
    }
    // Images with Docker media types.
    for (target, file) in [("oci-archive:v2s2.tar:name", "v2s2.tar"), ("dir:v2s2", "v2s2")] {
        let format: &[&str] = if target.starts_with("dir") { &["--format", "v2s2"] } else { &[] };
        lab.buildah(&[&["push", "--quiet"], format, &POLICY[..], &[host(), target]].concat());
        imports(&lab, file, "--ref-name v1", "v1", &[single("platform", host())]);
    }
}

#[test]
fn a_tar_of_a_layout_of_umoci_is_imported() {
    let Some(lab) = Lab::with(&["umoci", "skopeo"]) else { return };
    lab.write("one.tar", base());
    lab.run("umoci", &["init", "--layout", "theirs"]);
    lab.run("umoci", &["new", "--image", "theirs:name"]);
    lab.run("umoci", &["raw", "add-layer", "--image", "theirs:name", "one.tar"]);
    lab.run("umoci", &["gc", "--layout", "theirs"]);
    for options in [
        &["-cf", "image.tar", "-C", "theirs", "."][..],
        &["-czf", "image.tar", "-C", "theirs", "."],
        &["--format", "pax", "-cf", "image.tar", "-C", "theirs", "index.json", "oci-layout", "blobs"],
        &["--format", "v7", "--zstd", "-cf", "image.tar", "-C", "theirs", "blobs", "index.json", "oci-layout"],
    ] {
        lab.run("tar", options);
        imports(&lab, "image.tar", "", "name", &[base()]);
        assert_eq!(lab.blobs("imported"), lab.blobs("theirs"), "{options:?}");
    }
}
