//! `layout generate index`: an index of images that the layout has, and of images of other layouts and archives.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const COMPRESSION: &str = "io.github.containers.compression.zstd";

/// Creates a layout `image` with images for two platforms, a layout `other` with one for a third, and an archive of it.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    for architecture in ["amd64", "arm64", "s390x"] {
        sandbox.write("app", architecture);
        let layout = if architecture == "s390x" { "other" } else { "image" };
        sandbox.ok(&format!("build -o {layout}:{architecture} --platform linux/{architecture} --copy app:/app"));
    }
    sandbox.ok("export other:s390x --output s390x.tar --quiet");
    sandbox
}

#[track_caller]
fn entry(sandbox: &Sandbox, tag: &str) -> Value {
    let index = sandbox.index();
    let mut entries = index["manifests"].as_array().expect("entries").iter();
    entries.find(|entry| entry["annotations"][REF_NAME] == tag).unwrap_or_else(|| panic!("no {tag} in {index}")).clone()
}

/// Returns the path of a blob of another layout.
fn blob_of(layout: &str, digest: &str) -> String {
    blob_name(digest).replacen("image", layout, 1)
}

/// Returns the contents of the files of a layout.
fn contents_of(sandbox: &Sandbox, layout: &str) -> BTreeMap<String, Option<String>> {
    let mut contents = sandbox.contents();
    contents.retain(|name, _| name.starts_with(&format!("./{layout}/")));
    contents
}

/// Returns the platforms that the index of a tag says.
fn platforms(sandbox: &Sandbox, tag: &str) -> Vec<String> {
    let index = sandbox.blob_json(digest(&entry(sandbox, tag)));
    let words = |entry: &Value| {
        let word = |key: &str| entry["platform"][key].as_str().map(str::to_owned);
        [word("os"), word("architecture"), word("variant")].into_iter().flatten().collect::<Vec<_>>().join("/")
    };
    index["manifests"].as_array().expect("images").iter().map(words).collect()
}

#[test]
fn an_index_is_made_of_images_of_the_layout() {
    let sandbox = sandbox();
    let before = sandbox.index();
    let [amd64, arm64] = ["amd64", "arm64"].map(|tag| entry(&sandbox, tag));
    let outcome = sandbox.run("generate index -p image --ref-name v1 amd64 arm64 --annotation a=b");
    let made = entry(&sandbox, "v1");
    outcome.succeeds(
        format!(
            "Updated image:v1:\n      digest: {}\n        size: {}\n  media-type: {INDEX_TYPE}\n    ref-name: v1\n       \
             image: linux/amd64 {}\n       image: linux/arm64 {}\n",
            digest(&made),
            made["size"],
            digest(&amd64),
            digest(&arm64),
        ),
        "",
    );
    let child = |entry: &Value, architecture: &str| {
        json!({"mediaType": MANIFEST_TYPE, "digest": entry["digest"], "size": entry["size"],
               "platform": {"architecture": architecture, "os": "linux"}})
    };
    assert_eq!(
        sandbox.blob_json(digest(&made)),
        json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "annotations": {"a": "b"},
               "manifests": [child(&amd64, "amd64"), child(&arm64, "arm64")]})
    );
    let mut expected = before;
    expected["manifests"].as_array_mut().expect("entries").push(made.clone());
    assert_eq!(sandbox.index(), expected, "one entry is added");
    sandbox.is_valid();
    // The same index again changes nothing.
    let tree = sandbox.tree();
    let value = sandbox.ok_json("generate index -p image --ref-name v1 amd64 arm64 --annotation a=b");
    assert_eq!(sandbox.tree(), tree);
    assert_eq!(value["digest"], made["digest"]);
    assert_eq!((&value["ref_name"], &value["media_type"]), (&json!("v1"), &json!(INDEX_TYPE)));
    assert_eq!((value["images"].as_array().map(Vec::len), &value["warnings"]), (Some(2), &json!([])));
    let quiet = sandbox.ok("generate index -p image --ref-name v1 amd64 arm64 --annotation a=b -q");
    assert_eq!(quiet, format!("{}\n", digest(&made)));
}

