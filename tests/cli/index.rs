//! `layout index add`, `remove` and `annotate`: an index that is there.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

const LEFT: &str = "signatures and other referrers stay with the old digest";

/// Creates a layout `image` with the index `v1` of two images, each with a tag and with an attestation in the index, with
/// a third image, and with a layout `other` that has an image for a fourth platform.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let [amd64, arm64, riscv64] = ["amd64", "arm64", "riscv64"].map(|word| on(&image(&sandbox, word), word));
    let [of_amd64, of_arm64] = [&amd64, &arm64].map(|subject| attestation(&sandbox, subject));
    let multi = document(&sandbox, &index(&[&amd64, &arm64, &of_amd64, &of_arm64]));
    let multi = with(multi, json!({"annotations": {REF_NAME: "v1", "com.example.kept": "yes"}, "x-unknown": [1.5]}));
    list(&sandbox, &[&named(&riscv64, "riscv64"), &multi, &named(&amd64, "amd64")]);
    sandbox.write("app", "app");
    sandbox.ok("build -o other:s390x --platform linux/s390x --copy app:/app");
    sandbox
}

fn attestation(sandbox: &Sandbox, subject: &Value) -> Value {
    let about = json!({"vnd.docker.reference.type": "attestation-manifest",
                       "vnd.docker.reference.digest": subject["digest"]});
    let statement = blob(sandbox, "application/vnd.in-toto+json", &subject["digest"].to_string());
    let entry = document(sandbox, &manifest(&config_of(sandbox, "unknown", &[]), &[&statement]));
    with(entry, json!({"annotations": about, "platform": {"architecture": "unknown", "os": "unknown"}}))
}

/// Checks that a validation finds no error. It warns of attestations, and of layers that are left to `gc`.
#[track_caller]
fn has_no_error(sandbox: &Sandbox) {
    let outcome = sandbox.run("validate image");
    assert_eq!((outcome.status, outcome.stdout.lines().next()), (0, Some("Layout at image is valid.")), "{outcome:?}");
}

#[track_caller]
fn entry(sandbox: &Sandbox, tag: &str) -> Value {
    let index = sandbox.index();
    let mut entries = index["manifests"].as_array().expect("entries").iter();
    entries.find(|entry| entry["annotations"][REF_NAME] == tag).unwrap_or_else(|| panic!("no {tag} in {index}")).clone()
}

/// Returns the document of a tag.
#[track_caller]
fn content(sandbox: &Sandbox, tag: &str) -> Value {
    sandbox.blob_json(digest(&entry(sandbox, tag)))
}

/// Returns the architectures that the index of a tag lists.
#[track_caller]
fn architectures(sandbox: &Sandbox, tag: &str) -> Vec<String> {
    let index = content(sandbox, tag);
    let word = |entry: &Value| entry["platform"]["architecture"].as_str().expect("a platform").to_owned();
    index["manifests"].as_array().expect("images").iter().map(word).collect()
}

#[test]
fn images_are_added_to_the_index_where_it_stands() {
    let sandbox = sandbox();
    let (before, old) = (sandbox.index(), entry(&sandbox, "v1"));
    let old_content = content(&sandbox, "v1");
    let outcome = sandbox.run("index add -p image:v1 riscv64 ./other:s390x");
    let new = entry(&sandbox, "v1");
    let lines: String = ["amd64", "arm64", "riscv64", "s390x"]
        .iter()
        .zip(
            content(&sandbox, "v1")["manifests"]
                .as_array()
                .expect("images")
                .iter()
                .filter(|entry| entry["annotations"].is_null()),
        )
        .map(|(word, image)| format!("       image: linux/{word} {}\n", digest(image)))
        .collect();
    outcome.succeeds(
        format!(
            "Updated image:v1:\n      digest: {}\n        size: {}\n  media-type: {INDEX_TYPE}\n    ref-name: v1\n{lines}",
            digest(&new),
            new["size"]
        ),
        "",
    );
    let mut expected = before;
    for key in ["digest", "size"] {
        expected["manifests"][1][key] = new[key].clone();
    }
    assert_eq!(sandbox.index(), expected, "only the digest and the size of one entry change");
    let new_content = content(&sandbox, "v1");
    assert_eq!(
        new_content["manifests"].as_array().expect("images")[..4],
        old_content["manifests"].as_array().expect("images")[..]
    );
    assert_eq!(architectures(&sandbox, "v1"), ["amd64", "arm64", "unknown", "unknown", "riscv64", "s390x"]);
    assert!(!sandbox.blobs().contains(digest(&old)), "the old index is deleted");
    has_no_error(&sandbox);
    // An image that the index has changes nothing.
    let tree = sandbox.tree();
    sandbox.ok("index add -p image:v1 riscv64 amd64");
    sandbox.ok("index add -p image:v1 v1");
    assert_eq!(sandbox.tree(), tree);
}

