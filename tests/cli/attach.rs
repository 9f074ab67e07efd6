//! `layout attach`

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::registry::{EMPTY_TYPE, digest, is_usage_error, listed, size};
use crate::support::*;

const SPDX: &str = "application/spdx+json";
const TITLE: &str = "org.opencontainers.image.title";
const SBOM: &str = "{\"spdxVersion\":\"SPDX-2.3\"}\n";

/// Creates a layout `image` with the image `v1` and with the index `multi` for two platforms, and files to attach.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.write("sbom.spdx.json", SBOM);
    sandbox.ok("build -o image:v1 --copy app:/app");
    sandbox.ok("build -o image:multi --platform linux/amd64 --platform linux/arm64 --copy app:/app");
    sandbox
}

/// Returns the fields of a descriptor that a subject has.
fn bare(entry: &Value) -> Value {
    json!({"mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"]})
}

fn empty() -> Value {
    json!({"mediaType": EMPTY_TYPE, "digest": sha256(b"{}"), "size": 2, "data": "e30="})
}

#[test]
fn g1_a_file_is_attached_in_one_step() {
    let sandbox = sandbox();
    let (before, stage) = (listed(&sandbox), sandbox.stage());
    let outcome = sandbox.run(&format!(
        "attach image:v1 --artifact-type {SPDX} --file sbom.spdx.json --media-type {SPDX} --annotation a=b"
    ));
    let after = listed(&sandbox);
    let entry = &after[2];
    outcome.succeeds(
        format!(
            "Updated image:v1:\n      digest: {}\n        size: {}\n  media-type: {MANIFEST_TYPE}\n",
            digest(entry),
            size(entry)
        ),
        "",
    );
    // The entry has no name and no platform.
    let expected =
        json!({"mediaType": MANIFEST_TYPE, "digest": entry["digest"], "size": entry["size"], "artifactType": SPDX});
    assert_eq!(after, json!([before[0], before[1], expected]));
    assert_eq!(
        sandbox.text(&blob_name(digest(entry))),
        format!(
            "{{\"annotations\":{{\"a\":\"b\"}},\"artifactType\":\"{SPDX}\",\"config\":{{\"data\":\"e30=\",\"digest\":\"{}\",\"mediaType\":\"{EMPTY_TYPE}\",\"size\":2}},\"layers\":[{{\"annotations\":{{\"{TITLE}\":\"sbom.spdx.json\"}},\"digest\":\"{}\",\"mediaType\":\"{SPDX}\",\"size\":{}}}],\"mediaType\":\"{MANIFEST_TYPE}\",\"schemaVersion\":2,\"subject\":{{\"digest\":\"{}\",\"mediaType\":\"{MANIFEST_TYPE}\",\"size\":{}}}}}",
            sha256(b"{}"),
            sha256(SBOM.as_bytes()),
            SBOM.len(),
            digest(&before[0]),
            before[0]["size"]
        )
    );
    assert_eq!(sandbox.blob(&sha256(SBOM.as_bytes())), SBOM.as_bytes());
    assert_eq!(sandbox.stage(), stage);
    let expected = format!("{}  {}  {SPDX}\n", digest(entry), size(entry));
    assert_eq!(sandbox.ok("referrer list image:v1"), expected);
    sandbox.ok("gc image");
    sandbox.is_valid();
}

#[test]
fn the_same_artifact_is_listed_once_whatever_the_clock_says() {
    let sandbox = sandbox();
    let words = format!("attach image:v1 --artifact-type {SPDX} --file sbom.spdx.json");
    let attached = sandbox.ok_json(&words);
    let (index, contents) = (sandbox.index(), sandbox.contents());
    let again: Outcome = sandbox
        .command()
        .args(format!("{words} -q").split(' '))
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("the program runs")
        .into();
    again.succeeds(format!("{}\n", digest(&attached)), "");
    assert_eq!((sandbox.index(), sandbox.contents()), (index, contents));
    // It may have got a tag meanwhile, in an entry of its own.
    sandbox.ok(&format!("tag add -p image@{} sbom", digest(&attached)));
    let index = sandbox.index();
    let expected = json!({"digest": attached["digest"], "size": attached["size"], "media_type": MANIFEST_TYPE,
        "ref_name": null, "images": [], "warnings": []});
    assert_eq!(sandbox.ok_json(&words), expected);
    assert_eq!(sandbox.index(), index);
    // A missing file of the artifact is stored again.
    std::fs::remove_file(sandbox.path(blob_name(&sha256(SBOM.as_bytes())))).expect("removed");
    sandbox.ok(&words);
    sandbox.is_valid();
}