#[test]
fn images_of_other_layouts_and_archives_are_copied() {
    let sandbox = sandbox();
    for (source, tag) in [("./other:s390x", "a"), ("other", "b"), ("s390x.tar", "c"), ("./s390x.tar:s390x", "d")] {
        sandbox.ok(&format!("generate index -p image --ref-name {tag} amd64 {source}"));
        assert_eq!(platforms(&sandbox, tag), ["linux/amd64", "linux/s390x"], "{source}");
        sandbox.is_valid();
    }
    assert_eq!(digest(&entry(&sandbox, "a")), digest(&entry(&sandbox, "d")));
    let archive = sandbox.read("s390x.tar");
    let made = sandbox.run_with_input("generate index -p image --ref-name e amd64 - -q", &archive);
    made.succeeds(format!("{}\n", digest(&entry(&sandbox, "a"))), "");
    // The path of the layout itself names its images, too.
    sandbox.ok("generate index -p image --ref-name f ./image:amd64 ./other:s390x");
    assert_eq!(digest(&entry(&sandbox, "f")), digest(&entry(&sandbox, "a")));
    let amd64 = entry(&sandbox, "amd64");
    sandbox.ok(&format!("generate index -p image --ref-name g {} {}", digest(&amd64), "image:arm64"));
    assert_eq!(platforms(&sandbox, "g"), ["linux/amd64", "linux/arm64"]);
}

/// A tag of the layout is not taken for a file of that name.
#[test]
fn a_word_that_is_a_tag_means_the_tag() {
    let sandbox = sandbox();
    sandbox.ok("export other:s390x --output amd64 --quiet");
    sandbox.ok("generate index -p image --ref-name v1 amd64 arm64");
    assert_eq!(platforms(&sandbox, "v1"), ["linux/amd64", "linux/arm64"]);
    sandbox.ok("generate index -p image --ref-name v2 ./amd64 arm64");
    assert_eq!(platforms(&sandbox, "v2"), ["linux/s390x", "linux/arm64"]);
}

/// Images, section 2.F, rule F2.
#[test]
fn f2_an_index_gives_its_images_each_with_its_attestations() {
    let sandbox = Sandbox::new();
    let [amd64, arm64] = ["amd64", "arm64"].map(|word| on(&image(&sandbox, word), word));
    let attestation = |subject: &Value| {
        let about = json!({"vnd.docker.reference.type": "attestation-manifest",
                           "vnd.docker.reference.digest": subject["digest"]});
        let statement = blob(&sandbox, "application/vnd.in-toto+json", &subject["digest"].to_string());
        let entry = document(&sandbox, &manifest(&config_of(&sandbox, "unknown", &[]), &[&statement]));
        with(entry, json!({"annotations": about, "platform": {"architecture": "unknown", "os": "unknown"}}))
    };
    let [of_amd64, of_arm64] = [&amd64, &arm64].map(attestation);
    // BuildKit lists attestations after all images.
    let nested = document(&sandbox, &index(&[&arm64]));
    let multi = document(&sandbox, &index(&[&amd64, &nested, &of_amd64, &of_arm64]));
    let riscv64 = image(&sandbox, "riscv64");
    list(&sandbox, &[&named(&multi, "multi"), &named(&riscv64, "riscv64")]);
    sandbox.ok("generate index -p image --ref-name v1 multi riscv64 multi");
    let made = sandbox.blob_json(digest(&entry(&sandbox, "v1")));
    assert_eq!(made["manifests"], json!([amd64, of_amd64, arm64, of_arm64, on(&riscv64, "riscv64")]));
    // From an archive, too.
    sandbox.ok("export image:multi --output multi.tar --quiet");
    sandbox.ok("init empty");
    sandbox.ok("generate index -p empty --ref-name v1 multi.tar");
    let value = sandbox.json("empty/index.json");
    let made = sandbox.json(&blob_of("empty", digest(&value["manifests"][0])));
    assert_eq!(made["manifests"], json!([amd64, of_amd64, arm64, of_arm64]));
    sandbox.ok("validate empty");
}

