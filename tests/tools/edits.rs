//! Consecutive edits, and the image that other programs see after each of them.

use serde_json::{Value, json};

use super::lab::Lab;
use super::samples::{base, patches, single};
use super::tree::sha256;

/// Returns the image as seen by skopeo and umoci: architecture and labels of the config, annotations, layers.
fn seen(lab: &Lab, ref_name: &str) -> Value {
    let image = format!("oci:layout:{ref_name}");
    let parse = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    let config = parse(lab.skopeo(&["inspect", "--config", &image]));
    let manifest = parse(lab.skopeo(&["inspect", "--raw", &image]));
    let history = parse(lab.run("umoci", &["stat", "--json", "--image", &format!("layout:{ref_name}")]));
    assert!(history.is_object());
    json!([
        config["architecture"],
        config["config"]["Labels"],
        manifest["annotations"],
        manifest["layers"].as_array().expect("layers").iter().map(|layer| &layer["annotations"]).collect::<Vec<_>>(),
    ])
}

#[test]
fn every_edit_is_seen_and_none_leaves_a_blob_behind() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    for (name, tar) in [("0.tar", base()), ("1.tar", patches()), ("2.tar", single("third", "x"))] {
        lab.write(name, tar);
    }
    let on_layout = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        lab.regshape(&[&["layout"], words.as_slice(), &["--path", "layout"]].concat());
    };
    on_layout("init");
    on_layout("add layer --file 0.tar --annotation role=base");
    on_layout("add layer --file 1.tar");

    let steps: [(&[&str], &str, Value); 9] = [
        (
            &["generate config --architecture arm64", "generate manifest --ref-name one"],
            "one",
            json!(["arm64", null, null, [{"role": "base"}, null]]),
        ),
        (
            &["update config --annotation a=1", "generate manifest --ref-name one"],
            "one",
            json!(["arm64", {"a": "1"}, null, [{"role": "base"}, null]]),
        ),
        (
            &["annotate manifest --annotation b=2"],
            "one",
            json!(["arm64", {"a": "1"}, {"b": "2"}, [{"role": "base"}, null]]),
        ),
        (
            &["annotate manifest --annotation c=3 --replace"],
            "one",
            json!(["arm64", {"a": "1"}, {"c": "3"}, [{"role": "base"}, null]]),
        ),
        (
            &["annotate layer --index 1 --annotation role=patches", "generate manifest --ref-name one"],
            "one",
            json!(["arm64", {"a": "1"}, null, [{"role": "base"}, {"role": "patches"}]]),
        ),
        (
            &[
                "update config --architecture amd64 --replace-annotations --annotation d=4",
                "generate manifest --ref-name one --annotation e=5",
            ],
            "one",
            json!(["amd64", {"d": "4"}, {"e": "5"}, [{"role": "base"}, {"role": "patches"}]]),
        ),
        (
            &["add layer --file 2.tar", "generate config", "generate manifest --ref-name two"],
            "two",
            json!(["amd64", null, null, [{"role": "base"}, {"role": "patches"}, null]]),
        ),
        (
            &["annotate manifest --annotation f=6"],
            "two",
            json!(["amd64", null, {"f": "6"}, [{"role": "base"}, {"role": "patches"}, null]]),
        ),
        // The first image is unchanged, although later commands changed the staging file.
        (&[], "one", json!(["amd64", {"d": "4"}, {"e": "5"}, [{"role": "base"}, {"role": "patches"}]])),
    ];
    for (commands, ref_name, expected) in steps {
        for command in commands {
            on_layout(command);
        }
        lab.validate("layout");
        assert_eq!(seen(&lab, ref_name), expected, "after {commands:?}");
    }
    assert_eq!(lab.run("umoci", &["ls", "--layout", "layout"]), "one\ntwo\n");

    // umoci deletes every unreachable blob.
    let before = lab.blobs("layout");
    lab.run("umoci", &["gc", "--layout", "layout"]);
    assert_eq!(lab.blobs("layout"), before);
    lab.validate("layout");
}