#[test]
fn the_subject_is_the_index_or_the_image_for_a_platform_or_an_artifact() {
    let sandbox = sandbox();
    let multi = listed(&sandbox)[1].clone();
    let images = sandbox.blob_json(digest(&multi))["manifests"].clone();
    let subject = |words: &str| {
        let attached = sandbox.ok_json(&format!("attach {words} --artifact-type a/b -f app"));
        (sandbox.blob_json(digest(&attached))["subject"].clone(), attached)
    };
    let (of_index, attached) = subject("image:multi");
    assert_eq!(of_index, bare(&multi));
    assert_eq!(attached["ref_name"], Value::Null);
    assert_eq!(subject("image:multi --platform linux/arm64").0, bare(&images[1]));
    assert_eq!(subject("image:v1 --platform amd64").0, bare(&listed(&sandbox)[0]));
    assert_eq!(subject(&format!("image@{}", digest(&images[0]))).0, bare(&images[0]));
    let (of_lower, lower) = subject("image:multi --platform linux/amd64/v3");
    assert_eq!(of_lower, bare(&images[0]));
    assert_eq!(lower["lower_variants"], json!([{"asked": "linux/amd64/v3", "taken": "linux/amd64"}]));
    // A signature of an artifact.
    let (of_artifact, _) = subject(&format!("image@{}", digest(&attached)));
    assert_eq!(of_artifact["digest"], attached["digest"]);
    sandbox.ok("gc image");
    sandbox.is_valid();
}

#[test]
fn several_files_are_layers_in_their_order_and_may_be_empty_or_equal() {
    let sandbox = sandbox();
    sandbox.write("empty", "");
    sandbox.write("a b\u{e9}", "app");
    let words = ["attach", "image:v1", "--artifact-type", "a/b", "-f", "empty", "-f", "a b\u{e9}", "-f", "app", "-q"];
    let outcome = sandbox.run_words(words);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let manifest = sandbox.blob_json(outcome.stdout.trim());
    let layer = |title: &str, content: &str| {
        json!({"mediaType": "application/octet-stream", "digest": sha256(content.as_bytes()), "size": content.len(),
            "annotations": {TITLE: title}})
    };
    assert_eq!(manifest["layers"], json!([layer("empty", ""), layer("a b\u{e9}", "app"), layer("app", "app")]));
    assert_eq!((&manifest["config"], manifest.get("annotations")), (&empty(), None));
    sandbox.is_valid();
}

#[test]
fn a_gzip_file_and_a_damaged_one_are_stored_as_they_are() {
    let sandbox = sandbox();
    let content = gzip(&base_tar());
    for (name, content) in [("whole.gz", &content[..]), ("cut.gz", &content[..20])] {
        sandbox.write(name, content);
        sandbox.ok(&format!("attach image:v1 --artifact-type a/b -f {name}"));
        assert_eq!(sandbox.blob(&sha256(content)), content);
    }
    sandbox.is_valid();
}

#[test]
fn files_that_cannot_be_attached_are_refused_and_nothing_changes() {
    let sandbox = sandbox();
    std::fs::create_dir(sandbox.path("directory")).expect("made");
    sandbox.write("directory/app", "other");
    let rename = "; rename a file, or make a link to it";
    for (files, message) in [
        ("-f none", "File not found: none".to_owned()),
        ("-f app/none", "File not found: app/none".to_owned()),
        ("-f directory", "directory is a directory, not a file".to_owned()),
        ("-f app -f directory", "directory is a directory, not a file".to_owned()),
        ("-f app -f directory/app", format!("two files are named 'app': app and directory/app{rename}")),
        ("-f app -f app", format!("two files are named 'app': app and app{rename}")),
        (
            "-f directory/..",
            format!("directory/.. has no name in UTF-8, and a file of an artifact is named in JSON{rename}"),
        ),
        ("-f app --media-type text", "'text' is not a media type of the form type/subtype".to_owned()),
    ] {
        sandbox.refuses(&format!("attach image:v1 --artifact-type a/b {files}"), &message);
    }
    sandbox
        .refuses("attach image:v1 --artifact-type sbom -f app", "'sbom' is not a media type of the form type/subtype");
    sandbox.misuses(
        "attach image:v1 --artifact-type a/b -f -",
        "an attached file has a name, and standard input has none: use a file",
    );
    for words in ["attach image:v1 -f app", "attach image:v1 --artifact-type a/b"] {
        is_usage_error(&sandbox, words);
    }
}