/// Section 0: two images for one platform are an error; one image under two names is one image.
#[test]
fn an_image_that_is_named_twice_is_listed_once() {
    let sandbox = sandbox();
    sandbox.ok("tag add -p image:amd64 same");
    for words in ["amd64 amd64 arm64", "amd64 same arm64", "amd64 arm64 amd64"] {
        sandbox.ok(&format!("generate index -p image --ref-name v1 {words}"));
        assert_eq!(platforms(&sandbox, "v1"), ["linux/amd64", "linux/arm64"], "{words}");
        let tree = sandbox.tree();
        sandbox.ok(&format!("index add -p image:v1 {words}"));
        assert_eq!(sandbox.tree(), tree, "{words}");
    }
}

/// Images, section 2.F, rule F2.
#[test]
fn f2_two_images_for_one_platform_are_an_error_unless_their_compression_tells_them_apart() {
    let sandbox = Sandbox::new();
    let arm64 = image(&sandbox, "arm64");
    let config = config(&sandbox, "arm64");
    let other =
        blob(&sandbox, CONFIG_TYPE, &with(sandbox.blob_json(digest(&config)), json!({"variant": "v8"})).to_string());
    let v8 = document(&sandbox, &manifest(&other, &[&layer(&sandbox)]));
    let zstd = with(v8.clone(), json!({"annotations": {COMPRESSION: "true"}}));
    let both = document(&sandbox, &index(&[&arm64, &zstd]));
    list(&sandbox, &[&named(&arm64, "a"), &named(&v8, "b"), &named(&both, "both")]);
    let contents = sandbox.contents();
    // arm64 without a variant is arm64/v8.
    sandbox.run("generate index -p image --ref-name v1 a b").is(
        1,
        "",
        "Error: 'a' and 'b' are both for linux/arm64/v8; leave one out, or take the other one out with 'index remove'\n",
    );
    assert_eq!(sandbox.contents(), contents);
    sandbox.ok("generate index -p image --ref-name v1 both");
    assert_eq!(platforms(&sandbox, "v1"), ["linux/arm64", "linux/arm64/v8"]);
    sandbox.is_valid();
}

/// Images, section 2.F, rule F1.
#[test]
fn f1_platforms_are_those_of_the_configs() {
    let sandbox = Sandbox::new();
    let contradicted = on(&image(&sandbox, "amd64"), "arm64");
    let completed =
        with(image(&sandbox, "arm"), json!({"platform": {"architecture": "arm", "os": "linux", "variant": "v6"}}));
    let empty = blob(&sandbox, EMPTY_TYPE, "{}");
    let artifact = with(manifest(&empty, &[&empty]), json!({"artifactType": "application/vnd.example"}));
    let artifact = document(&sandbox, &artifact);
    let windows = sandbox.blob_json(digest(&config(&sandbox, "amd64")));
    let windows = with(windows, json!({"os": "windows", "os.version": "10.0.17763.1", "os.features": ["win32k"]}));
    let windows =
        document(&sandbox, &manifest(&blob(&sandbox, CONFIG_TYPE, &windows.to_string()), &[&layer(&sandbox)]));
    let multi = document(&sandbox, &index(&[&contradicted, &completed]));
    list(&sandbox, &[&named(&multi, "multi"), &named(&artifact, "artifact"), &named(&windows, "windows")]);
    sandbox.ok("generate index -p image --ref-name v1 multi artifact windows");
    let made = sandbox.blob_json(digest(&entry(&sandbox, "v1")));
    let platforms: Vec<&Value> =
        made["manifests"].as_array().expect("images").iter().map(|image| &image["platform"]).collect();
    assert_eq!(
        platforms,
        [
            &json!({"architecture": "amd64", "os": "linux"}),
            &json!({"architecture": "arm", "os": "linux", "variant": "v6"}),
            &Value::Null,
            &json!({"architecture": "amd64", "os": "windows", "os.version": "10.0.17763.1", "os.features": ["win32k"]}),
        ]
    );
    assert_eq!(sandbox.run("validate image").status, 0);
}