/// Images, section 2.F, rule F2.
#[test]
fn f2_an_image_for_a_platform_that_the_index_has_is_an_error_that_names_both() {
    let sandbox = sandbox();
    sandbox.ok("build -o other:arm --platform linux/arm64 --copy app:/app");
    let arm64 = content(&sandbox, "v1")["manifests"][1].clone();
    let contents = sandbox.contents();
    sandbox.run("index add -p image:v1 ./other:arm").is(
        1,
        "",
        format!(
            "Error: 'v1@{}' and './other:arm' are both for linux/arm64; leave one out, or take the other one out with \
             'index remove'\n",
            digest(&arm64)
        ),
    );
    assert_eq!(sandbox.contents(), contents, "no blob was copied");
}

#[test]
fn images_are_removed_with_their_attestations() {
    let sandbox = sandbox();
    let before = content(&sandbox, "v1");
    let (arm64, of_arm64) = (before["manifests"][1].clone(), before["manifests"][3].clone());
    let old = entry(&sandbox, "v1");
    let outcome = sandbox.run("index remove image:v1 --platform linux/arm64 --json");
    assert_eq!(outcome.stderr, "");
    let value = outcome.json();
    assert_eq!(value["images"].as_array().map(Vec::len), Some(1));
    assert_eq!(value["digest"], entry(&sandbox, "v1")["digest"]);
    let after = content(&sandbox, "v1");
    assert_eq!(after["manifests"], json!([before["manifests"][0], before["manifests"][2]]));
    let blobs = sandbox.blobs();
    for gone in [&old, &arm64, &of_arm64] {
        assert!(!blobs.contains(digest(gone)), "{gone}");
    }
    has_no_error(&sandbox);
}

#[test]
fn manifests_are_removed_by_their_digests() {
    let sandbox = sandbox();
    let before = content(&sandbox, "v1");
    let [amd64, _, of_amd64, of_arm64] = [0, 1, 2, 3].map(|at| before["manifests"][at].clone());
    // The image has another tag, which keeps it.
    let short = &digest(&amd64)[..19];
    sandbox.ok(&format!("index remove image:v1 --digest {short} --digest {}", digest(&of_arm64)));
    assert_eq!(architectures(&sandbox, "v1"), ["arm64"]);
    let blobs = sandbox.blobs();
    assert!(blobs.contains(digest(&amd64)) && !blobs.contains(digest(&of_amd64)));
    has_no_error(&sandbox);
    let tree = sandbox.tree();
    sandbox.run(&format!("index remove image:v1 --digest {short}")).is(
        3,
        "",
        format!("Error: 'v1' lists no manifest '{short}'; 'manifest get' shows the index\n"),
    );
    sandbox.run("index remove image:v1 --platform linux/amd64").is(
        3,
        "",
        "Error: no linux/amd64 image in 'v1'; it has linux/arm64\n",
    );
    // A lower variant would run there, and is another image.
    sandbox.run("index remove image:v1 --platform linux/arm64/v9").is(
        3,
        "",
        "Error: no linux/arm64/v9 image in 'v1'; it has linux/arm64\n",
    );
    sandbox.run("index remove image:v1 --platform linux/arm64").is(
        1,
        "",
        "Error: 'v1' would have no image left; 'tag delete' deletes the index\n",
    );
    sandbox.run("index remove image:v1 --digest sha256:xyz").fails_with(1, predicates::str::contains("sha256:xyz"));
    assert_eq!(sandbox.tree(), tree);
}

