//! Images of files, tars and bases, as other programs see them.

use std::process::Command;

use serde_json::{Value, json};

use super::lab::{Lab, is_root};
use super::samples::base;

/// Writes a program, and files beside it.
fn write_files(lab: &Lab) {
    lab.run("mkdir", &["-p", "files/bin", "files/etc"]);
    lab.write("files/bin/app", "#!/bin/sh\necho hello\n");
    lab.write("files/etc/app.conf", "port=8080\n");
    lab.run("chmod", &["-R", "u=rwX,go=rX", "files"]);
    lab.run("chmod", &["4755", "files/bin/app"]);
}

fn regshape(lab: &Lab, words: &str) -> String {
    lab.regshape(&words.split(' ').collect::<Vec<_>>())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Unpacks an image with umoci, and returns the configuration of the container.
fn unpack(lab: &Lab, image: &str, bundle: &str) -> Value {
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    lab.run("umoci", &[&["unpack"], rootless, &["--image", image, bundle]].concat());
    lab.json(&format!("{bundle}/config.json"))
}

const FLAGS: &str = "--entrypoint /bin/app --cmd -v --env A=b --user 33:33 --workdir /srv --expose 8080 --label x=y";

/// The config of a built image, as podman shows it.
fn config() -> Value {
    json!({
        "Entrypoint": ["/bin/app"], "Cmd": ["-v"], "Env": ["A=b"], "User": "33:33", "WorkingDir": "/srv",
        "ExposedPorts": {"8080/tcp": {}}, "Labels": {"x": "y"},
    })
}

#[test]
fn every_program_takes_the_images_that_are_built() {
    let Some(lab) = Lab::with(&["podman", "skopeo", "umoci", "buildah"]) else { return };
    write_files(&lab);
    let policy = ["--signature-policy", "policy.json"];
    for (architecture, format) in [("amd64", "gzip"), ("s390x", "gzip"), ("amd64", "zstd"), ("arm64", "none")] {
        let layout = format!("{architecture}-{format}");
        let platform = format!("--platform linux/{architecture}");
        regshape(&lab, &format!("build -o {layout}:v1 {platform} --copy files {FLAGS} --compress-format {format}"));
        lab.validate(&layout);
        let source = format!("oci:{layout}:v1");
        lab.skopeo(&["copy", &source, &format!("oci:copied:{layout}")]);
        let seen = parsed(&lab.skopeo(&["inspect", "--config", &source]));
        assert_eq!((&seen["architecture"], &seen["config"]), (&json!(architecture), &config()));

        let id = lab.podman(&[&["pull", "--quiet"], &policy[..], &["--arch", architecture, &source]].concat());
        let inspected = parsed(&lab.podman(&["image", "inspect", &id]));
        assert_eq!(inspected[0]["Config"], config());
        assert_eq!(inspected[0]["Architecture"], architecture);
        assert_eq!(inspected[0]["History"][0]["created_by"], "regshape add layer --copy /");
        let mounted = lab.podman(&["image", "mount", &id]);
        assert_eq!(lab.run("stat", &["-c", "%a %u:%g", &format!("{mounted}/bin/app")]), "4755 0:0\n");
        lab.podman(&["image", "unmount", &id]);

        let pulled = lab.buildah(&[&["pull", "--quiet"], &policy[..], &["--arch", architecture, &source]].concat());
        assert_eq!(parsed(&lab.buildah(&["inspect", "--type", "image", &pulled]))["OCIv1"]["config"], config());

        // umoci 0.4 and Docker archives have no zstd.
        if format != "zstd" {
            let process = unpack(&lab, &format!("{layout}:v1"), &format!("bundle-{layout}"))["process"].clone();
            assert_eq!(process["args"], json!(["/bin/app", "-v"]));
            assert_eq!(process["cwd"], "/srv");
            let stat = parsed(&lab.run("umoci", &["stat", "--json", "--image", &format!("{layout}:v1")]));
            assert_eq!(stat["history"][0]["created_by"], "regshape add layer --copy /");
            let archive = format!("{layout}.docker.tar");
            lab.regshape(&["export", &layout, "--ref-name", "app:v1", "--format", "docker-archive", "-o", &archive]);
            let archive = format!("docker-archive:{layout}.docker.tar");
            lab.skopeo(&["copy", &archive, &format!("oci:back:{layout}")]);
            lab.podman(&[&["pull", "--quiet"], &policy[..], &["--arch", architecture, &archive]].concat());
        }
    }
    lab.validate("copied");
}

/// Containers need privileges that test machines do not give: the process is run in the unpacked root, as the container's
/// configuration has it.
#[test]
fn an_image_of_a_static_program_runs() {
    let Some(lab) = Lab::with(&["umoci", "busybox", "chroot"]) else { return };
    if !is_root() {
        return super::lab::say("not root: the image is not run");
    }
    let busybox = lab.run("sh", &["-c", "command -v busybox"]);
    let copy = format!("{}:/bin/busybox", busybox.trim_end());
    let build = ["build", "-o", "image:v1", "--copy", &copy, "--entrypoint", "/bin/busybox", "--entrypoint", "sh"];
    let flags = ["--cmd", "-c", "--cmd", "echo $GREETING $(pwd)", "--env", "GREETING=hello", "--workdir", "/bin"];
    lab.regshape(&[&build[..], &flags].concat());
    let process = unpack(&lab, "image:v1", "bundle")["process"].clone();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().expect("texts").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let environment = texts(&process["env"]);
    let script = "cd \"$0\" && exec \"$@\"";
    let output = Command::new("chroot")
        .arg(lab.path("bundle/rootfs"))
        .args(["/bin/busybox", "sh", "-c", script, process["cwd"].as_str().expect("a directory")])
        .args(texts(&process["args"]))
        .env_clear()
        .envs(environment.iter().filter_map(|variable| variable.split_once('=')))
        .output()
        .expect("chroot runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello /bin\n", "{output:?}");
}

/// Adds a file to an image by `build`, and returns the config and the manifest of the result, and what umoci unpacks.
fn built_on(lab: &Lab, base: &str, name: &str) -> (Value, Value, Vec<String>) {
    lab.regshape(&["build", "-o", &format!("{name}-built:v1"), "--base", base, "--copy", "files/bin/app:/opt/app"]);
    let layout = format!("{name}-built");
    let manifest = lab.manifest(&layout, "v1");
    let config = manifest["config"]["digest"].as_str().expect("a digest").to_owned();
    let config = serde_json::from_slice(&lab.blob(&layout, &config)).expect("a config");
    let bundle = format!("{name}-bundle");
    unpack(lab, &format!("{layout}:v1"), &bundle);
    let found = lab.run("find", &[&format!("{bundle}/rootfs"), "-type", "f", "-printf", "%P\n"]);
    let mut files: Vec<String> = found.lines().map(str::to_owned).collect();
    files.sort();
    (config, manifest, files)
}

fn steps(config: &Value) -> Vec<&str> {
    let history = config["history"].as_array().map_or(&[][..], Vec::as_slice);
    history.iter().map(|entry| entry["created_by"].as_str().unwrap_or_default()).collect()
}

const OWN_STEP: &str = "regshape add layer --copy /opt/app";

#[test]
fn e1_images_of_other_programs_are_bases() {
    let Some(lab) = Lab::with(&["umoci", "skopeo", "buildah"]) else { return };
    write_files(&lab);
    lab.write("one", "one");
    let policy = ["--signature-policy", "policy.json"];

    // umoci, with a history.
    lab.run("umoci", &["init", "--layout", "umoci"]);
    lab.run("umoci", &["new", "--image", "umoci:v1"]);
    lab.run("umoci", &["insert", "--rootless", "--image", "umoci:v1", "one", "/one"]);
    lab.run("umoci", &["config", "--image", "umoci:v1", "--config.env", "A=b"]);
    let (config, manifest, files) = built_on(&lab, "umoci:v1", "umoci");
    assert_eq!(steps(&config), ["umoci insert", "umoci config", OWN_STEP]);
    assert_eq!(config["config"]["Env"], json!(["A=b"]));
    let digest = lab.json("umoci/index.json")["manifests"][0]["digest"].clone();
    assert_eq!(manifest["annotations"], json!({"org.opencontainers.image.base.digest": digest}));
    assert_eq!(files, ["one", "opt/app"]);

    // buildah, in two commits.
    let mut image = "scratch".to_owned();
    for name in ["one", "two"] {
        lab.write(name, name);
        let container = lab.buildah(&[&["from", "--pull-never"], &policy[..], &[&image]].concat());
        lab.buildah(&["add", &container, &lab.text(name), &format!("/{name}")]);
        image = lab.buildah(&[&["commit", "--quiet"], &policy[..], &[&container, name]].concat());
        lab.buildah(&["rm", &container]);
    }
    lab.buildah(
        &[&["push", "--quiet"], &policy[..], &["two", &format!("oci:{}:v1", lab.text("buildah-oci"))]].concat(),
    );
    let (config, _, files) = built_on(&lab, "buildah-oci:v1", "buildah");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(3));
    assert_eq!(steps(&config).last(), Some(&OWN_STEP));
    assert_eq!(files, ["one", "opt/app", "two"]);

    // An archive of `docker save`, with the media types of Docker.
    let (config, manifest, files) = built_on(&lab, &corpus("archives/ggcr-test_image_1.tar"), "docker");
    assert_eq!(steps(&config).last(), Some(&OWN_STEP));
    let types = manifest["layers"].as_array().expect("layers").iter().map(|layer| layer["mediaType"].clone());
    assert!(types.clone().all(|name| name.as_str().is_some_and(|name| name.contains("oci"))), "{manifest}");
    assert!(files.contains(&"opt/app".to_owned()), "{files:?}");

    // A layout with the media types of Docker, and one without a history.
    lab.write("base.tar", base());
    for words in [
        "init plain",
        "add layer plain --file base.tar -y",
        "generate config plain -y",
        "generate manifest plain --ref-name v1 -y",
    ] {
        regshape(&lab, words);
    }
    lab.skopeo(&["copy", "--format", "v2s2", "oci:plain:v1", "dir:docker-dir"]);
    regshape(&lab, "import docker-types -f docker-dir --ref-name v1");
    for layout in ["plain", "docker-types"] {
        let (config, manifest, _) = built_on(&lab, &format!("{layout}:v1"), layout);
        if layout == "plain" {
            assert_eq!(config.get("history"), None, "a base without a history gives none");
        }
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        lab.skopeo(&["copy", &format!("oci:{layout}-built:v1"), &format!("oci:checked:{layout}")]);
    }
}