#[test]
fn a_tag_of_another_manifest_is_taken_with_replace_tag_only() {
    let sandbox = sandbox();
    let contents = sandbox.contents();
    let old = entry(&sandbox, "amd64");
    for images in ["amd64 arm64", "arm64 ./other:s390x"] {
        sandbox.run(&format!("generate index -p image --ref-name amd64 {images}")).is(
            1,
            "",
            "Error: image has another manifest 'amd64' already; use another --ref-name, or --replace-tag\n",
        );
        assert_eq!(sandbox.contents(), contents, "no blob was copied");
    }
    sandbox.ok("generate index -p image --ref-name amd64 amd64 arm64 --replace-tag");
    let index = sandbox.index();
    let entries = index["manifests"].as_array().expect("entries");
    assert_eq!(entries[0]["annotations"], json!({REF_NAME: "amd64"}));
    assert_eq!(entries[0]["mediaType"], INDEX_TYPE);
    assert_eq!(entries.len(), 3);
    assert_eq!((&entries[2]["digest"], &entries[2]["annotations"]), (&old["digest"], &Value::Null), "it has no name");
    assert_eq!(sandbox.blob_json(digest(&entries[0]))["manifests"][0]["digest"], old["digest"]);
    sandbox.ok("generate index -p image --ref-name arm64 ./other:s390x --replace-tag");
    sandbox.is_valid();
}

#[test]
fn an_image_whose_tag_was_taken_outlives_the_indexes_that_list_it() {
    let sandbox = sandbox();
    let old = entry(&sandbox, "amd64");
    sandbox.ok("generate index -p image --ref-name v1 amd64 arm64");
    sandbox.ok("generate index -p image --ref-name amd64 arm64 --replace-tag");
    sandbox.ok("index remove image:v1 --platform linux/amd64");
    assert!(
        sandbox.index()["manifests"]
            .as_array()
            .expect("entries")
            .iter()
            .any(|entry| { entry["digest"] == old["digest"] && entry["annotations"].is_null() })
    );
    sandbox.ok("update config image:v1 --label a=b");
    sandbox.blob_json(digest(&old));
    sandbox.is_valid();
}

#[test]
fn f1_an_image_without_its_config_is_an_error() {
    let sandbox = sandbox();
    sandbox.ok("generate index -p image --ref-name v1 amd64 arm64");
    let image = digest(&entry(&sandbox, "arm64")).to_owned();
    let config = sandbox.blob_json(&image)["config"]["digest"].as_str().expect("a digest").to_owned();
    let path = sandbox.path(blob_name(&config));
    let content = std::fs::read(&path).expect("read");
    std::fs::remove_file(&path).expect("removed");
    let missing = format!("blob {config} referenced by {image} does not exist");
    for words in ["arm64", "v1"] {
        let outcome = sandbox.run(&format!("generate index -p image --ref-name v2 {words}"));
        assert_eq!(outcome.status, 1, "{words}: {outcome:?}");
        assert!(outcome.stderr.contains(&missing), "{words}: {}", outcome.stderr);
    }
    std::fs::write(&path, "{}").expect("written");
    let outcome = sandbox.run("generate index -p image --ref-name v2 v1");
    assert_eq!(outcome.status, 1, "{outcome:?}");
    std::fs::write(&path, content).expect("written");
    sandbox.ok("generate index -p image --ref-name v2 v1");
    sandbox.is_valid();
}

