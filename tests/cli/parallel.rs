//! Many writers at once: each waits for the others, and none undoes what another did.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::*;

const WRITERS: usize = 20;

/// Runs the program many times at once; all of them must succeed.
#[track_caller]
fn all_at_once(sandbox: &Sandbox, words: impl Fn(usize) -> String) {
    let start = |number: usize| {
        let mut command = sandbox.command();
        command.args(words(number).split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let children: Vec<Child> = (0..WRITERS).map(start).collect();
    for child in children {
        let outcome: Outcome = child.wait_with_output().expect("the program ends").into();
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    }
    assert!(sandbox.tree().keys().all(|name| !name.contains(".regshape-tmp-")), "no temporary file is left");
}

#[test]
fn twenty_layers_added_at_once_are_all_staged() {
    let sandbox = Sandbox::new();
    let layer = |number: usize| gzip(&[base_tar(), vec![0; 512 * number]].concat());
    (0..WRITERS).for_each(|number| sandbox.write(&format!("{number}.tar.gz"), layer(number)));
    all_at_once(&sandbox, |number| {
        format!("layout add layer -p image -f {number}.tar.gz --annotation number={number} --quiet")
    });
    let stage = sandbox.stage();
    let staged: BTreeSet<_> = stage["layers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|layer| (layer["annotations"]["number"].to_string(), layer["digest"].to_string()))
        .collect();
    let expected: BTreeSet<_> = (0..WRITERS)
        .map(|number| (json!(number.to_string()).to_string(), json!(sha256(&layer(number))).to_string()))
        .collect();
    assert_eq!(staged, expected);
    assert_eq!(stage["layers"].as_array().map(Vec::len), Some(WRITERS));
    assert_eq!(sandbox.blobs().len(), WRITERS);
    sandbox.ok("layout generate config -p image");
    sandbox.ok("layout generate manifest -p image");
    sandbox.is_valid();
}

#[test]
fn the_same_layer_added_at_once_is_stored_once_and_staged_every_time() {
    let sandbox = Sandbox::new();
    all_at_once(&sandbox, |_| "layout add layer -p image -f base.tar --quiet".to_owned());
    assert_eq!(sandbox.stage()["layers"].as_array().map(Vec::len), Some(WRITERS));
    sandbox.has_blobs([BASE]);
}

fn twenty_annotations() -> serde_json::Value {
    (0..WRITERS)
        .map(|number| (format!("key{number}"), json!(number.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn twenty_annotations_of_a_layer_at_once_are_all_kept() {
    let sandbox = Sandbox::staged();
    all_at_once(&sandbox, |number| format!("layout annotate layer -p image -i 1 --annotation key{number}={number}"));
    assert_eq!(sandbox.stage()["layers"][1]["annotations"], twenty_annotations());
    assert_eq!(sandbox.stage()["layers"][0]["annotations"], json!({}));
}

#[test]
fn twenty_annotations_of_a_manifest_at_once_are_all_kept() {
    let sandbox = Sandbox::built();
    all_at_once(&sandbox, |number| format!("layout annotate manifest -p image --annotation key{number}={number}"));
    let digest = sandbox.stage()["manifest"]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(sandbox.index()["manifests"][0]["digest"], json!(digest));
    assert_eq!(sandbox.blob_json(&digest)["annotations"], twenty_annotations());
    // Those in between are gone.
    sandbox.has_blobs([BASE, PATCHES, CONFIG, &digest]);
    sandbox.is_valid();
}

#[test]
fn twenty_ref_names_at_once_are_all_listed() {
    let sandbox = Sandbox::configured();
    all_at_once(&sandbox, |number| format!("layout generate manifest -p image --ref-name v{number} --quiet"));
    let index = sandbox.index();
    let names: BTreeSet<_> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, (0..WRITERS).map(|number| format!("v{number}")).collect());
    sandbox.has_blobs([BASE, PATCHES, CONFIG, MANIFEST]);
    sandbox.is_valid();
}

#[test]
fn of_many_that_make_one_layout_one_succeeds() {
    let sandbox = Sandbox::empty();
    let start = |_| {
        let mut command = sandbox.command();
        command.args(["layout", "init", "-p", "image"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let children: Vec<Child> = (0..8).map(start).collect();
    let mut outcomes: Vec<Outcome> =
        children.into_iter().map(|child| child.wait_with_output().expect("the program ends").into()).collect();
    outcomes.sort_by_key(|outcome| outcome.status);
    outcomes[0].succeeds("Initialised OCI Image Layout at image\n", "");
    outcomes[1..].iter().for_each(|outcome| outcome.fails("Error: image is already an OCI Image Layout\n"));
    sandbox.is_valid();
}
