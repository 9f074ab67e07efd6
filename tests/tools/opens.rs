//! The number of times each document is opened, and the bytes that are read of layers: a document that was read and verified is not
//! read again in later steps.

use std::collections::BTreeMap;

use crate::lab::Lab;
use crate::leftovers::build;

/// Runs a command, and returns how often it opened each file of a layout, keyed by the end of its path.
fn opens(lab: &Lab, words: &str) -> BTreeMap<String, usize> {
    let options = ["-f", "-qq", "-o", "trace", "-e", "trace=open,openat,openat2", env!("CARGO_BIN_EXE_regshape")];
    let output = lab.output("strace", &[&options[..], &words.split(' ').collect::<Vec<_>>()].concat());
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    let trace = String::from_utf8(lab.read("trace")).expect("text");
    let mut opens = BTreeMap::new();
    for line in trace.lines().filter(|line| !line.contains(" = -1 ")) {
        let Some(path) = line.split('"').nth(1) else { continue };
        *opens.entry(path.to_owned()).or_default() += 1;
    }
    opens
}

/// Returns the paths of the blobs of an image, with their kinds.
fn blobs(lab: &Lab, layout: &str, manifest: &str) -> [(String, &'static str); 3] {
    let path = |digest: &str| format!("{layout}/blobs/{}", digest.replace(':', "/"));
    let content: serde_json::Value = serde_json::from_slice(&lab.read(&path(manifest))).expect("JSON");
    let digest = |pointer| content.pointer(pointer).and_then(|digest| digest.as_str()).expect("a digest").to_owned();
    [
        (path(manifest), "manifest"),
        (path(&digest("/config/digest")), "config"),
        (path(&digest("/layers/0/digest")), "layer"),
    ]
}

#[test]
fn each_document_is_opened_once_however_many_steps_look_at_it() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    for name in ["one", "two"] {
        build(&lab, name);
    }
    lab.regshape(&["layout", "update", "config", "-p", "two", "--architecture", "arm64"]);
    lab.regshape(&["layout", "generate", "manifest", "-p", "two", "--ref-name", "v1", "-y"]);
    lab.regshape(&["layout", "join", "-p", "one", "-p", "two", "-o", "both", "--ref-name", "v1"]);
    let index = lab.json("both/index.json");
    let index = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let nested = lab.json(&format!("both/blobs/{}", index.replace(':', "/")));
    let manifests: Vec<String> =
        (0..2).map(|at| nested["manifests"][at]["digest"].as_str().expect("a digest").to_owned()).collect();
    for words in [
        "layout export -p both -o new.tar",
        "layout export -p both -o new",
        "layout export -p both -o other.tar --dry-run",
        "layout export -p both -o amd64.tar --platform linux/amd64",
        "layout export -p both -o docker.tar --platform linux/amd64 --format docker-archive",
        "layout import -p imported -f both",
        "layout import -p imported -f both --json",
        "layout join -p both -o joined --ref-name v2",
    ] {
        let opens = opens(&lab, words);
        let count = |path: &str| opens.get(path).copied().unwrap_or_default();
        assert_eq!(count("both/index.json"), 1, "{words}");
        assert_eq!(count(&format!("both/blobs/{}", index.replace(':', "/"))), 1, "{words}: the nested index");
        for (at, manifest) in manifests.iter().enumerate() {
            for (path, kind) in blobs(&lab, "both", manifest) {
                // A config is looked up as a part of its manifest before it is read; a layer is looked up, and then
                // copied.
                let most = match kind {
                    "manifest" => 1,
                    "config" => 2,
                    _ => 4,
                };
                assert!(count(&path) <= most, "{words}: the {kind} of image {at} is opened {} times", count(&path));
            }
            assert!(count(&blobs(&lab, "both", manifest)[0].0) == 1 || words.contains("--platform"), "{words}");
        }
    }
}

#[test]
fn commands_that_build_read_the_staging_file_twice() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    build(&lab, "image");
    lab.regshape(&["layout", "manifest", "get", "-p", "image:v1", "-o", "manifest.json"]);
    for (words, stage, index) in [
        ("layout manifest put -p image -f manifest.json --tag v2", 1, 2),
        ("layout add layer -p image -f layer.tar --json", 2, 0),
        ("layout generate config -p image -y", 2, 2),
        ("layout generate manifest -p image --ref-name v1 -y", 2, 2),
    ] {
        let opens = opens(&lab, words);
        let count = |name: &str| opens.get(&format!("image/{name}")).copied().unwrap_or_default();
        assert!(count(".regshape-stage.json") <= stage, "{words}: {opens:?}");
        assert!(count("index.json") <= index, "{words}: {opens:?}");
        let body = opens.get("manifest.json").copied().unwrap_or_default();
        assert_eq!(body, usize::from(words.contains("put")), "{words}");
    }
}

/// Returns how many bytes of a file a command reads.
fn bytes_read(lab: &Lab, words: &str, path: &str) -> u64 {
    let path = lab.path(path);
    let path = path.to_str().expect("text");
    let options = ["-f", "-qq", "-o", "trace", "-P", path, "-e", "trace=read,pread64", env!("CARGO_BIN_EXE_regshape")];
    let output = lab.output("strace", &[&options[..], &words.split(' ').collect::<Vec<_>>()].concat());
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    let trace = String::from_utf8(lab.read("trace")).expect("text");
    let count = |line: &str| line.rsplit_once(" = ")?.1.parse::<u64>().ok();
    trace.lines().filter_map(count).sum()
}

#[test]
fn a_layer_is_read_once_for_all_its_files() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    for name in ["a", "b", "c"] {
        lab.write(name, name);
    }
    lab.regshape(&["build", "-q", "-o", "image:v1", "--copy", "a", "--copy", "b", "--copy", "c"]);
    let layer = lab.manifest("image", "v1")["layers"][0].clone();
    let path = format!("image/blobs/{}", layer["digest"].as_str().expect("a digest").replace(':', "/"));
    let size = layer["size"].as_u64().expect("a size");
    for words in ["lint -p image:v1", "files -p image:v1 -l", "unpack -p image:v1 -q -o tree"] {
        assert_eq!(bytes_read(&lab, words, &path), size, "{words}");
    }
    // It is verified before a file is printed.
    for words in ["cat -p image:v1 c", "cat -p image:v1 c a b a"] {
        assert_eq!(bytes_read(&lab, words, &path), 2 * size, "{words}");
    }
}