#[test]
fn an_image_that_cannot_be_taken_is_an_error_and_changes_nothing() {
    let sandbox = sandbox();
    sandbox.write("broken.tar", "no archive");
    sandbox.ok("tag add -p other:s390x again");
    sandbox.ok("build -o two:a --copy app:/app");
    sandbox.ok("build -o two:b --copy app:/b");
    let contents = sandbox.contents();
    for (words, status, message) in [
        ("v9", 3, "image has no manifest 'v9'; its tags are amd64, arm64"),
        ("amd64 v9:x", 3, "image has no manifest 'v9:x'; its tags are amd64, arm64"),
        ("./image:v9", 3, "image has no manifest 'v9'; its tags are amd64, arm64"),
        ("./other:v9", 3, "./other has no manifest 'v9'; 'layout tag list' lists the tags"),
        ("s390x.tar:v9", 3, "s390x.tar has no manifest 'v9'; 'layout inspect' lists its images"),
        ("./missing:v1", 1, "File not found: ./missing"),
        ("two", 2, "which image of 'two'? name it as two:TAG (tags: a, b)"),
        ("- -", 2, "only one IMAGE can be -"),
    ] {
        let outcome = sandbox.run(&format!("generate index -p image --ref-name v1 {words}"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (status, ""), "{words}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().next(), Some(format!("Error: {message}").as_str()), "{words}");
        assert_eq!(sandbox.contents(), contents, "{words}");
    }
    for words in ["broken.tar", ".", "image"] {
        let outcome = sandbox.run(&format!("generate index -p image --ref-name v1 {words}"));
        assert_ne!(outcome.status, 0, "{words}: {outcome:?}");
        assert_eq!(sandbox.contents(), contents, "{words}");
    }
    // One image under two tags is one image.
    sandbox.ok("generate index -p image --ref-name v1 other");
    sandbox.misuses(
        "generate index -p image:amd64 --ref-name v1 arm64",
        "'generate index' takes a layout: remove ':amd64' from the path",
    );
    sandbox
        .run("generate index -p image --ref-name a..b arm64")
        .fails_with(1, predicates::str::contains("'a..b' is not a reference name"));
}

#[test]
fn a_damaged_blob_of_a_source_is_an_error_and_leaves_nothing_behind() {
    let sandbox = sandbox();
    let image = sandbox.json("other/index.json");
    let manifest = sandbox.json(&blob_of("other", digest(&image["manifests"][0])));
    let layer = blob_of("other", digest(&manifest["layers"][0]));
    let content = sandbox.read(&layer);
    let contents = contents_of(&sandbox, "image");
    let mut damaged = content.clone();
    damaged[20] ^= 1;
    for (bytes, part) in [(damaged, "digest"), (content[1..].to_vec(), "size")] {
        sandbox.write(&layer, bytes);
        let outcome = sandbox.run("generate index -p image --ref-name v1 amd64 ./other:s390x");
        assert_eq!(outcome.status, 1, "{outcome:?}");
        assert!(outcome.stderr.contains(part), "{outcome:?}");
        assert_eq!(contents_of(&sandbox, "image"), contents);
    }
    std::fs::remove_file(sandbox.path(&layer)).expect("removed");
    let outcome = sandbox.run("generate index -p image --ref-name v1 amd64 ./other:s390x");
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert_eq!(contents_of(&sandbox, "image"), contents);
}

/// More blobs than wait for the index at once.
#[test]
fn hundreds_of_blobs_are_copied_and_removed_after_an_error() {
    const LAYERS: usize = 300;
    let sandbox = sandbox();
    let layers = |prefix: &str| -> Vec<Value> {
        let text = |number: usize| format!("{prefix}{number}\n");
        (0..LAYERS).map(|number| blob(&sandbox, "application/vnd.example", &text(number))).collect()
    };
    let empty = blob(&sandbox, EMPTY_TYPE, "{}");
    let all = layers("a");
    let artifact =
        with(manifest(&empty, &all.iter().collect::<Vec<_>>()), json!({"artifactType": "application/vnd.example"}));
    let artifact = document(&sandbox, &artifact);
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("entries").push(named(&artifact, "many"));
    });
    sandbox.ok("export image:many --output many --quiet");
    sandbox.ok("export other --output good --quiet");
    sandbox.ok("export other --output bad --quiet");
    sandbox.ok("generate index -p good --ref-name v1 s390x ./many");
    assert_eq!(sandbox.ok("validate good"), "Layout at good is valid.\n");
    let before = contents_of(&sandbox, "bad");
    let last = blob_of("many", digest(&all[LAYERS - 1]));
    sandbox.write(&last, "damaged\n");
    let outcome = sandbox.run("generate index -p bad --ref-name v1 s390x ./many");
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert_eq!(contents_of(&sandbox, "bad"), before);
}