#[test]
#[cfg(unix)]
fn pipes_and_devices_are_refused_without_waiting_for_them() {
    let sandbox = sandbox();
    make_fifo(sandbox.path("pipe"));
    std::os::unix::fs::symlink("app", sandbox.path("link")).expect("linked");
    for file in ["pipe", "/dev/null"] {
        let message = format!("{file} is not a regular file; write its content to a file first");
        sandbox.refuses(&format!("attach image:v1 --artifact-type a/b -f app -f {file}"), &message);
    }
    let attached = sandbox.ok_json("attach image:v1 --artifact-type a/b -f link");
    assert_eq!(sandbox.blob_json(digest(&attached))["layers"][0]["annotations"][TITLE], "link");
}

#[test]
fn an_image_that_is_not_there_is_an_error_with_the_tags() {
    let sandbox = sandbox();
    let with = "--artifact-type a/b -f app";
    sandbox.misuses(&format!("attach image {with}"), "which image? name it as DIR:TAG (tags: multi, v1)");
    let before = sandbox.tree();
    sandbox.run(&format!("attach image:v9 {with}")).is(
        3,
        "",
        "Error: image has no manifest 'v9'; its tags are multi, v1\n",
    );
    sandbox.run(&format!("attach image:multi --platform linux/s390x {with}")).is(
        3,
        "",
        "Error: no linux/s390x image in 'multi'; it has linux/amd64, linux/arm64\n",
    );
    sandbox.run(&format!("attach none:v1 {with}")).is(
        1,
        "",
        "Error: none is not an OCI Image Layout (missing oci-layout file)\n",
    );
    assert_eq!(sandbox.tree(), before);
    // An image whose manifest is missing cannot be described.
    let image = listed(&sandbox)[0].clone();
    std::fs::remove_file(sandbox.path(blob_name(digest(&image)))).expect("removed");
    sandbox.refuses(
        &format!("attach image:v1 {with}"),
        &format!("blob {} referenced by index.json does not exist", digest(&image)),
    );
    // An entry of which nothing is known.
    let text = sandbox.store("text");
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0] = json!({"mediaType": "text/plain", "digest": text, "size": 4,
            "annotations": {"org.opencontainers.image.ref.name": "text"}});
    });
    sandbox.refuses(&format!("attach image:text {with}"), "'text' is neither a manifest nor an index");
}

#[test]
fn forty_attachments_at_once_are_all_listed() {
    let sandbox = sandbox();
    let children: Vec<_> = (0..40)
        .map(|number| {
            let mut command = sandbox.command();
            // Every fourth one is the same as the one before.
            let number = number - usize::from(number % 4 == 3);
            let words = format!("attach image:multi --artifact-type a/b -f app --annotation number={number} -q");
            command.args(words.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the program starts")
        })
        .collect();
    let mut attached = BTreeSet::new();
    for child in children {
        let outcome: Outcome = child.wait_with_output().expect("the program ends").into();
        assert_eq!(outcome.status, 0, "{outcome:?}");
        attached.insert(outcome.stdout.trim().to_owned());
    }
    let entries = listed(&sandbox);
    let found: Vec<String> =
        entries.as_array().expect("entries")[2..].iter().map(|entry| digest(entry).to_owned()).collect();
    assert_eq!(found.len(), 30);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), attached);
    sandbox.is_valid();
}

#[test]
#[cfg(unix)]
fn many_files_are_attached_with_few_open_files() {
    let sandbox = sandbox();
    let mut words = format!("attach image:v1 --artifact-type {SPDX}");
    for at in 0..200 {
        sandbox.write(&format!("file{at}"), at.to_string());
        words.push_str(&format!(" --file file{at}"));
    }
    let limited = || {
        let program = sandbox.command();
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("ulimit -n 64; exec \"$0\" {words}")])
            .arg(program.get_program())
            .current_dir(program.get_current_dir().expect("a sandbox"))
            .stdin(Stdio::null())
            .output();
        Outcome::from(output.expect("sh runs"))
    };
    let outcome = limited();
    let entry = listed(&sandbox)[2].clone();
    let text = format!(
        "Updated image:v1:\n      digest: {}\n        size: {}\n  media-type: {MANIFEST_TYPE}\n",
        digest(&entry),
        size(&entry)
    );
    outcome.succeeds(text.clone(), "");
    assert_eq!(sandbox.blob_json(digest(&entry))["layers"].as_array().map(Vec::len), Some(200));
    // The blobs are there already.
    let contents = sandbox.contents();
    limited().succeeds(text, "");
    assert_eq!(sandbox.contents(), contents);
    // An error is found before anything is stored.
    for at in 0..200 {
        sandbox.write(&format!("file{at}"), format!("other {at}"));
    }
    std::fs::remove_file(sandbox.path("file199")).expect("removed");
    let contents = sandbox.contents();
    limited().is(1, "", "Error: File not found: file199\n");
    assert_eq!(sandbox.contents(), contents);
    sandbox.is_valid();
}