#[test]
fn nested_indexes_are_changed_too() {
    let sandbox = Sandbox::new();
    let [amd64, arm64, s390x] = ["amd64", "arm64", "s390x"].map(|word| on(&image(&sandbox, word), word));
    let nested = document(&sandbox, &index(&[&arm64]));
    let outer = document(&sandbox, &index(&[&nested, &s390x]));
    list(&sandbox, &[&named(&document(&sandbox, &index(&[&amd64, &outer])), "v1")]);
    sandbox.ok("index annotate image:v1 --at descriptor --platform linux/arm64 --annotation a=b --tag v2");
    let outer_of_v2 = sandbox.blob_json(digest(&content(&sandbox, "v2")["manifests"][1]));
    let nested_of_v2 = sandbox.blob_json(digest(&outer_of_v2["manifests"][0]));
    assert_eq!(nested_of_v2["manifests"], json!([with(arm64.clone(), json!({"annotations": {"a": "b"}}))]));
    has_no_error(&sandbox);
    sandbox.ok("index remove image:v1 --platform linux/arm64");
    let outer_of_v1 = sandbox.blob_json(digest(&content(&sandbox, "v1")["manifests"][1]));
    assert_eq!(outer_of_v1["manifests"], json!([s390x]), "an index without images goes with its last one");
    has_no_error(&sandbox);
    sandbox.ok(&format!("index remove image:v1 --digest {}", digest(&content(&sandbox, "v1")["manifests"][1])));
    assert_eq!(architectures(&sandbox, "v1"), ["amd64"]);
    has_no_error(&sandbox);
}

/// Images, section 2.F, rule F3.
#[test]
fn f3_annotations_are_set_at_the_index_its_descriptors_and_its_entry() {
    let sandbox = sandbox();
    let before = content(&sandbox, "v1");
    sandbox.ok("index annotate image:v1 --annotation org.opencontainers.image.description=Web --annotation a=b");
    let description = json!({"org.opencontainers.image.description": "Web", "a": "b"});
    assert_eq!(content(&sandbox, "v1"), with(before.clone(), json!({"annotations": description})));
    sandbox.ok("index annotate image:v1 --unset-annotation a");
    sandbox.ok("index annotate image:v1 --annotation c=d --replace");
    assert_eq!(content(&sandbox, "v1")["annotations"], json!({"c": "d"}));
    sandbox.ok("index annotate image:v1 --unset-annotation c");
    assert_eq!(content(&sandbox, "v1"), before);

    sandbox.ok("index annotate image:v1 --at descriptor --annotation a=b");
    sandbox.ok("index annotate image:v1 --at descriptor --platform linux/arm64 --annotation c=d");
    let after = content(&sandbox, "v1");
    assert_eq!(after["manifests"][0]["annotations"], json!({"a": "b"}));
    assert_eq!(after["manifests"][1]["annotations"], json!({"a": "b", "c": "d"}));
    for attestation in [2, 3] {
        assert_eq!(after["manifests"][attestation], before["manifests"][attestation]);
    }

    let old = entry(&sandbox, "v1");
    sandbox.ok("index annotate image:v1 --at entry --annotation a=b");
    let all = json!({REF_NAME: "v1", "com.example.kept": "yes", "a": "b"});
    assert_eq!(entry(&sandbox, "v1"), with(old.clone(), json!({"annotations": all})));
    sandbox.ok("index annotate image:v1 --at entry --annotation c=d --replace");
    assert_eq!(entry(&sandbox, "v1"), with(old, json!({"annotations": {REF_NAME: "v1", "c": "d"}})), "the tag stays");
    // The entry of an image has annotations, too.
    let riscv64 = entry(&sandbox, "riscv64");
    let value = sandbox.ok_json("index annotate image:riscv64 --at entry --annotation a=b");
    assert_eq!(value["digest"], riscv64["digest"]);
    assert_eq!(entry(&sandbox, "riscv64")["annotations"], json!({REF_NAME: "riscv64", "a": "b"}));
    has_no_error(&sandbox);
    let tree = sandbox.tree();
    sandbox.ok("index annotate image:riscv64 --at entry --annotation a=b");
    sandbox.ok("index annotate image:v1 --at descriptor --annotation a=b");
    sandbox.ok("index annotate image:v1 --unset-annotation nothing");
    assert_eq!(sandbox.tree(), tree, "a change that changes nothing writes nothing");
}

