//! Commands that move images, with unusual documents: one digest in several roles, conflicting descriptors, and very
//! deep nesting.

use std::fs;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;
use crate::views::*;

/// Creates a layout with these entries.
fn layout_of(entries: impl FnOnce(&Sandbox) -> Vec<Value>) -> (Sandbox, Vec<Value>) {
    let sandbox = Sandbox::empty();
    sandbox.ok("layout init --path image");
    let entries = entries(&sandbox);
    list(&sandbox, &entries.iter().collect::<Vec<_>>());
    (sandbox, entries)
}

/// Returns a descriptor of the same content with another media type.
fn as_type(descriptor: &Value, media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": descriptor["digest"], "size": descriptor["size"]})
}

fn artifact_of(sandbox: &Sandbox, config: &Value, layers: &[&Value]) -> Value {
    document(sandbox, &with(manifest(config, layers), json!({"artifactType": "application/x-bundle"})))
}

#[test]
fn a_digest_is_followed_in_every_role_in_which_it_is_reached() {
    type Entries = fn(&Sandbox) -> Vec<Value>;
    let cases: [(&str, Entries); 5] = [
        ("first a layer, then a manifest", |sandbox| {
            let image = image(sandbox, "amd64");
            let empty = blob(sandbox, EMPTY_TYPE, "{}");
            vec![artifact_of(sandbox, &empty, &[&as_type(&image, "application/x-json")]), named(&image, "v1")]
        }),
        ("first a config, then a manifest", |sandbox| {
            let image = image(sandbox, "amd64");
            let config = as_type(&image, "application/x-json");
            vec![artifact_of(sandbox, &config, &[&layer(sandbox)]), named(&image, "v1")]
        }),
        ("first a layer, then an index", |sandbox| {
            let image = image(sandbox, "amd64");
            let index = document(sandbox, &index(&[&image]));
            let empty = blob(sandbox, EMPTY_TYPE, "{}");
            vec![artifact_of(sandbox, &empty, &[&as_type(&index, "application/x-json")]), named(&index, "v1")]
        }),
        ("a config that is a layer, too", |sandbox| {
            let config = config(sandbox, "amd64");
            let config_as_layer = as_type(&config, "application/x-json");
            vec![artifact_of(sandbox, &config, &[&layer(sandbox), &config_as_layer])]
        }),
        ("first a layer in a nested index, then a manifest beside it", |sandbox| {
            let image = image(sandbox, "amd64");
            let empty = blob(sandbox, EMPTY_TYPE, "{}");
            let bundle = artifact_of(sandbox, &empty, &[&as_type(&image, "application/x-json")]);
            vec![document(sandbox, &index(&[&bundle, &image]))]
        }),
    ];
    for (name, entries) in cases {
        let (sandbox, _) = layout_of(entries);
        let blobs = |path: &str| {
            let mut names: Vec<_> = fs::read_dir(sandbox.path(format!("{path}/blobs/sha256")))
                .expect("blobs")
                .map(|entry| entry.expect("an entry").file_name())
                .collect();
            names.sort();
            names
        };
        sandbox.ok("layout export --path image --output dir");
        sandbox.ok("layout export --path image --output out.tar");
        sandbox.ok("layout import --path imported --file out.tar");
        for path in ["dir", "imported"] {
            assert_eq!(blobs(path), blobs("image"), "{name}: {path}");
            assert_eq!(sandbox.ok_json(&format!("layout validate --path {path}"))["valid"], json!(true), "{name}");
        }
        let before = blobs("image");
        sandbox.ok("layout gc --path image --keep-younger-than 0s");
        assert_eq!(blobs("image"), before, "{name}");
    }
}