#[test]
fn e1_a_foreign_layer_of_a_base_stays_without_a_blob() {
    let Some(lab) = Lab::with(&["skopeo"]) else { return };
    write_files(&lab);
    lab.write("base.tar", base());
    for words in [
        "init foreign",
        "add layer foreign --file base.tar -y",
        "generate config foreign -y",
        "generate manifest foreign --ref-name v1 -y",
    ] {
        regshape(&lab, words);
    }
    let mut manifest = lab.manifest("foreign", "v1");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    manifest["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    lab.write("manifest.json", manifest.to_string());
    regshape(&lab, "manifest put foreign:v2 -f manifest.json");
    regshape(&lab, "tag delete -p foreign v1");
    std::fs::remove_file(lab.path(&format!("foreign/blobs/{}", layer.replace(':', "/")))).expect("removed");
    regshape(&lab, "build -o built:v1 --base foreign:v2 --copy files/bin/app:/opt/app");
    let built = lab.manifest("built", "v1");
    assert_eq!(built["layers"][0], manifest["layers"][0]);
    assert_eq!(lab.blobs("built").len(), 3, "the foreign layer is not there");
    lab.validate("built");
    lab.skopeo(&["inspect", "--raw", "oci:built:v1"]);
}

#[test]
fn g1_artifacts_are_taken_by_skopeo_and_keep_their_subject() {
    let Some(lab) = Lab::with(&["skopeo"]) else { return };
    write_files(&lab);
    lab.write("sbom.json", "{}");
    lab.write("empty", "");
    regshape(&lab, "build -o layout:v1 --copy files --platform linux/amd64 --platform linux/arm64");
    let digest = regshape(&lab, "attach layout:v1 --artifact-type application/spdx+json -f sbom.json -f empty -q");
    let digest = digest.trim_end();
    let attached = regshape(&lab, &format!("tag add -p layout@{digest} attached"));
    assert!(attached.contains("attached"), "{attached}");
    regshape(&lab, "add layer layout --file sbom.json --media-type application/json --compress-format none -q");
    regshape(&lab, "generate manifest layout --artifact-type text/x-any --subject v1 --ref-name generated -q");
    regshape(&lab, "reset layout");
    regshape(&lab, "generate manifest layout --artifact-type text/x-none --ref-name none -q");
    lab.validate("layout");
    let subject = lab.json("layout/index.json")["manifests"][0]["digest"].clone();
    for name in ["attached", "generated", "none"] {
        let before = lab.manifest_bytes("layout", name);
        lab.skopeo(&["copy", &format!("oci:layout:{name}"), &format!("dir:{name}")]);
        assert!(lab.read(&format!("{name}/manifest.json")) == before, "{name}");
        lab.skopeo(&["copy", &format!("dir:{name}"), &format!("oci:copied:{name}")]);
        assert!(lab.manifest_bytes("copied", name) == before, "{name}");
        let raw = parsed(&lab.skopeo(&["inspect", "--raw", &format!("oci:copied:{name}")]));
        assert_eq!(raw["subject"]["digest"], if name == "none" { Value::Null } else { subject.clone() });
    }
    lab.validate("copied");
    // The subject need not be there for its referrers to be found.
    let found =
        regshape(&lab, &format!("referrer get copied@{} -d {digest} -o out -q", subject.as_str().expect("one")));
    assert_eq!(found.trim_end(), digest);
    assert_eq!((lab.read("out/sbom.json"), lab.read("out/empty")), (b"{}".to_vec(), Vec::new()));
}

/// Returns the path of a file of the corpus.
fn corpus(name: &str) -> String {
    format!("{}/tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// podman, buildah and skopeo choose the image for a platform from an index that was made of other images, and show the
/// annotations of the index.
#[test]
fn every_program_chooses_a_platform_from_an_index_that_was_made_of_images() {
    let Some(lab) = Lab::with(&["podman", "skopeo", "umoci", "buildah"]) else { return };
    write_files(&lab);
    let policy = ["--signature-policy", "policy.json"];
    for architecture in ["amd64", "arm64", "s390x"] {
        let platform = format!("--platform linux/{architecture}");
        regshape(
            &lab,
            &format!("build -o {architecture}:v1 {platform} --copy files {FLAGS} --label arch={architecture}"),
        );
    }
    lab.skopeo(&["copy", "oci:s390x:v1", "oci-archive:s390x.tar:v1"]);
    regshape(&lab, "init layout");
    regshape(&lab, "generate index -p layout --ref-name v1 ./amd64:v1 ./arm64 -q");
    regshape(&lab, "index add -p layout:v1 s390x.tar -q");
    regshape(&lab, "index annotate layout:v1 --annotation org.opencontainers.image.description=Web -q");
    lab.validate("layout");
    let raw = parsed(&lab.skopeo(&["inspect", "--raw", "oci:layout:v1"]));
    assert_eq!(raw["annotations"], json!({"org.opencontainers.image.description": "Web"}));
    assert_eq!(raw["manifests"].as_array().map(Vec::len), Some(3));
    lab.skopeo(&["copy", "--all", "oci:layout:v1", "oci:copied:v1"]);
    let copied = parsed(&lab.skopeo(&["inspect", "--raw", "oci:copied:v1"]));
    assert_eq!(copied["manifests"], raw["manifests"], "no image is converted on the way");
    for architecture in ["amd64", "arm64", "s390x"] {
        let source = "oci:layout:v1";
        let seen = parsed(&lab.skopeo(&["--override-arch", architecture, "inspect", "--config", source]));
        assert_eq!(seen["architecture"], architecture);
        let id = lab.podman(&[&["pull", "--quiet"], &policy[..], &["--arch", architecture, source]].concat());
        let inspected = parsed(&lab.podman(&["image", "inspect", &id]));
        assert_eq!(inspected[0]["Architecture"], architecture);
        assert_eq!(inspected[0]["Config"]["Labels"]["arch"], architecture);
        let pulled = lab.buildah(&[&["pull", "--quiet"], &policy[..], &["--arch", architecture, source]].concat());
        let inspected = parsed(&lab.buildah(&["inspect", "--type", "image", &pulled]));
        assert_eq!(inspected["OCIv1"]["config"]["Labels"]["arch"], architecture);
    }
    // An image that was removed is not chosen.
    regshape(&lab, "index remove layout:v1 --platform linux/s390x -q");
    let raw = parsed(&lab.skopeo(&["inspect", "--raw", "oci:layout:v1"]));
    assert_eq!(raw["manifests"].as_array().map(Vec::len), Some(2));
    lab.validate("layout");
}