#[test]
fn an_image_of_another_program_is_edited_and_seen_by_it() {
    let Some(lab) = Lab::with(&["skopeo", "umoci"]) else { return };
    lab.write("app", "#!/bin/sh\n");
    lab.run("umoci", &["init", "--layout", "layout"]);
    lab.run("umoci", &["new", "--image", "layout:v1"]);
    let edit = |words: &str| drop(lab.regshape(&words.split(' ').collect::<Vec<_>>()));
    edit("update config layout:v1 --entrypoint /app --label a=1");
    edit("add layer layout:v1 --copy app:/app");
    lab.run("umoci", &["config", "--image", "layout:v1", "--config.user", "5"]);
    lab.run("umoci", &["insert", "--rootless", "--image", "layout:v1", "app", "/other"]);
    edit("annotate manifest layout:v1 --annotation b=2");
    edit("annotate layer layout:v1 --index 1 --annotation role=other");
    edit("move layer layout:v1 --index 1 --to 0");
    lab.regshape(&["gc", "layout"]);
    lab.validate("layout");
    assert_eq!(seen(&lab, "v1"), json!(["amd64", {"a": "1"}, {"b": "2"}, [{"role": "other"}, null]]));
    let config: Value = serde_json::from_str(&lab.skopeo(&["inspect", "--config", "oci:layout:v1"])).expect("JSON");
    let steps = config["history"].as_array().expect("a history").iter();
    let steps: Vec<_> = steps.map(|step| step["created_by"].as_str().expect("a text")).collect();
    assert_eq!(steps, ["umoci insert", "umoci config", "regshape add layer --copy /app"]);
    lab.run("umoci", &["unpack", "--rootless", "--image", "layout:v1", "bundle"]);
    let files = || std::fs::read_dir(lab.path("bundle/rootfs")).expect("a directory").count();
    assert_eq!(files(), 2);
    edit("remove layer layout:v1 --index 0");
    std::fs::remove_dir_all(lab.path("bundle")).expect("removed");
    lab.run("umoci", &["unpack", "--rootless", "--image", "layout:v1", "bundle"]);
    assert_eq!(files(), 1);
}

/// E1: an image with Docker's media types becomes one of the image-spec's whole, and the list that names it an index. The
/// images that are not picked keep their media types: skopeo finds no Docker list in a layout, and reads an index of both.
#[test]
fn e1_a_list_of_docker_of_which_one_image_is_edited_is_an_index_that_others_read() {
    let Some(lab) = Lab::with(&["skopeo"]) else { return };
    lab.write("app", "#!/bin/sh\n");
    let run = |words: &str| lab.regshape(&words.split(' ').collect::<Vec<_>>());
    run("build -o layout:v1 --platform linux/amd64 --platform linux/arm64 --copy app:/app");
    let store = |value: &Value| {
        let content = value.to_string();
        let digest = sha256(content.as_bytes());
        lab.write(&format!("layout/blobs/sha256/{}", digest.trim_start_matches("sha256:")), &content);
        (digest, content.len())
    };
    let read = |digest: &Value| -> Value {
        serde_json::from_slice(&lab.blob("layout", digest.as_str().expect("a digest"))).expect("JSON")
    };
    const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    let mut index = lab.json("layout/index.json");
    let mut list = read(&index["manifests"][0]["digest"]);
    list["mediaType"] = json!(LIST);
    for entry in list["manifests"].as_array_mut().expect("entries") {
        let mut manifest = read(&entry["digest"]);
        manifest["mediaType"] = json!(MANIFEST);
        manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
        manifest["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar.gzip");
        let (digest, size) = store(&manifest);
        entry["mediaType"] = json!(MANIFEST);
        (entry["digest"], entry["size"]) = (json!(digest), json!(size));
    }
    let (digest, size) = store(&list);
    index["manifests"][0]["mediaType"] = json!(LIST);
    (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (json!(digest), json!(size));
    lab.write("layout/index.json", index.to_string());
    lab.validate("layout");

    run("update config layout:v1 --platform linux/arm64 --label a=b");
    lab.validate("layout");
    let index = lab.json("layout/index.json");
    let edited = read(&index["manifests"][0]["digest"]);
    let types: Vec<_> =
        edited["manifests"].as_array().expect("entries").iter().map(|entry| &entry["mediaType"]).collect();
    assert_eq!(types, [MANIFEST, "application/vnd.oci.image.manifest.v1+json"]);
    assert_eq!(edited["mediaType"], "application/vnd.oci.image.index.v1+json");
    lab.skopeo(&["copy", "--all", "oci:layout:v1", "dir:all"]);
    for (architecture, labels) in [("amd64", Value::Null), ("arm64", json!({"a": "b"}))] {
        lab.skopeo(&["--override-arch", architecture, "copy", "oci:layout:v1", &format!("oci:one:{architecture}")]);
        let config =
            lab.skopeo(&["--override-arch", architecture, "inspect", "--config", &format!("oci:one:{architecture}")]);
        let config: Value = serde_json::from_str(&config).expect("JSON");
        assert_eq!((&config["architecture"], &config["config"]["Labels"]), (&json!(architecture), &labels));
    }
    // Without --platform all of it is converted.
    run("update config layout:v1 --label a=b");
    let index = lab.json("layout/index.json");
    assert!(!read(&index["manifests"][0]["digest"]).to_string().contains("docker"));
}