#[test]
fn every_descriptor_of_a_blob_is_checked_not_the_first_alone() {
    let wrong_size = |descriptor: &Value| with(descriptor.clone(), json!({"size": size(descriptor) + 1}));
    type Entries = fn(&Sandbox, &dyn Fn(&Value) -> Value) -> (Vec<Value>, Value);
    let cases: [(&str, Entries); 4] = [
        ("a config", |sandbox, wrong| {
            let config = config(sandbox, "amd64");
            let second = document(sandbox, &manifest(&wrong(&config), &[&layer(sandbox)]));
            (vec![image(sandbox, "amd64"), second], config)
        }),
        ("a layer", |sandbox, wrong| {
            let layer = layer(sandbox);
            let second = document(sandbox, &manifest(&config(sandbox, "amd64"), &[&layer, &wrong(&layer)]));
            (vec![image(sandbox, "amd64"), second], layer)
        }),
        ("an entry", |sandbox, wrong| {
            let image = image(sandbox, "amd64");
            (vec![image.clone(), named(&wrong(&image), "v1")], image)
        }),
        ("an entry of a nested index", |sandbox, wrong| {
            let image = image(sandbox, "amd64");
            (vec![image.clone(), document(sandbox, &index(&[&wrong(&image)]))], image)
        }),
    ];
    for (name, entries) in cases {
        let mut culprit = Value::Null;
        let (sandbox, _) = layout_of(|sandbox| {
            let (entries, what) = entries(sandbox, &wrong_size);
            culprit = what;
            entries
        });
        let (digest, size) = (digest(&culprit), size(&culprit));
        for words in [
            "layout export --path image --output out",
            "layout export --path image --output out.tar",
            "layout import --path out --file image",
            "layout inspect --path image",
        ] {
            let outcome = sandbox.run(words);
            let message = format!("Error: size mismatch for {digest}: expected {}, got {size}\n", size + 1);
            assert_eq!((outcome.status, outcome.stderr.as_str()), (1, message.as_str()), "{name}: {words}");
            assert!(!sandbox.path("out").exists() && !sandbox.path("out.tar").exists(), "{name}: {words}");
        }
    }
}