/// Images, rule F1: the platform of an image is that of its config.
#[test]
fn f1_a_platform_that_the_config_contradicts_is_a_warning_that_names_both() {
    let sandbox = sandbox();
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["platform"] = json!({"architecture": "riscv64", "os": "linux"});
        // The usual variant is no contradiction.
        index["manifests"][1]["platform"] = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
    });
    let warning =
        "'amd64' was listed for linux/riscv64, but its config is for linux/amd64; the index lists it for linux/amd64";
    let outcome = sandbox.run("generate index -p image --ref-name v1 amd64 arm64 --json");
    assert_eq!((outcome.status, &outcome.json()["warnings"]), (0, &json!([warning])));
    // An image that the index has already is not added, and nothing is said about it.
    sandbox.ok("generate index -p image --ref-name v2 arm64");
    let outcome = sandbox.run("index add -p image:v2 ./image:amd64");
    assert_eq!((outcome.status, outcome.stderr), (0, format!("Warning: {warning}\n")));
    let outcome = sandbox.run("index add -p image:v2 amd64");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn a_truncated_archive_is_called_so() {
    let sandbox = sandbox();
    sandbox.ok("export other:s390x --output whole.tar --format oci-archive --quiet");
    let whole = std::fs::read(sandbox.path("whole.tar")).expect("an archive");
    // The end of the first file, in the padding after it, and before the next one.
    for length in [600, 1024] {
        sandbox.write("cut.tar", &whole[..length]);
        let error = "cut.tar is not an image archive: it is truncated: it ends after 'oci-layout'";
        for words in [
            "generate index -p image --ref-name v1 cut.tar",
            "index add -p image:amd64 cut.tar",
            "build -o image:new --base cut.tar --copy app:/app",
            "add base -p image --from cut.tar",
            "import -p image -f cut.tar",
            "inspect cut.tar",
        ] {
            sandbox.refuses(words, error);
        }
    }
}

#[test]
fn a_layout_in_the_place_of_an_image_is_explained() {
    let sandbox = sandbox();
    let which = "which layout? name it with -p DIR or REGSHAPE_LAYOUT, or run the command in a layout";
    for (words, word, argument) in [
        ("index add image:amd64 arm64", "image:amd64", "IMAGE"),
        ("generate index --ref-name v1 image amd64", "image", "IMAGE"),
        ("config get image:amd64", "image:amd64", "FIELD"),
        ("config get app:v1", "app:v1", "FIELD"),
    ] {
        sandbox.misuses(words, &format!("{which}; '{word}' was read as {argument}: use -p {word} if it is the layout"));
    }
    sandbox.misuses("config get Env", which);
    sandbox.misuses("index add arm64", which);
    sandbox.misuses("config get -p image Env", "which image? name it as DIR:TAG (tags: amd64, arm64)");
}