#[test]
fn the_result_gets_a_tag_of_its_own() {
    let sandbox = sandbox();
    let old = entry(&sandbox, "v1");
    for (words, tag) in [
        ("index add -p image:v1 ./other:s390x", "added"),
        ("index remove image:v1 --platform linux/arm64", "removed"),
        ("index annotate image:v1 --annotation a=b", "annotated"),
        ("index annotate image:v1 --at entry --annotation a=b", "entry"),
    ] {
        sandbox.ok(&format!("{words} --tag {tag}"));
        assert_eq!(entry(&sandbox, "v1"), old);
        let kept = entry(&sandbox, tag);
        assert_eq!(kept["annotations"]["com.example.kept"], "yes", "{tag}");
        assert_eq!(kept["x-unknown"], old["x-unknown"], "{tag}");
        let contents = sandbox.contents();
        sandbox.run(&format!("{words} --tag riscv64")).is(
            1,
            "",
            "Error: image has another manifest 'riscv64' already; use another --tag, or --replace-tag\n",
        );
        assert_eq!(sandbox.contents(), contents, "{words}");
    }
    let riscv64 = entry(&sandbox, "riscv64");
    sandbox.ok("index annotate image:v1 --annotation x=y --tag riscv64 --replace-tag");
    assert_eq!(entry(&sandbox, "riscv64")["mediaType"], INDEX_TYPE);
    assert!(sandbox.blobs().contains(digest(&riscv64)));
    has_no_error(&sandbox);
}

#[test]
fn an_image_where_an_index_is_needed_is_an_error_that_names_generate_index() {
    let sandbox = sandbox();
    let tree = sandbox.tree();
    for words in ["index add -p image:riscv64 amd64", "index remove image:riscv64 --digest sha256:00112233"] {
        sandbox.run(words).is(
            1,
            "",
            "Error: 'riscv64' is an image, not an index; 'generate index' makes an index of images\n",
        );
    }
    for words in ["", " --at descriptor"] {
        sandbox.run(&format!("index annotate image:riscv64 --annotation a=b{words}")).is(
            1,
            "",
            "Error: 'riscv64' is an image, not an index; 'generate index' makes an index of images; 'annotate manifest' and \
             --at entry annotate an image\n",
        );
    }
    for words in [
        "index add -p image:v9 amd64",
        "index remove image:v9 --platform linux/arm64",
        "index annotate image:v9 --annotation a=b",
    ] {
        sandbox.run(words).is(3, "", "Error: image has no manifest 'v9'; its tags are amd64, riscv64, v1\n");
    }
    for words in [
        "index add -p image amd64",
        "index remove image --platform linux/arm64",
        "index annotate image --annotation a=b",
    ] {
        sandbox.misuses(words, "which index? name it as DIR:TAG (tags: amd64, riscv64, v1)");
    }
    for words in ["--platform linux/arm64", "--at entry --platform linux/arm64"] {
        sandbox.misuses(
            &format!("index annotate image:v1 --annotation a=b {words}"),
            "--platform picks descriptors: use it with --at descriptor",
        );
    }
    for key in [REF_NAME, "io.containerd.image.name"] {
        for words in [format!("--annotation {key}=v2"), format!("--unset-annotation {key}")] {
            sandbox.run(&format!("index annotate image:v1 --at entry {words}")).is(
                1,
                "",
                format!("Error: {key} is the name of the entry; use the commands of 'tag'\n"),
            );
        }
    }
    assert_eq!(sandbox.run("index remove image:v1").status, 2);
    assert_eq!(sandbox.run("index add -p image:v1").status, 2);
    assert_eq!(sandbox.run("index annotate image:v1 --at platform --annotation a=b").status, 2);
    assert_eq!(sandbox.run("index remove image:v1 --platform linux/x86_64").status, 2);
    assert_eq!(sandbox.tree(), tree);
}

#[test]
fn referrers_of_the_index_and_of_removed_images_are_warned_about() {
    let sandbox = sandbox();
    let (index, arm64) = (entry(&sandbox, "v1"), content(&sandbox, "v1")["manifests"][1].clone());
    let signatures =
        [&index, &arm64].map(|subject| document(&sandbox, &about(&sandbox, subject, "application/vnd.signature")));
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("entries").extend(signatures.clone());
    });
    let mut digests = signatures.each_ref().map(digest);
    let outcome = sandbox.run("index annotate image:v1 --annotation a=b -q --tag v2");
    outcome.succeeds(format!("{}\n", digest(&entry(&sandbox, "v2"))), format!("Warning: {LEFT}: {}\n", digests[0]));
    digests.sort_unstable();
    let outcome = sandbox.run("index remove image:v1 --platform linux/arm64 --json");
    assert_eq!(outcome.json()["warnings"], json!([format!("{LEFT}: {}", digests.join(", "))]));
    assert!(sandbox.blobs().contains(digest(&arm64)), "the signature keeps its subject");
}