#[test]
fn a_blob_that_one_descriptor_carries_is_there_for_all() {
    for carried_first in [true, false] {
        let (sandbox, entries) = layout_of(|sandbox| {
            let config = blob(sandbox, "application/x-config", r#"{"a":1}"#);
            let carried = embedded(sandbox, &config);
            let mut configs = [carried, config];
            if !carried_first {
                configs.reverse();
            }
            let entry = |config: &Value| artifact_of(sandbox, config, &[&layer(sandbox)]);
            configs.iter().map(entry).collect()
        });
        let words = "layout export --path image --output out";
        sandbox.ok(words);
        let config = &sandbox.blob_json(digest(&entries[0]))["config"];
        assert_eq!(sandbox.read(&format!("out/{}", blob_path(config))), br#"{"a":1}"#, "{carried_first}");
        // A descriptor with a wrong size is an error, even if another one has the content.
        let wrong = with(config.clone(), json!({"size": 8}));
        let third = artifact_of(&sandbox, &wrong, &[&layer(&sandbox)]);
        list(&sandbox, &entries.iter().chain([&third]).collect::<Vec<_>>());
        let message = format!("size mismatch for {}: expected 8, got 7", digest(config));
        fs::remove_dir_all(sandbox.path("out")).expect("it was made");
        sandbox.refuses(words, &message);
    }
}

/// Returns an image in nested indexes: each level refers to the next one several times.
fn nested(sandbox: &Sandbox, depth: usize, times: usize) -> Value {
    let mut entry = on(&image(sandbox, "amd64"), "amd64");
    for _ in 0..depth {
        let listed: Vec<_> =
            (0..times).map(|time| with(entry.clone(), json!({"annotations": {"n": time.to_string()}}))).collect();
        entry = document(sandbox, &index(&listed.iter().collect::<Vec<_>>()));
    }
    entry
}

/// The same as a `dir:` directory of skopeo, with Docker media types.
fn nested_directory(sandbox: &Sandbox, depth: usize, times: usize) {
    let _ = fs::remove_dir_all(sandbox.path("dir"));
    fs::create_dir(sandbox.path("dir")).expect("made");
    let store = |media_type: &str, content: &[u8], ending: &str| {
        let sha = sha256(content);
        sandbox.write(&format!("dir/{}{ending}", &sha[7..]), content);
        json!({"mediaType": media_type, "digest": sha, "size": content.len()})
    };
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let config = store("application/vnd.docker.container.image.v1+json", config.to_string().as_bytes(), "");
    let (manifest_type, list_type) = (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": []});
    let mut content = manifest.to_string();
    let mut entry = store(manifest_type, content.as_bytes(), ".manifest.json");
    for _ in 0..depth {
        content = json!({"schemaVersion": 2, "mediaType": list_type, "manifests": vec![&entry; times]}).to_string();
        entry = store(list_type, content.as_bytes(), ".manifest.json");
    }
    sandbox.write("dir/manifest.json", content);
}

#[test]
fn indexes_are_followed_once_however_often_they_are_listed_and_to_any_depth() {
    // If each reference was followed, 4^60 steps would never end.
    let sandbox = Sandbox::empty();
    sandbox.ok("layout init --path image");
    for (depth, times) in [(60, 4), (1_000, 1)] {
        let entry = nested(&sandbox, depth, times);
        list(&sandbox, &[&named(&entry, "v1")]);
        let _ = fs::remove_dir_all(sandbox.path("out"));
        for words in [
            "layout export --path image --output out",
            "layout inspect --path image",
            "layout show --tree --path image",
            "layout gc --path image --dry-run",
        ] {
            let outcome = sandbox.run(words);
            assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{words}");
        }
        nested_directory(&sandbox, depth, times);
        let outcome = sandbox.run("layout inspect --path dir");
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        assert_eq!(outcome.stdout.matches("Image:").count(), 1);
    }
}

#[test]
fn a_directory_whose_index_has_a_wrong_size_is_rejected() {
    let sandbox = Sandbox::empty();
    nested_directory(&sandbox, 1, 2);
    let mut list = sandbox.json("dir/manifest.json");
    let size = size(&list["manifests"][1]);
    list["manifests"][1]["size"] = json!(size + 1);
    sandbox.write("dir/manifest.json", list.to_string());
    let digest = digest(&list["manifests"][1]);
    let message = format!("size mismatch for {digest}: expected {}, got {size}", size + 1);
    sandbox.refuses("layout import --path out --file dir", &message);
}

#[test]
fn a_chain_of_referrers_is_taken_in_the_order_of_the_layout() {
    let sandbox = Sandbox::empty();
    sandbox.ok("layout init --path image");
    let image = image(&sandbox, "amd64");
    let mut chain = vec![image.clone()];
    for _ in 0..500 {
        let last = chain.last().expect("one");
        let referrer = document(&sandbox, &about(&sandbox, last, "application/x-note"));
        chain.push(referrer);
    }
    let named_image = named(&image, "v1");
    let words = "layout export --path image --ref v1 --referrers --output out.tar";
    for reversed in [false, true] {
        let mut entries: Vec<_> = chain.iter().collect();
        entries[0] = &named_image;
        if reversed {
            entries.reverse();
        }
        list(&sandbox, &entries);
        let taken = sandbox.ok_json(words);
        let expected: Vec<_> = std::iter::once(&named_image).chain(&chain[1..]).collect();
        assert_eq!(taken["manifests"], json!(expected), "{reversed}");
    }
}

#[test]
fn a_manifest_that_is_a_layer_too_is_drawn_as_a_layer_there() {
    let sandbox = Sandbox::new();
    let inner = image(&sandbox, "amd64");
    let as_layer = with(inner.clone(), json!({"mediaType": "application/vnd.oci.image.layer.v1.tar"}));
    let outer = document(&sandbox, &manifest(&config(&sandbox, "arm64"), &[&as_layer]));
    for entries in [[&outer, &inner], [&inner, &outer]] {
        list(&sandbox, &entries);
        let tree = sandbox.ok_json("layout show -p image --tree");
        let roots = tree["images"].as_array().or(tree["roots"].as_array()).expect("roots");
        let root = |image: &Value| roots.iter().find(|root| root["digest"] == image["digest"]).expect("a root").clone();
        let layer = &root(&outer)["children"][1];
        assert_eq!(layer["kind"], "layer");
        assert_eq!(layer["children"], Value::Null, "{layer}");
        assert_eq!(root(&inner)["kind"], "manifest");
        assert_eq!(root(&inner)["children"].as_array().map(Vec::len), Some(2));
    }
}