#[test]
fn a_manifest_list_of_docker_becomes_an_index() {
    let sandbox = Sandbox::new();
    const LIST_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    let [amd64, arm64] = ["amd64", "arm64"].map(|word| on(&image(&sandbox, word), word));
    let multi = with(index(&[&amd64]), json!({"mediaType": LIST_TYPE}));
    list(&sandbox, &[&named(&document(&sandbox, &multi), "v1"), &named(&arm64, "arm64")]);
    let outcome = sandbox.run("index add -p image:v1 arm64 -q");
    let entry = entry(&sandbox, "v1");
    outcome.succeeds(
        format!("{}\n", digest(&entry)),
        "Warning: the index had Docker's media type; it has that of the image-spec now, and its images keep theirs\n",
    );
    assert_eq!(entry["mediaType"], INDEX_TYPE);
    assert_eq!(sandbox.blob_json(digest(&entry)), index(&[&amd64, &arm64]));
    has_no_error(&sandbox);
}

/// Forty edits of one index at once.
#[test]
fn edits_of_one_index_at_once_are_all_in_the_result() {
    const EACH: usize = 10;
    let sandbox = sandbox();
    let architectures: Vec<String> = (0..EACH).map(|number| format!("arch{number}")).collect();
    for word in &architectures {
        let image = named(&image(&sandbox, word), word);
        let gone = named(&image_to_remove(&sandbox, word), &format!("gone-{word}"));
        sandbox.edit("image/index.json", |index| {
            index["manifests"].as_array_mut().expect("entries").extend([image, gone]);
        });
        sandbox.ok(&format!("index add -p image:v1 gone-{word}"));
    }
    let work = |worker: usize| {
        let word = &architectures[worker / 4];
        match worker % 4 {
            0 => format!("index add -p image:v1 {word}"),
            1 => format!("index remove image:v1 --platform linux/gone-{word}"),
            2 => format!("index annotate image:v1 --annotation {word}=1"),
            _ => format!("index annotate image:v1 --at descriptor --platform linux/amd64 --annotation {word}=1"),
        }
    };
    let start = |worker: usize| {
        let mut command = sandbox.command();
        let words = work(worker);
        command.args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::piped());
        (words, command.spawn().expect("the program starts"))
    };
    let children: Vec<_> = (0..4 * EACH).map(start).collect();
    for (words, child) in children {
        let output = child.wait_with_output().expect("the program ends");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let index = content(&sandbox, "v1");
    let mut found: Vec<&str> = index["manifests"]
        .as_array()
        .expect("images")
        .iter()
        .filter_map(|entry| entry["platform"]["architecture"].as_str())
        .filter(|word| word.contains("arch"))
        .collect();
    found.sort_unstable();
    assert_eq!(found, architectures);
    for annotations in [&index["annotations"], &index["manifests"][0]["annotations"]] {
        let mut keys: Vec<&String> = annotations.as_object().expect("annotations").keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, architectures.iter().collect::<Vec<_>>());
    }
    has_no_error(&sandbox);
}

/// Stores an image for a platform that is to be removed.
fn image_to_remove(sandbox: &Sandbox, word: &str) -> Value {
    image(sandbox, &format!("gone-{word}"))
}

#[test]
fn the_short_help_shows_the_flags_that_annotate_an_index() {
    let sandbox = Sandbox::empty();
    let help = sandbox.ok("index annotate -h");
    for flag in ["--at <", "--annotation <", "--unset-annotation <", "--replace ", "--platform <", "--tag <"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    for command in ["remove layer", "move layer", "annotate layer", "annotate manifest", "update config"] {
        let help = sandbox.ok(&format!("{command} -h"));
        assert!(help.contains("--platform <") && help.contains("--tag <"), "{command}: {help}");
    }
}
